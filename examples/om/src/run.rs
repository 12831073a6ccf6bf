//! Running a compiled model.

use crate::Compiled;
use crate::batches::{Batch, plan};
use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;
use vlm_ascend::om::OmModel;
use vlm_core::vision::{ImageProcessor, Picture};
use vlm_core::weights::{WeightFiles, save_tensors};
use vlm_core::{DType, Device, Tensor};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    compiled: Compiled,
    /// A picture; may be given several times.
    #[arg(long, short)]
    image: Vec<PathBuf>,
    /// The folder whose preprocessor_config.json says how pictures become numbers.
    #[arg(long)]
    processor: Option<PathBuf>,
    /// A safetensors file with a tensor for every input, by name, instead of pictures.
    #[arg(long, conflicts_with_all = ["image", "processor"])]
    tensors: Option<PathBuf>,
    /// Writes the outputs here, by name; those of pictures in the order of the command.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Prints one JSON object for each output.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let device = args.compiled.open()?;
    let model = OmModel::load(&device, &args.compiled.model)?;
    let began = Instant::now();
    let (outputs, what) = match &args.tensors {
        Some(file) => (on_tensors(&model, file, &device)?, "tensors".to_owned()),
        None => (on_pictures(&model, args, &device)?, format!("{} pictures", args.image.len())),
    };
    device.synchronize()?;
    let seconds = began.elapsed().as_secs_f64();
    let named: Vec<(String, Tensor)> = model.outputs().iter().map(|p| p.name.clone()).zip(outputs).collect();
    for (name, tensor) in &named {
        say(name, tensor, args.json)?;
    }
    if !args.json {
        println!("{what} in {seconds:.3} s, reading and preparing them included");
    }
    if let Some(out) = &args.out {
        let pictures: Vec<String> = args.image.iter().map(|p| p.display().to_string()).collect();
        let about = BTreeMap::from([("images".to_owned(), json!(pictures).to_string())]);
        save_tensors(out, &named, &about)?;
    }
    Ok(())
}

/// An output: its shape and its first numbers.
fn say(name: &str, tensor: &Tensor, as_json: bool) -> Result<()> {
    let first: Vec<f32> =
        tensor.reshape([tensor.count()])?.narrow(0, 0, tensor.count().min(4))?.to_dtype(DType::F32)?.to_vec()?;
    if as_json {
        let shape: &[usize] = tensor.shape();
        println!("{}", json!({"output": name, "dtype": tensor.dtype().to_string(), "shape": shape, "first": first}));
    } else {
        println!("{name}: {} {}, {first:.4?} …", tensor.dtype(), tensor.shape());
    }
    Ok(())
}

/// The model on what a file has for its inputs.
fn on_tensors(model: &OmModel, file: &Path, device: &Device) -> Result<Vec<Tensor>> {
    let files = WeightFiles::open(file)?;
    let inputs = model.inputs().iter().map(|p| files.tensor(&p.name, device)).collect::<vlm_core::Result<Vec<_>>>()?;
    Ok(model.run(&inputs.iter().collect::<Vec<_>>())?)
}

/// The model on pictures: one row of each output for each.
fn on_pictures(model: &OmModel, args: &Args, device: &Device) -> Result<Vec<Tensor>> {
    ensure!(!args.image.is_empty(), "nothing to run on: give --image with --processor, or --tensors");
    let folder = args.processor.as_deref().context(
        "how do pictures become numbers? --processor names the folder of the model that was converted, with its \
         preprocessor_config.json",
    )?;
    let [port] = model.inputs() else {
        let names: Vec<_> = model.inputs().iter().map(ToString::to_string).collect();
        bail!("pictures are for models with one input; this one takes {}: give all with --tensors", names.join("; "))
    };
    ensure!(
        port.dtype.is_float(),
        "the model takes {port}: pictures are made of floats, bytes (AIPP) are given with --tensors"
    );
    let processor = ImageProcessor::load(folder)?;
    let one = processor.process(&[Picture::open(&args.image[0])?])?;
    let mut rest = &args.image[..];
    let mut parts: Vec<Vec<Tensor>> = Vec::new();
    for batch in plan(port, model.gears(), &one.shape[1..], args.image.len())? {
        let (now, later) = rest.split_at(batch.pictures);
        rest = later;
        parts.push(run_batch(model, &processor, now, batch, port.dtype, device)?);
    }
    let outputs = model.outputs().len();
    (0..outputs).map(|o| Ok(Tensor::cat(&parts.iter().map(|p| p[o].clone()).collect::<Vec<_>>(), 0)?)).collect()
}

fn run_batch(
    model: &OmModel,
    processor: &ImageProcessor,
    files: &[PathBuf],
    batch: Batch,
    dtype: DType,
    device: &Device,
) -> Result<Vec<Tensor>> {
    let mut pictures = files.iter().map(|f| Picture::open(f)).collect::<vlm_core::Result<Vec<_>>>()?;
    // What fills the batch up is computed and thrown away.
    pictures.extend(std::iter::repeat_n(pictures[pictures.len() - 1].clone(), batch.size - batch.pictures));
    let pixels = processor.process(&pictures)?.to_tensor(dtype, device)?;
    let outputs = model.run(&[&pixels])?;
    for (output, port) in outputs.iter().zip(model.outputs()) {
        ensure!(
            output.shape().first() == Some(&batch.size),
            "{} has shape {} for {} pictures: it is no row for each, give the input with --tensors",
            port.name,
            output.shape(),
            batch.size
        );
    }
    Ok(outputs.iter().map(|o| o.narrow(0, 0, batch.pictures)).collect::<vlm_core::Result<Vec<_>>>()?)
}
