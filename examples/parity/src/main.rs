//! Computes every output that a folder of reference data names, from the folder's model, pictures, messages and adapters
//! alone. The folder's `compare.py` judges the result.
//!
//! `cargo run --release -p parity -- DIR --device cpu --dtype f32 --out OUT`

#![forbid(unsafe_code)]
#![allow(clippy::print_stderr)] // The last words of a failing program.

mod adapters;
mod batches;
mod cases;
mod dual;
mod folder;
mod image_ops;
mod layout;
mod output;
mod saved;
mod training;

use anyhow::{Result, bail};
use clap::Parser;
use folder::Folder;
use output::Output;
use saved::Saved;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use vlm_core::backend::layers::Recorder;
use vlm_core::{DType, Device};

#[derive(Debug, Parser)]
#[command(about = "Computes what a folder of reference data names, for comparison with transformers and PEFT")]
struct Args {
    /// The folder: expected.json, model/, images/, adapters/.
    dir: PathBuf,
    /// Where to compute: cpu, ref, cuda:0 …
    #[arg(long, default_value = "cpu")]
    device: String,
    /// The type of parameters and activations: f32, bf16 or f16.
    #[arg(long, default_value = "f32")]
    dtype: DType,
    /// Where actual.safetensors and actual.json go.
    #[arg(long)]
    out: PathBuf,
    /// Records decoding steps and does them again, in software where the device has no graphs of its own.
    #[arg(long)]
    graphs: bool,
    /// Number of threads; all cores if not given.
    #[arg(long)]
    threads: Option<usize>,
    /// Also writes every adapter as we have it after training into OUT/adapters, two of our own, and our logits with them
    /// into OUT/adapters.safetensors.
    #[arg(long)]
    save_adapters: bool,
}

fn main() -> ExitCode {
    vlm_examples::program::init_logs();
    let ended = run(&Args::parse());
    vlm_examples::program::close();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e:#}");
            ExitCode::from(2)
        }
    }
}

fn run(args: &Args) -> Result<()> {
    vlm_examples::program::set_threads(args.threads);
    let mut device = vlm_examples::program::open_device(&args.device)?;
    if args.graphs && device.kernels().graphs().is_none() {
        let recorder = Recorder::new(device.kernels_arc().clone());
        device = Device::from_kernels(format!("{device}, recorded"), Arc::new(recorder));
    }
    let folder = Folder::open(&args.dir, args.dtype, &device)?;
    let mut out = Output::new(folder.wanted());
    let mut saved = Saved::new(&args.out, args.save_adapters);
    match folder.kind() {
        "image_ops" => image_ops::run(&folder, &mut out)?,
        "vlm" => {
            cases::run(&folder, &mut out)?;
            let batch = training::vlm_batch(&folder, &mut out)?;
            if folder.trains() {
                training::run(&folder, &batch, &mut out)?;
            }
            adapters::run(&folder, &batch, &mut out, &mut saved)?;
        }
        "dual" => dual::run(&folder, &mut out, &mut saved)?,
        other => bail!("expected.json: kind is {other:?}, expected \"vlm\", \"dual\" or the family image_ops"),
    }
    out.save(&args.out)?;
    saved.finish()
}
