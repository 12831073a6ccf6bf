//! What a run writes beside its checkpoints.

use super::options::TrainerOptions;
use super::report::{EventWriter, LogEntry, LossPlot, Progress, TrainerLog, jsonl};
use crate::Result;
use std::path::Path;

pub(super) struct Logs {
    lines: TrainerLog,
    events: Option<EventWriter>,
    plot: bool,
}

impl Logs {
    /// The logs of a run that goes on after `step` steps.
    pub(super) fn open(options: &TrainerOptions, step: u64) -> Result<Self> {
        let dir = &options.output_dir;
        let (path, runs) = (dir.join("trainer_log.jsonl"), dir.join("runs"));
        let lines = if step == 0 { TrainerLog::create(&path)? } else { TrainerLog::resume(&path, step)? };
        let events = match (options.tensorboard, step) {
            (false, _) => None,
            (true, 0) => Some(EventWriter::create(&runs)?),
            (true, _) => Some(EventWriter::resume(&runs, step)?),
        };
        Ok(Logs { lines, events, plot: options.plot_loss })
    }

    pub(super) fn write(&mut self, progress: &Progress) -> Result<()> {
        self.lines.append(&progress.log_entry())?;
        let mut scalars = vec![("train/loss", progress.loss), ("train/learning_rate", progress.lr)];
        scalars.extend(progress.grad_norm.map(|norm| ("train/grad_norm", norm)));
        self.scalars(&scalars, progress.current_steps)
    }

    /// The loss of the evaluation after the last step.
    pub(super) fn write_evaluation(&mut self, progress: &Progress, loss: f64) -> Result<()> {
        let entry = LogEntry {
            loss: None,
            lr: None,
            grad_norm: None,
            throughput: None,
            eval_loss: Some(loss),
            ..progress.log_entry()
        };
        self.lines.append(&entry)?;
        self.scalars(&[("eval/loss", loss)], progress.current_steps)
    }

    /// The loss of the evaluation after `step`, if there was one; the inner `None` if it was not finite.
    pub(super) fn evaluation(&self, step: u64) -> Result<Option<Option<f64>>> {
        let entries = jsonl::read(self.lines.path())?.entries;
        // An evaluation has neither loss nor learning rate of its own.
        let found = entries.into_iter().rev().find(|e| e.current_steps == step && e.lr.is_none());
        Ok(found.map(|e| e.eval_loss))
    }

    fn scalars(&mut self, values: &[(&str, f64)], step: u64) -> Result<()> {
        self.events.as_mut().map_or(Ok(()), |events| events.scalars(values, step))
    }

    pub(super) fn flush(&mut self) -> Result<()> {
        self.events.as_mut().map_or(Ok(()), EventWriter::flush)
    }

    /// Draws the loss of the whole run.
    pub(super) fn finish(mut self, dir: &Path) -> Result<()> {
        self.flush()?;
        if !self.plot {
            return Ok(());
        }
        let entries = jsonl::read(self.lines.path())?.entries;
        let points = |of: fn(&LogEntry) -> Option<f64>| -> Vec<(u64, f64)> {
            entries.iter().filter_map(|e| Some((e.current_steps, of(e)?))).collect()
        };
        let (train, eval) = (points(|e| e.loss), points(|e| e.eval_loss));
        let mut plot = LossPlot::new("training loss").curve("train/loss", &train);
        if !eval.is_empty() {
            plot = plot.points("eval/loss", &eval);
        }
        plot.save(&dir.join("training_loss.svg"))
    }
}
