//! Settings of a run.

use super::optim::{AdamWOptions, Schedule, ScheduleKind};
use crate::{Error, ErrorKind, Result};
use std::path::PathBuf;

/// Whether a run continues a former one in the same output folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Resume {
    /// Starts anew; former checkpoints in the folder are an error.
    #[default]
    No,
    /// Continues from the newest valid checkpoint, or starts anew if there is none.
    IfThere,
    /// Continues from the newest valid checkpoint, which must be there.
    Must,
}

/// Settings of a run, with Hugging Face's names.
#[derive(Clone, Debug)]
pub struct TrainerOptions {
    /// Where checkpoints, logs and plots go. One run at a time.
    pub output_dir: PathBuf,
    /// Passes over the data, unless `max_steps` is set.
    pub num_train_epochs: f64,
    /// Optimizer steps.
    pub max_steps: Option<u64>,
    /// Rows of a micro-batch.
    pub per_device_train_batch_size: usize,
    /// Micro-batches of a step. Their losses are averaged over all their tokens together.
    pub gradient_accumulation_steps: usize,
    /// Highest learning rate.
    pub learning_rate: f64,
    /// How it falls.
    pub lr_scheduler_type: ScheduleKind,
    /// Share of steps over which it rises.
    pub warmup_ratio: f64,
    /// Gradients are scaled down to this norm; `None`: never.
    pub max_grad_norm: Option<f64>,
    /// AdamW's settings.
    pub adamw: AdamWOptions,
    /// Decides data order and dropout.
    pub seed: u64,
    /// Steps between lines of the log.
    pub logging_steps: u64,
    /// Steps between checkpoints; 0: only at the end and when stopped.
    pub save_steps: u64,
    /// How many checkpoints are kept.
    pub save_total_limit: Option<usize>,
    /// Whether to continue a former run.
    pub resume: Resume,
    /// Accepts trained parameters that get no gradient. Otherwise they stop the run at its first step.
    pub allow_missing_gradients: bool,
}

impl TrainerOptions {
    /// Usual settings for a run in `output_dir`.
    pub fn new(output_dir: impl Into<PathBuf>) -> Self {
        TrainerOptions {
            output_dir: output_dir.into(),
            num_train_epochs: 1.0,
            max_steps: None,
            per_device_train_batch_size: 8,
            gradient_accumulation_steps: 1,
            learning_rate: 1e-4,
            lr_scheduler_type: ScheduleKind::Cosine,
            warmup_ratio: 0.05,
            max_grad_norm: Some(1.0),
            adamw: AdamWOptions::default(),
            seed: 42,
            logging_steps: 10,
            save_steps: 0,
            save_total_limit: Some(2),
            resume: Resume::No,
            allow_missing_gradients: false,
        }
    }

    /// Number of steps of a run over `rows` rows.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] naming the setting that makes no sense.
    pub(super) fn total_steps(&self, batches_per_epoch: usize) -> Result<u64> {
        let wrong = |message: String| Err(Error::new(ErrorKind::Config, "train", message));
        if self.gradient_accumulation_steps == 0 || self.logging_steps == 0 {
            return wrong("gradient_accumulation_steps and logging_steps must be at least 1".to_owned());
        }
        if !(0.0..=1.0).contains(&self.warmup_ratio) {
            return wrong(format!("warmup_ratio must be between 0 and 1, found {}", self.warmup_ratio));
        }
        if self.max_grad_norm.is_some_and(|n| !(n.is_finite() && n > 0.0)) {
            return wrong(format!("max_grad_norm must be positive, found {:?}", self.max_grad_norm));
        }
        if let Some(steps) = self.max_steps {
            return if steps > 0 { Ok(steps) } else { wrong("max_steps must be at least 1".to_owned()) };
        }
        if !(self.num_train_epochs.is_finite() && self.num_train_epochs > 0.0) {
            return wrong(format!("num_train_epochs must be positive, found {}", self.num_train_epochs));
        }
        let per_epoch = batches_per_epoch as f64 / self.gradient_accumulation_steps as f64;
        Ok(((per_epoch * self.num_train_epochs).ceil() as u64).max(1))
    }

    pub(super) fn schedule(&self, total: u64) -> Result<Schedule> {
        let warmup = (self.warmup_ratio * total as f64).ceil() as u64;
        Schedule::new(self.lr_scheduler_type, self.learning_rate, warmup, total)
    }

    /// What must be the same for a run to go on where another one stopped. Floats are kept as bits.
    pub(super) fn fingerprint(&self, total: u64, data: &str, model: &serde_json::Value) -> serde_json::Value {
        let bits = |x: f64| format!("{x} ({:016x})", x.to_bits());
        serde_json::json!({
            "total_steps": total,
            "per_device_train_batch_size": self.per_device_train_batch_size,
            "gradient_accumulation_steps": self.gradient_accumulation_steps,
            "learning_rate": bits(self.learning_rate),
            "lr_scheduler_type": self.lr_scheduler_type,
            "warmup_ratio": bits(self.warmup_ratio),
            "max_grad_norm": self.max_grad_norm.map(bits),
            "adamw": format!("{:?}", self.adamw),
            "seed": self.seed,
            "data": data,
            "model": model,
        })
    }
}
