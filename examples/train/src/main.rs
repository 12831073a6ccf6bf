//! Trains the base model of the main job alone: a small vision-language model that reads handwritten digits. With a model
//! and data of your own: trains that model.
//!
//! ```text
//! cargo run --release -p train
//! cargo run --release -p train -- --model DIR --dataset rows.jsonl --output out --epochs 3
//! cargo run --release -p train -- run.yaml learning_rate=1e-5 freeze_multi_modal_projector=false
//! ```

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout)] // Its output is what the program is for.

use anyhow::Result;
use clap::Parser;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use vlm_core::DType;
use vlm_core::models::Model;
use vlm_core::train::optim::ScheduleKind;
use vlm_core::train::{Resume, Trainer, TrainerOptions};
use vlm_examples::answer::{accuracy, answers};
use vlm_examples::digits::Digits;
use vlm_examples::folder;
use vlm_examples::job_args::{Flags, JobArgs};
use vlm_examples::model::{DigitTask, SIDE, build, config};
use vlm_examples::program::{self, Bar};
use vlm_examples::prompt::{Question, tokenizer};
use vlm_examples::run_config::{FinetuningType, RunConfig};
use vlm_examples::tuning;

#[derive(Debug, Parser)]
#[command(
    about = "Trains a small vision-language model from nothing on handwritten digits; or your own model on your own data"
)]
struct Args {
    #[command(flatten)]
    job: JobArgs,
    /// Where to compute: auto, cpu, ref … (default: auto).
    #[arg(long, env = "VLM_DEVICE")]
    device: Option<String>,
    /// Where checkpoints, logs and the model go (default: outputs/train).
    #[arg(long)]
    output: Option<PathBuf>,
    /// Continues a run that was interrupted.
    #[arg(long)]
    resume: bool,
    /// Threads of the CPU backend (default: all).
    #[arg(long)]
    threads: Option<usize>,
    /// Element type of the model: f32, bf16 or f16 (default: f32, or that of your own model).
    #[arg(long)]
    dtype: Option<DType>,
    /// Decides starting values and data order (default: 42).
    #[arg(long)]
    seed: Option<u64>,
    /// Passes over the data (default: 20, or 3 for your own).
    #[arg(long)]
    epochs: Option<f64>,
    /// Steps, instead of passes.
    #[arg(long)]
    max_steps: Option<u64>,
    /// Rows of a micro-batch (default: 48, or 8 for your own data).
    #[arg(long)]
    batch: Option<usize>,
    /// Micro-batches of a step (default: 1).
    #[arg(long)]
    accumulate: Option<usize>,
    /// Highest learning rate (default: 3e-3, or 5e-5 for your own model).
    #[arg(long)]
    learning_rate: Option<f64>,
    /// Steps between checkpoints; 0: only at the end (default: 50, or 500 for your own data).
    #[arg(long)]
    save_steps: Option<u64>,
}

impl Args {
    /// The settings of a job of the user's own.
    fn job(&self) -> Result<RunConfig> {
        let mut flags = Flags::default();
        flags.text("--device", "device", self.device.clone());
        flags.text("--output", "output_dir", self.output.as_deref().map(Path::to_string_lossy));
        flags.text("--resume", "resume_from_checkpoint", self.resume.then_some("auto"));
        flags.text("--dtype", "dtype", self.dtype.map(DType::name));
        flags.count("--threads", "threads", self.threads.map(|n| n as u64));
        flags.count("--seed", "seed", self.seed);
        flags.number("--epochs", "num_train_epochs", self.epochs);
        flags.count("--max-steps", "max_steps", self.max_steps);
        flags.count("--batch", "per_device_train_batch_size", self.batch.map(|n| n as u64));
        flags.count("--accumulate", "gradient_accumulation_steps", self.accumulate.map(|n| n as u64));
        flags.number("--learning-rate", "learning_rate", self.learning_rate);
        flags.count("--save-steps", "save_steps", self.save_steps);
        self.job.config(FinetuningType::Full, flags.0)
    }
}

fn main() -> ExitCode {
    program::init_logs();
    let args = Args::parse();
    let ended = if args.job.is_given() { args.job().and_then(|config| tuning::run(&config)) } else { run(&args) };
    program::close();
    match ended {
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
    let device = program::open_device(args.device.as_deref().unwrap_or("auto"))?;
    let (dtype, seed) = (args.dtype.unwrap_or(DType::F32), args.seed.unwrap_or(42));
    println!("device: {device} ({}), {dtype}", device.kernels().properties().name);
    let stop = program::stop_flag()?;
    let tokenizer = tokenizer()?;
    let digits = Digits::load(SIDE)?;
    let model = build(config(&tokenizer)?, seed, dtype, &device)?;
    let task = DigitTask::new(&model, &tokenizer, &digits.train, Question::Which)?;
    let output = args.output.clone().unwrap_or_else(|| "outputs/train".into());
    let options = TrainerOptions {
        num_train_epochs: args.epochs.unwrap_or(20.0),
        max_steps: args.max_steps,
        per_device_train_batch_size: args.batch.unwrap_or(48),
        gradient_accumulation_steps: args.accumulate.unwrap_or(1),
        learning_rate: args.learning_rate.unwrap_or(3e-3),
        lr_scheduler_type: ScheduleKind::Cosine,
        seed,
        save_steps: args.save_steps.unwrap_or(50),
        resume: if args.resume { Resume::IfThere } else { Resume::No },
        ..TrainerOptions::new(&output)
    };
    let trainer = Trainer::new(options, model.modules().trainable(), model.config())?;
    let outcome = trainer.with_sink(Box::new(Bar::new("train", 100))).with_stop(stop).run(&task)?;
    if !outcome.finished {
        println!("stopped at step {}; continue with --resume", outcome.steps);
        return Ok(false);
    }
    let folder = output.join("model");
    folder::save(&model, &tokenizer, &folder)?;
    let read = answers(&model, &tokenizer, &digits.test, Question::Which)?;
    println!("model: {}", folder.display());
    println!("accuracy: {:.2}", accuracy(&read, &digits.test, Question::Which));
    Ok(true)
}
