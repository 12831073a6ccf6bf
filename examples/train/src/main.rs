//! Trains the base model of the main job alone: a small vision-language model that reads handwritten digits.
//!
//! `cargo run --release -p train`

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout)] // Its output is what the program is for.

use anyhow::Result;
use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;
use vlm_core::DType;
use vlm_core::models::Model;
use vlm_core::train::optim::ScheduleKind;
use vlm_core::train::{Resume, Trainer, TrainerOptions};
use vlm_examples::answer::{accuracy, answers};
use vlm_examples::digits::Digits;
use vlm_examples::folder;
use vlm_examples::model::{DigitTask, SIDE, build, config};
use vlm_examples::program::{self, Bar};
use vlm_examples::prompt::{Question, tokenizer};

#[derive(Debug, Parser)]
#[command(about = "Trains a small vision-language model from nothing on handwritten digits")]
struct Args {
    /// Where to compute: auto, cpu, ref …
    #[arg(long, default_value = "auto", env = "VLM_DEVICE")]
    device: String,
    /// Where checkpoints, logs and the model go.
    #[arg(long, default_value = "outputs/train")]
    output: PathBuf,
    /// Continues a run that was interrupted.
    #[arg(long)]
    resume: bool,
    /// Threads of the CPU backend (default: all).
    #[arg(long)]
    threads: Option<usize>,
    /// Element type of the model: f32, bf16 or f16.
    #[arg(long, default_value = "f32")]
    dtype: DType,
    /// Decides starting values and data order.
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Passes over the digits.
    #[arg(long, default_value_t = 20.0)]
    epochs: f64,
    /// Steps, instead of passes.
    #[arg(long)]
    max_steps: Option<u64>,
    /// Rows of a micro-batch.
    #[arg(long, default_value_t = 48)]
    batch: usize,
    /// Micro-batches of a step.
    #[arg(long, default_value_t = 1)]
    accumulate: usize,
    /// Highest learning rate.
    #[arg(long, default_value_t = 3e-3)]
    learning_rate: f64,
    /// Steps between checkpoints; 0: only at the end.
    #[arg(long, default_value_t = 50)]
    save_steps: u64,
}

fn main() -> ExitCode {
    program::init_logs();
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            complain(&e);
            ExitCode::from(2)
        }
    }
}

#[allow(clippy::print_stderr)] // The last words of a failing program.
fn complain(e: &anyhow::Error) {
    eprintln!("error: {e:#}");
}

fn run(args: &Args) -> Result<bool> {
    program::set_threads(args.threads);
    let device = program::open_device(&args.device)?;
    println!("device: {device} ({}), {}", device.kernels().properties().name, args.dtype);
    let stop = program::stop_flag()?;
    let tokenizer = tokenizer()?;
    let digits = Digits::load(SIDE)?;
    let model = build(config(&tokenizer)?, args.seed, args.dtype, &device)?;
    let task = DigitTask::new(&model, &tokenizer, &digits.train, Question::Which)?;
    let options = TrainerOptions {
        num_train_epochs: args.epochs,
        max_steps: args.max_steps,
        per_device_train_batch_size: args.batch,
        gradient_accumulation_steps: args.accumulate,
        learning_rate: args.learning_rate,
        lr_scheduler_type: ScheduleKind::Cosine,
        seed: args.seed,
        save_steps: args.save_steps,
        resume: if args.resume { Resume::IfThere } else { Resume::No },
        ..TrainerOptions::new(&args.output)
    };
    let trainer = Trainer::new(options, model.modules().trainable(), model.config())?;
    let outcome = trainer.with_sink(Box::new(Bar::new("train", 100))).with_stop(stop).run(&task)?;
    if !outcome.finished {
        println!("stopped at step {}; continue with --resume", outcome.steps);
        return Ok(false);
    }
    let folder = args.output.join("model");
    folder::save(&model, &tokenizer, &folder)?;
    let read = answers(&model, &tokenizer, &digits.test, Question::Which)?;
    println!("model: {}", folder.display());
    println!("accuracy: {:.2}", accuracy(&read, &digits.test, Question::Which));
    Ok(true)
}
