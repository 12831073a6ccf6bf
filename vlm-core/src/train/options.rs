//! Settings of a run.

use super::optim::{AdamWOptions, Schedule, ScheduleKind};
use crate::data::loader::{Loader, LoaderConfig};
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
    /// Continues from this checkpoint, or the newest valid one in this folder.
    From(PathBuf),
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
    /// Rows that are judged side by side ([`Trainer::with_evaluation`](super::Trainer::with_evaluation)).
    pub per_device_eval_batch_size: usize,
    /// Leaves out the rows of a pass that fill no whole micro-batch: for losses that compare rows with each other.
    pub dataloader_drop_last: bool,
    /// Micro-batches of a step. Their losses are averaged over all their tokens together.
    pub gradient_accumulation_steps: usize,
    /// Highest learning rate.
    pub learning_rate: f64,
    /// How it falls.
    pub lr_scheduler_type: ScheduleKind,
    /// Share of steps over which it rises.
    pub warmup_ratio: f64,
    /// Steps over which it rises, instead of `warmup_ratio`.
    pub warmup_steps: Option<u64>,
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
    /// Whether TensorBoard event files are written, into `runs`.
    pub tensorboard: bool,
    /// Whether `training_loss.svg` is drawn at the end.
    pub plot_loss: bool,
}

impl TrainerOptions {
    /// Usual settings for a run in `output_dir`.
    pub fn new(output_dir: impl Into<PathBuf>) -> Self {
        TrainerOptions {
            output_dir: output_dir.into(),
            num_train_epochs: 1.0,
            max_steps: None,
            per_device_train_batch_size: 8,
            per_device_eval_batch_size: 8,
            dataloader_drop_last: false,
            gradient_accumulation_steps: 1,
            learning_rate: 1e-4,
            lr_scheduler_type: ScheduleKind::Cosine,
            warmup_ratio: 0.05,
            warmup_steps: None,
            max_grad_norm: Some(1.0),
            adamw: AdamWOptions::default(),
            seed: 42,
            logging_steps: 10,
            save_steps: 0,
            save_total_limit: Some(2),
            resume: Resume::No,
            allow_missing_gradients: false,
            tensorboard: true,
            plot_loss: true,
        }
    }

    /// Checks every setting that makes no sense whatever the data is.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] naming the setting, what is allowed and what was found.
    pub fn validate(&self) -> Result<()> {
        let wrong = |message: String| Err(Error::new(ErrorKind::Config, "train", message));
        let counts = [
            ("per_device_train_batch_size", self.per_device_train_batch_size as u64),
            ("per_device_eval_batch_size", self.per_device_eval_batch_size as u64),
            ("gradient_accumulation_steps", self.gradient_accumulation_steps as u64),
            ("logging_steps", self.logging_steps),
            ("max_steps", self.max_steps.unwrap_or(1)),
            ("save_total_limit", self.save_total_limit.unwrap_or(1) as u64),
        ];
        if let Some((name, _)) = counts.iter().find(|(_, n)| *n == 0) {
            return wrong(format!("{name} must be at least 1, found 0"));
        }
        if !(self.learning_rate.is_finite() && self.learning_rate > 0.0) {
            return wrong(format!("learning_rate must be positive, found {}", self.learning_rate));
        }
        if !(0.0..=1.0).contains(&self.warmup_ratio) {
            return wrong(format!("warmup_ratio must be between 0 and 1, found {}", self.warmup_ratio));
        }
        if let Some(norm) = self.max_grad_norm.filter(|n| !(n.is_finite() && *n > 0.0)) {
            return wrong(format!("max_grad_norm must be positive, found {norm}"));
        }
        if self.max_steps.is_none() && !(self.num_train_epochs.is_finite() && self.num_train_epochs > 0.0) {
            return wrong(format!("num_train_epochs must be positive, found {}", self.num_train_epochs));
        }
        self.adamw.validate()
    }

    /// Number of steps of a run over `rows` rows.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] naming the setting that makes no sense, more warm-up than steps included.
    pub fn steps(&self, rows: usize) -> Result<u64> {
        self.validate()?;
        let total = self.total_steps(self.loader(rows)?.batches_per_epoch());
        self.schedule(total)?;
        Ok(total)
    }

    /// The order of `rows` rows.
    pub(super) fn loader(&self, rows: usize) -> Result<Loader> {
        let config = LoaderConfig {
            batch_size: self.per_device_train_batch_size,
            shuffle: true,
            drop_last: self.dataloader_drop_last,
            seed: self.seed,
        };
        Loader::new((0..rows).collect(), config)
    }

    pub(super) fn total_steps(&self, batches_per_epoch: usize) -> u64 {
        let per_epoch = batches_per_epoch as f64 / self.gradient_accumulation_steps as f64;
        self.max_steps.unwrap_or_else(|| ((per_epoch * self.num_train_epochs).ceil() as u64).max(1))
    }

    pub(super) fn schedule(&self, total: u64) -> Result<Schedule> {
        let share = || (self.warmup_ratio * total as f64).ceil() as u64;
        let warmup = self.warmup_steps.unwrap_or_else(share);
        Schedule::new(self.lr_scheduler_type, self.learning_rate, warmup, total)
    }

    /// What must be the same for a run to go on where another one stopped. Floats are kept as bits.
    pub(super) fn fingerprint(&self, total: u64, data: &str, model: &serde_json::Value) -> serde_json::Value {
        let bits = |x: f64| format!("{x} ({:016x})", x.to_bits());
        let mut all = serde_json::json!({
            "total_steps": total,
            "per_device_train_batch_size": self.per_device_train_batch_size,
            "dataloader_drop_last": self.dataloader_drop_last,
            "gradient_accumulation_steps": self.gradient_accumulation_steps,
            "learning_rate": bits(self.learning_rate),
            "lr_scheduler_type": self.lr_scheduler_type,
            "warmup_ratio": bits(self.warmup_ratio),
            "max_grad_norm": self.max_grad_norm.map(bits),
            "adamw": format!("{:?}", self.adamw),
            "seed": self.seed,
            "data": data,
            "model": model,
        });
        // Only where it is set: checkpoints from before it existed go on.
        if let Some(steps) = self.warmup_steps {
            all["warmup_steps"] = steps.into();
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_make_no_sense_are_named() {
        type Change = fn(&mut TrainerOptions);
        let cases: &[(&str, Change)] = &[
            ("per_device_train_batch_size must be at least 1", |o| o.per_device_train_batch_size = 0),
            ("per_device_eval_batch_size must be at least 1", |o| o.per_device_eval_batch_size = 0),
            ("gradient_accumulation_steps must be at least 1", |o| o.gradient_accumulation_steps = 0),
            ("logging_steps must be at least 1", |o| o.logging_steps = 0),
            ("max_steps must be at least 1", |o| o.max_steps = Some(0)),
            ("save_total_limit must be at least 1", |o| o.save_total_limit = Some(0)),
            ("learning_rate must be positive, found NaN", |o| o.learning_rate = f64::NAN),
            ("learning_rate must be positive, found 0", |o| o.learning_rate = 0.0),
            ("learning_rate must be positive, found -1", |o| o.learning_rate = -1.0),
            ("warmup_ratio must be between 0 and 1, found 2", |o| o.warmup_ratio = 2.0),
            ("warmup_ratio must be between 0 and 1, found NaN", |o| o.warmup_ratio = f64::NAN),
            ("100 warm-up steps are more than the 50 steps", |o| o.warmup_steps = Some(100)),
            ("max_grad_norm must be positive, found -1", |o| o.max_grad_norm = Some(-1.0)),
            ("num_train_epochs must be positive, found 0", |o| o.num_train_epochs = 0.0),
            ("num_train_epochs must be positive, found inf", |o| o.num_train_epochs = f64::INFINITY),
            ("adam_beta1 must be from 0 up to (not including) 1, found 1", |o| o.adamw.betas.0 = 1.0),
            ("adam_beta2 must be from 0 up to (not including) 1, found NaN", |o| o.adamw.betas.1 = f64::NAN),
            ("adam_epsilon must be positive, found 0", |o| o.adamw.eps = 0.0),
            ("weight_decay must not be negative, found -0.1", |o| o.adamw.weight_decay = -0.1),
        ];
        for (wanted, change) in cases {
            let mut options = TrainerOptions::new("nowhere");
            change(&mut options);
            let e = options.steps(400).unwrap_err();
            assert_eq!(e.kind(), ErrorKind::Config);
            assert!(e.message().contains(wanted), "expected {wanted:?}, found {e}");
        }
        let options = TrainerOptions { num_train_epochs: 2.5, ..TrainerOptions::new("nowhere") };
        assert_eq!((options.steps(400).unwrap(), options.steps(1).unwrap()), (125, 3));
    }
}
