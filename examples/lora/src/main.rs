//! The main job: a small vision-language model learns to read handwritten digits from nothing, is LoRA-tuned to another
//! task, and answers about pictures it has never seen. With a model and data of your own: LoRA-tunes that model.
//!
//! ```text
//! cargo run --release -p lora
//! cargo run --release -p lora -- --model DIR --dataset rows.jsonl --output out --epochs 3
//! cargo run --release -p lora -- run.yaml learning_rate=2e-4
//! ```

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout)] // Its output is what the program is for.

use anyhow::{Result, bail};
use clap::Parser;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;
use vlm_core::lora::LoraAdapter;
use vlm_core::lora::peft_config::{ModuleNames, PeftConfig};
use vlm_core::models::Model;
use vlm_core::models::llava::Llava;
use vlm_core::train::checkpoint::OutputLock;
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
    about = "Trains a small vision-language model on handwritten digits and LoRA-tunes it to a new task; or LoRA-tunes \
                   your own model on your own data"
)]
struct Args {
    #[command(flatten)]
    job: JobArgs,
    /// Where to compute: auto, cpu, ref … (default: auto).
    #[arg(long, env = "VLM_DEVICE")]
    device: Option<String>,
    /// Where checkpoints, logs, the model and the adapter go (default: outputs/lora).
    #[arg(long)]
    output: Option<PathBuf>,
    /// Continues a run that was interrupted.
    #[arg(long)]
    resume: bool,
    /// Threads of the CPU backend (default: all).
    #[arg(long)]
    threads: Option<usize>,
    /// Decides starting values, data order and dropout (default: 42).
    #[arg(long)]
    seed: Option<u64>,
    /// Passes over the digits while the base learns, or over your own data (default: 20, or 3).
    #[arg(long)]
    epochs: Option<f64>,
    /// Passes over the digits while the adapter learns (default: 8).
    #[arg(long)]
    lora_epochs: Option<f64>,
    /// Steps between checkpoints (default: 50, or 500 for your own data).
    #[arg(long)]
    save_steps: Option<u64>,
}

impl Args {
    /// The settings of a job of the user's own.
    fn job(&self) -> Result<RunConfig> {
        if self.lora_epochs.is_some() {
            bail!("--lora-epochs belongs to the digits: give --epochs for your own data");
        }
        let mut flags = Flags::default();
        flags.text("--device", "device", self.device.clone());
        flags.text("--output", "output_dir", self.output.as_deref().map(Path::to_string_lossy));
        flags.text("--resume", "resume_from_checkpoint", self.resume.then_some("auto"));
        flags.count("--threads", "threads", self.threads.map(|n| n as u64));
        flags.count("--seed", "seed", self.seed);
        flags.number("--epochs", "num_train_epochs", self.epochs);
        flags.count("--save-steps", "save_steps", self.save_steps);
        self.job.config(FinetuningType::Lora, flags.0)
    }

    fn output(&self) -> PathBuf {
        self.output.clone().unwrap_or_else(|| "outputs/lora".into())
    }

    fn seed(&self) -> u64 {
        self.seed.unwrap_or(42)
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
    let started = Instant::now();
    program::set_threads(args.threads);
    let device = program::open_device(args.device.as_deref().unwrap_or("auto"))?;
    println!("device: {device} ({})", device.kernels().properties().name);
    let output = args.output();
    let _lock = OutputLock::acquire(&output)?;
    if !args.resume {
        clear(&output)?;
    }
    let stop = program::stop_flag()?;

    let tokenizer = tokenizer()?;
    let digits = Digits::load(SIDE)?;
    let model = build(config(&tokenizer)?, args.seed(), vlm_core::DType::F32, &device)?;
    println!(
        "model: {} parameters; {} pictures to learn from, {} unseen ones to be asked about",
        model.modules().count(),
        digits.train.len(),
        digits.test.len()
    );

    let task = DigitTask::new(&model, &tokenizer, &digits.train, Question::Which)?;
    let base = TrainerOptions {
        num_train_epochs: args.epochs.unwrap_or(20.0),
        per_device_train_batch_size: 48,
        learning_rate: 3e-3,
        ..options(args, "base")
    };
    if !train(base, &model, &task, "base", &stop)? {
        return stopped(args);
    }
    folder::save(&model, &tokenizer, &output.join("base-model"))?;
    let read = answers(&model, &tokenizer, &digits.test, Question::Which)?;
    println!(
        "{:?} {:.2} right on unseen pictures",
        Question::Which.text(),
        accuracy(&read, &digits.test, Question::Which)
    );
    let before = answers(&model, &tokenizer, &digits.test, Question::Next)?;
    let base_accuracy = accuracy(&before, &digits.test, Question::Next);

    let mut settings = PeftConfig::new(8, 16.0, ModuleNames::Regex(TARGETS.to_owned()));
    settings.lora_dropout = 0.05;
    settings.base_model_name_or_path = Some("base-model".to_owned());
    settings.task_type = Some("CAUSAL_LM".to_owned());
    let adapter = LoraAdapter::inject(&model, "default", settings, args.seed())?;
    adapter.set_training(true);
    let task = DigitTask::new(&model, &tokenizer, &digits.train, Question::Next)?;
    let tuning = TrainerOptions {
        num_train_epochs: args.lora_epochs.unwrap_or(8.0),
        per_device_train_batch_size: 48,
        learning_rate: 4e-3,
        ..options(args, "tuning")
    };
    if !train(tuning, &model, &task, "lora", &stop)? {
        return stopped(args);
    }
    adapter.set_training(false);
    adapter.save(&output.join("adapter"))?;
    let after = answers(&model, &tokenizer, &digits.test, Question::Next)?;
    let tuned_accuracy = accuracy(&after, &digits.test, Question::Next);

    show(&digits, &before, &after);
    println!("adapter: {} trained numbers in {}", trained(&adapter), output.join("adapter").display());
    let peak = program::peak_memory(&device);
    println!("time: {:.1} s, peak memory: {peak}", started.elapsed().as_secs_f64());
    println!("accuracy: base {base_accuracy:.2} tuned {tuned_accuracy:.2}");
    Ok(tuned_accuracy > base_accuracy)
}

/// The linear layers of the language model, by PEFT's names.
const TARGETS: &str = r".*language_model\.layers\..*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)";

fn options(args: &Args, part: &str) -> TrainerOptions {
    TrainerOptions {
        seed: args.seed(),
        save_steps: args.save_steps.unwrap_or(50),
        resume: if args.resume { Resume::IfThere } else { Resume::No },
        ..TrainerOptions::new(args.output().join(part))
    }
}

fn train(
    options: TrainerOptions,
    model: &Llava,
    task: &DigitTask<'_>,
    name: &str,
    stop: &Arc<AtomicBool>,
) -> Result<bool> {
    let bar = Bar::new(name, 100);
    let trainer = Trainer::new(options, model.modules().trainable(), model.config())?;
    Ok(trainer.with_sink(Box::new(bar)).with_stop(stop.clone()).run(task)?.finished)
}

fn stopped(args: &Args) -> Result<bool> {
    println!("stopped; everything is saved in {}: continue with --resume", args.output().display());
    Ok(false)
}

/// Removes what a former run of this program left, and nothing else.
fn clear(output: &Path) -> Result<()> {
    for part in ["base", "tuning", "base-model", "adapter"] {
        match std::fs::remove_dir_all(output.join(part)) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e.into()),
            _ => {}
        }
    }
    Ok(())
}

fn show(digits: &Digits, before: &[String], after: &[String]) {
    println!("{:?}", Question::Next.text());
    for i in (0..digits.test.len()).step_by(digits.test.len() / 6) {
        println!("  a picture of {}: before {:?}, after {:?}", digits.test[i].value, before[i], after[i]);
    }
}

fn trained(adapter: &LoraAdapter) -> usize {
    adapter.parameters().iter().map(|p| p.shape().count()).sum()
}
