//! How long a model's folder takes to become usable, and what it costs in memory, as a JSON line.
#![allow(clippy::print_stdout)] // It is what the program is for.

use anyhow::{Context, Result};
use clap::Parser;
use serde_json::json;
use std::path::PathBuf;
use std::time::Instant;
use vlm_bench::{open, peak_rss_mib, pictures, rss_mib};
use vlm_core::DType;
use vlm_core::autograd::no_grad;
use vlm_core::models::{VlmBatch, load};
use vlm_core::weights::WeightFiles;

#[derive(Parser)]
#[command(about = "Measures loading a model and one forward pass of all of it, a picture included")]
struct Arguments {
    /// The model's folder.
    #[arg(long)]
    model: PathBuf,
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Element type of the model (default: as stored).
    #[arg(long)]
    dtype: Option<DType>,
    #[arg(long, default_value_t = std::thread::available_parallelism().map_or(1, usize::from))]
    threads: usize,
    /// Tokens of text after the picture.
    #[arg(long, default_value_t = 16)]
    seq: usize,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let device = open(&arguments.device, arguments.threads)?;
    let start = Instant::now();
    // The first tensor: opened, checked and read on the device.
    let files = WeightFiles::open(&arguments.model)?;
    let name = files.names().next().context("the folder holds no tensors")?.to_owned();
    let first = files.tensor(&name, &device)?;
    first.flatten(0, -1)?.narrow(0, 0, 1)?.to_dtype(DType::F32)?.to_vec::<f32>()?;
    let first_tensor_s = start.elapsed().as_secs_f64();
    let bytes = files.total_bytes();
    drop((first, files));

    let before = rss_mib();
    let start = Instant::now();
    let model = load(&arguments.model, arguments.dtype, &device)?;
    let load_s = start.elapsed().as_secs_f64();
    let loaded = rss_mib();
    let start = Instant::now();
    no_grad(|| -> Result<()> {
        let images = pictures::noise(&*model, 1, model.dtype())?;
        let seen = model.image_features(&images)?.shape()[0];
        let ids = std::iter::repeat_n(model.image_token_id(), seen).chain((0..arguments.seq).map(|i| 1 + i as i64));
        let batch = VlmBatch { input_ids: vec![ids.collect()], images: Some(images), ..VlmBatch::default() };
        let hidden = model.hidden_states(&batch, None)?;
        model.logits(&hidden.narrow(1, hidden.size(1)? - 1, 1)?)?;
        Ok(())
    })?;
    device.synchronize()?;
    let file_mib = bytes as f64 / f64::from(1 << 20);
    let line = json!({
        "device": arguments.device, "dtype": model.dtype().name(), "threads": arguments.threads,
        "parameters": model.modules().count(), "file_mib": file_mib,
        "first_tensor_s": first_tensor_s, "load_s": load_s, "forward_s": start.elapsed().as_secs_f64(),
        "rss_before_mib": before, "rss_loaded_mib": loaded, "rss_after_forward_mib": rss_mib(),
        "peak_rss_mib": peak_rss_mib(), "rss_over_file": rss_mib() / file_mib, "peak_over_file": peak_rss_mib() / file_mib,
    });
    println!("{line}");
    Ok(())
}
