//! Writes a folder with the weights that a `config.json` asks for, all of them random: models of any size to measure with.
#![allow(clippy::print_stdout)] // It is what the program is for.

use anyhow::{Context, Result};
use clap::Parser;
use std::path::PathBuf;
use vlm_bench::open;
use vlm_core::DType;
use vlm_core::models::{auto, read_config, save};
use vlm_core::nn::{Builder, Initializer};

#[derive(Parser)]
#[command(about = "Writes a model with random weights")]
struct Arguments {
    /// The folder with the config.json.
    #[arg(long)]
    model: PathBuf,
    #[arg(long, default_value = "bf16")]
    dtype: DType,
    #[arg(long)]
    out: PathBuf,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[arg(long, default_value_t = std::thread::available_parallelism().map_or(1, usize::from))]
    threads: usize,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let device = open("cpu", arguments.threads)?;
    let builder = Builder::new(Initializer { seed: arguments.seed }, arguments.dtype, &device);
    let model = auto::build(&builder, &read_config(&arguments.model)?)?;
    save(model.model(), &arguments.out).with_context(|| format!("writing {}", arguments.out.display()))?;
    println!("{} parameters in {}", model.model().modules().count(), arguments.out.display());
    Ok(())
}
