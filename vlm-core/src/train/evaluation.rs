//! Judging rows that are not learnt.

use super::Task;
use crate::autograd::no_grad;
use crate::{Error, ErrorKind, Result};

/// What is called with `false` before rows are judged and with `true` before training goes on.
pub(super) type ModeSwitch<'t> = Box<dyn Fn(bool) + 't>;

/// Rows that are judged while others are learnt.
pub(super) struct Evaluation<'t> {
    task: &'t dyn Task,
    every: u64,
}

impl<'t> Evaluation<'t> {
    pub(super) fn new(task: &'t dyn Task, every: u64) -> Result<Self> {
        if task.is_empty() {
            return Err(Error::new(ErrorKind::Config, "evaluate", "there are no rows to evaluate")
                .hint("keep some rows for validation (val_size), or leave the evaluation out"));
        }
        Ok(Evaluation { task, every })
    }

    /// Whether there is one after `step` of `total` steps.
    pub(super) fn is_due(&self, step: u64, total: u64) -> bool {
        step == total || (step > 0 && self.every > 0 && step.is_multiple_of(self.every))
    }

    /// The mean loss over the tokens of all rows, without gradients.
    pub(super) fn loss(&self, batch: usize, switch: Option<&ModeSwitch<'_>>) -> Result<f64> {
        let rows: Vec<usize> = (0..self.task.len()).collect();
        let set_training = |training| switch.into_iter().for_each(|s| s(training));
        set_training(false);
        let all = no_grad(|| {
            rows.chunks(batch.max(1)).try_fold((0.0, 0), |(sum, tokens), rows| {
                let loss = self.task.loss(rows).map_err(|e| e.with("while", "evaluating"))?;
                Ok::<_, Error>((sum + loss.sum.item::<f64>()?, tokens + loss.tokens))
            })
        });
        set_training(true);
        let (sum, tokens) = all?;
        Ok(sum / tokens as f64)
    }
}
