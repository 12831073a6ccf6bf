//! From ONNX to OM.

use crate::atc;
use anyhow::{Context, Result, bail, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;
use vlm_examples::program;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The ONNX model (operators of opset 11 to 18).
    #[arg(long)]
    onnx: PathBuf,
    /// Where the OM goes, without its ending (default: beside the ONNX model).
    #[arg(long)]
    output: Option<PathBuf>,
    /// The chip as it names itself, Ascend910B3 (default: that of --device).
    #[arg(long)]
    chip: Option<String>,
    /// Where to ask for the chip.
    #[arg(long, default_value = "ascend:0", env = "VLM_DEVICE")]
    device: String,
    /// An input's shape, NAME:1,3,336,336; -1 where it is open, 1~8 within a range. May be given several times.
    #[arg(long)]
    shape: Vec<String>,
    /// Batches to compile for, 1,2,4: the first dimension is to be -1.
    #[arg(long)]
    batches: Option<String>,
    /// Heights and widths of pictures to compile for, "336,336;672,336": both dimensions are to be -1.
    #[arg(long)]
    sizes: Option<String>,
    /// Values of all open dimensions to compile for, "1,64;1,128".
    #[arg(long)]
    dims: Option<String>,
    /// What to compute in: origin keeps the model's types, as for comparisons; fp16 is atc's own default.
    #[arg(long, default_value = "origin")]
    precision: String,
    /// Has every run give the same bits.
    #[arg(long)]
    deterministic: bool,
    /// The program, where it is not in PATH.
    #[arg(long)]
    atc: Option<PathBuf>,
    /// Prints the command and runs nothing.
    #[arg(long)]
    print: bool,
    /// More options for atc, behind --.
    #[arg(last = true)]
    more: Vec<String>,
}

/// The options for `atc`.
fn arguments(args: &Args, output: &Path, chip: &str) -> Result<Vec<String>> {
    let gears = [("batch_size", &args.batches), ("image_size", &args.sizes), ("dims", &args.dims)];
    let named: Vec<_> = gears.iter().filter_map(|(name, v)| Some((name, v.as_ref()?))).collect();
    ensure!(named.len() <= 1, "--batches, --sizes and --dims exclude each other");
    for shape in &args.shape {
        let is_shape = shape.rsplit_once(':').is_some_and(|(name, dims)| !name.is_empty() && !dims.is_empty());
        ensure!(is_shape, "--shape {shape:?} is no NAME:SIZES, such as pixel_values:1,3,336,336");
    }
    ensure!(
        named.is_empty() || args.shape.iter().any(|s| s.contains("-1")),
        "sizes to compile for need an open dimension: --shape NAME:-1,3,336,336"
    );
    let mut all = vec![
        "--framework=5".to_owned(),
        format!("--model={}", args.onnx.display()),
        format!("--output={}", output.display()),
        format!("--soc_version={chip}"),
        format!("--input_format={}", if args.sizes.is_some() || args.batches.is_some() { "NCHW" } else { "ND" }),
        format!("--precision_mode_v2={}", args.precision),
    ];
    if !args.shape.is_empty() {
        all.push(format!("--input_shape={}", args.shape.join(";")));
    }
    all.extend(named.iter().map(|(name, value)| format!("--dynamic_{name}={value}")));
    if args.deterministic {
        all.push("--deterministic=1".to_owned());
    }
    all.extend(args.more.iter().cloned());
    Ok(all)
}

/// The chip that was asked for, or the one at hand.
fn chip(args: &Args) -> Result<String> {
    if let Some(chip) = &args.chip {
        return Ok(chip.clone());
    }
    let device = program::open_device(&args.device)
        .context("which chip to compile for? --chip Ascend910B3 names it (\"Ascend\" and what npu-smi info shows)")?;
    let details = device.kernels().properties().details;
    let soc = details.into_iter().find(|(key, _)| key == "soc");
    soc.map(|(_, soc)| soc).with_context(|| format!("{} is no NPU; name the chip with --chip", args.device))
}

/// The names under which `atc` may write, each with when it was written last: the system is in the name where shapes are open.
fn candidates(output: &Path) -> [(PathBuf, Option<SystemTime>); 2] {
    let name = output.file_name().unwrap_or_default().to_string_lossy();
    let system = format!("{name}_{}_{}.om", std::env::consts::OS, std::env::consts::ARCH);
    [format!("{name}.om"), system].map(|n| {
        let path = output.with_file_name(n);
        let written = std::fs::metadata(&path).and_then(|m| m.modified()).ok();
        (path, written)
    })
}

pub(crate) fn convert(args: &Args) -> Result<()> {
    let output = args.output.clone().unwrap_or_else(|| args.onnx.with_extension(""));
    let chip = chip(args)?;
    let arguments = arguments(args, &output, &chip)?;
    if args.print {
        let program = atc::find(args.atc.as_deref()).unwrap_or_else(|_| PathBuf::from("atc"));
        println!("{}", atc::shown(&program, &arguments));
        return Ok(());
    }
    ensure!(args.onnx.is_file(), "there is no model {}", args.onnx.display());
    let program = atc::find(args.atc.as_deref())?;
    // A model of a former run stays until atc writes over it, and is not taken for a new one.
    let before = candidates(&output);
    println!("{}", atc::shown(&program, &arguments));
    let status =
        Command::new(&program).args(&arguments).status().with_context(|| format!("starting {}", program.display()))?;
    let after = candidates(&output).into_iter().zip(before);
    let made = after.filter(|((_, new), (_, old))| new.is_some() && new != old).map(|((path, _), _)| path).next();
    match made.filter(|_| status.success()) {
        Some(path) => {
            let bytes = std::fs::metadata(&path).map_or(0, |m| m.len());
            println!("wrote {} ({:.1} MiB) for {chip}", path.display(), bytes as f64 / f64::from(1 << 20));
            Ok(())
        }
        None if status.success() => bail!("atc ended well and wrote no {}.om", output.display()),
        None => bail!("atc ended with {status}. What it said is above; more with `-- --log=info`, in ~/ascend/log"),
    }
}
