//! The main job: a small vision-language model learns to read handwritten digits from nothing, is LoRA-tuned to another
//! task, and answers about pictures it has never seen.
//!
//! `cargo run --release -p lora`

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout)] // Its output is what the program is for.

use anyhow::Result;
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
use vlm_examples::model::{DigitTask, SIDE, build, config};
use vlm_examples::program::{self, Bar};
use vlm_examples::prompt::{Question, tokenizer};

#[derive(Debug, Parser)]
#[command(about = "Trains a small vision-language model on handwritten digits and LoRA-tunes it to a new task")]
struct Args {
    /// Where to compute: auto, cpu, ref …
    #[arg(long, default_value = "auto", env = "VLM_DEVICE")]
    device: String,
    /// Where checkpoints, logs, the model and the adapter go.
    #[arg(long, default_value = "outputs/lora")]
    output: PathBuf,
    /// Continues a run that was interrupted.
    #[arg(long)]
    resume: bool,
    /// Threads of the CPU backend (default: all).
    #[arg(long)]
    threads: Option<usize>,
    /// Decides starting values, data order and dropout.
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Passes over the digits while the base learns.
    #[arg(long, default_value_t = 20.0)]
    epochs: f64,
    /// Passes over the digits while the adapter learns.
    #[arg(long, default_value_t = 8.0)]
    lora_epochs: f64,
    /// Steps between checkpoints.
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
    let started = Instant::now();
    program::set_threads(args.threads);
    let device = program::open_device(&args.device)?;
    println!("device: {device} ({})", device.kernels().properties().name);
    let _lock = OutputLock::acquire(&args.output)?;
    if !args.resume {
        clear(&args.output)?;
    }
    let stop = program::stop_flag()?;

    let tokenizer = tokenizer()?;
    let digits = Digits::load(SIDE)?;
    let model = build(config(&tokenizer)?, args.seed, vlm_core::DType::F32, &device)?;
    println!(
        "model: {} parameters; {} pictures to learn from, {} unseen ones to be asked about",
        model.modules().count(),
        digits.train.len(),
        digits.test.len()
    );

    let task = DigitTask::new(&model, &tokenizer, &digits.train, Question::Which)?;
    let base = TrainerOptions {
        num_train_epochs: args.epochs,
        per_device_train_batch_size: 48,
        learning_rate: 3e-3,
        ..options(args, "base")
    };
    if !train(base, &model, &task, "base", &stop)? {
        return stopped(args);
    }
    folder::save(&model, &tokenizer, &args.output.join("base-model"))?;
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
    let adapter = LoraAdapter::inject(&model, "default", settings, args.seed)?;
    adapter.set_training(true);
    let task = DigitTask::new(&model, &tokenizer, &digits.train, Question::Next)?;
    let tuning = TrainerOptions {
        num_train_epochs: args.lora_epochs,
        per_device_train_batch_size: 48,
        learning_rate: 4e-3,
        ..options(args, "tuning")
    };
    if !train(tuning, &model, &task, "lora", &stop)? {
        return stopped(args);
    }
    adapter.set_training(false);
    adapter.save(&args.output.join("adapter"))?;
    let after = answers(&model, &tokenizer, &digits.test, Question::Next)?;
    let tuned_accuracy = accuracy(&after, &digits.test, Question::Next);

    show(&digits, &before, &after);
    println!("adapter: {} trained numbers in {}", trained(&adapter), args.output.join("adapter").display());
    let peak = program::peak_mib().map_or_else(|| "unknown".to_owned(), |m| format!("{m} MiB"));
    println!("time: {:.1} s, peak memory: {peak}", started.elapsed().as_secs_f64());
    println!("accuracy: base {base_accuracy:.2} tuned {tuned_accuracy:.2}");
    Ok(tuned_accuracy > base_accuracy)
}

/// The linear layers of the language model, by PEFT's names.
const TARGETS: &str = r".*language_model\.layers\..*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)";

fn options(args: &Args, part: &str) -> TrainerOptions {
    TrainerOptions {
        seed: args.seed,
        save_steps: args.save_steps,
        resume: if args.resume { Resume::IfThere } else { Resume::No },
        ..TrainerOptions::new(args.output.join(part))
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
    println!("stopped; everything is saved in {}: continue with --resume", args.output.display());
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
