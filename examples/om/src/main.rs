//! ONNX models on Ascend NPUs, compiled ahead of time.
//!
//! ```text
//! cargo run --release -p om -- convert --onnx vision.onnx --shape pixel_values:-1,3,336,336 --batches 1,4,8 --chip Ascend910B3
//! cargo run --release -p om -- info --model vision.om
//! cargo run --release -p om -- run --model vision.om --processor MODEL_DIR --image a.png --image b.png --out outputs.safetensors
//! ```
//!
//! `convert` needs CANN's `atc` and no NPU; `info` and `run` need a device of the chip that the model was compiled for.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout)] // Its output is what the program is for.

mod atc;
mod batches;
mod convert;
mod info;
mod run;

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;
use vlm_core::Device;
use vlm_examples::program;

#[derive(Debug, Parser)]
#[command(about = "Compiles ONNX models for Ascend NPUs with atc, and runs them")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Compiles an ONNX model with CANN's atc.
    Convert(convert::Args),
    /// Says what a compiled model takes and gives.
    Info(info::Args),
    /// Runs a compiled model on pictures, or on tensors of a file.
    Run(run::Args),
}

/// A compiled model and where it runs.
#[derive(Debug, clap::Args)]
struct Compiled {
    /// The OM file.
    #[arg(long, short)]
    model: PathBuf,
    /// The device that it was compiled for.
    #[arg(long, default_value = "ascend:0", env = "VLM_DEVICE")]
    device: String,
}

impl Compiled {
    fn open(&self) -> Result<Device> {
        program::open_device(&self.device)
    }
}

fn main() -> ExitCode {
    program::init_logs();
    program::end(match &Args::parse().command {
        Command::Convert(args) => convert::convert(args),
        Command::Info(args) => info::info(args),
        Command::Run(args) => run::run(args),
    })
}
