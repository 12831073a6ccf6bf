//! Learning rates over time.

use crate::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

/// How the learning rate falls after the warm-up, with Hugging Face's names (`lr_scheduler_type`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleKind {
    /// Stays.
    #[serde(alias = "constant_with_warmup")]
    Constant,
    /// In a straight line to 0.
    Linear,
    /// Along half a cosine to 0 (Loshchilov and Hutter 2017).
    #[default]
    Cosine,
}

/// A learning rate for each step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    kind: ScheduleKind,
    peak: f64,
    warmup: u64,
    total: u64,
}

impl Schedule {
    /// Rises in a straight line to `peak` over `warmup` of `total` steps, then falls as `kind` says.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for a peak that is negative or not finite, no steps, or more warm-up than steps.
    pub fn new(kind: ScheduleKind, peak: f64, warmup: u64, total: u64) -> Result<Self> {
        let wrong = |message: String| Err(Error::new(ErrorKind::Config, "schedule", message));
        if !(peak.is_finite() && peak > 0.0) {
            return wrong(format!("learning_rate must be positive, found {peak}"));
        }
        if total == 0 {
            return wrong("there are no steps to train".to_owned());
        }
        if warmup > total {
            return wrong(format!("{warmup} warm-up steps are more than the {total} steps of the run"))
                .map_err(|e| e.hint("lower warmup_steps, or train longer"));
        }
        Ok(Schedule { kind, peak, warmup, total })
    }

    /// The learning rate of step `step`, counted from 0, as in Hugging Face's schedules.
    pub fn lr(&self, step: u64) -> f64 {
        if step < self.warmup {
            return self.peak * step as f64 / self.warmup as f64;
        }
        let done = (step - self.warmup) as f64 / (self.total - self.warmup).max(1) as f64;
        let done = done.min(1.0);
        match self.kind {
            ScheduleKind::Constant => self.peak,
            ScheduleKind::Linear => self.peak * (1.0 - done),
            ScheduleKind::Cosine => self.peak * 0.5 * (1.0 + (std::f64::consts::PI * done).cos()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_those_of_transformers() {
        // transformers.get_cosine_schedule_with_warmup(optimizer, 4, 10) and its linear and constant siblings.
        let cosine = Schedule::new(ScheduleKind::Cosine, 1.0, 4, 10).unwrap();
        let want = [0.0, 0.25, 0.5, 0.75, 1.0, 0.933_012_70, 0.75, 0.5, 0.25, 0.066_987_30, 0.0];
        for (step, want) in want.into_iter().enumerate() {
            assert!((cosine.lr(step as u64) - want).abs() < 1e-8, "step {step}");
        }
        assert_eq!(Schedule::new(ScheduleKind::Linear, 2.0, 0, 4).unwrap().lr(1), 1.5);
        assert_eq!(Schedule::new(ScheduleKind::Constant, 2.0, 2, 4).unwrap().lr(3), 2.0);
    }

    #[test]
    fn impossible_schedules_are_refused() {
        for (peak, warmup, total) in [(f64::NAN, 0, 1), (-1.0, 0, 1), (0.0, 0, 1), (1.0, 2, 1), (1.0, 0, 0)] {
            assert_eq!(Schedule::new(ScheduleKind::Linear, peak, warmup, total).unwrap_err().kind(), ErrorKind::Config);
        }
    }
}
