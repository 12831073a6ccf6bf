//! The loop.

use super::Task;
use super::checkpoint::{CheckpointStore, OutputLock, latest, resume_from};
use super::evaluation::{Evaluation, ModeSwitch};
use super::logs::Logs;
use super::optim::{Optimizer, Schedule, collect, global_norm, require_all};
use super::options::{Resume, TrainerOptions};
use super::report::{Progress, ProgressSink};
use super::run::State;
use crate::nn::{LossSum, Param};
use crate::random::{self, StreamState};
use crate::{Error, ErrorKind, Result, Tensor};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// What a run came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// Steps done, those of resumed parts included.
    pub steps: u64,
    /// Whether all steps are done; otherwise the run was asked to stop and saved a checkpoint.
    pub finished: bool,
    /// The last step's loss; `None` if there was nothing left to do.
    pub loss: Option<f64>,
    /// The last evaluation's loss; `None` if there was none after the last step or it was not finite.
    pub eval_loss: Option<f64>,
}

/// Trains the parameters it is given until the steps are done or it is asked to stop.
///
/// A run is a function of its settings, data and starting values: killed at any point and resumed on the same device it
/// ends bit for bit where the uninterrupted run does.
pub struct Trainer<'t> {
    options: TrainerOptions,
    params: Vec<Param>,
    model: serde_json::Value,
    stop: Arc<AtomicBool>,
    sink: Box<dyn ProgressSink>,
    evaluation: Option<(&'t dyn Task, u64)>,
    switch: Option<ModeSwitch<'t>>,
    lock: Option<Arc<OutputLock>>,
}

impl std::fmt::Debug for Trainer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Trainer({} parameters, {:?})", self.params.len(), self.options)
    }
}

impl<'t> Trainer<'t> {
    /// A trainer of `params`, which are trained now. `model` describes the model: a resumed run must have the same.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if nothing is trained.
    pub fn new(options: TrainerOptions, params: Vec<Param>, model: serde_json::Value) -> Result<Self> {
        let params: Vec<Param> = params.into_iter().filter(|p| p.is_trainable()).collect();
        if params.is_empty() {
            return Err(Error::new(ErrorKind::Config, "train", "all parameters are frozen, there is nothing to train")
                .hint("unfreeze a part of the model or attach an adapter"));
        }
        Ok(Trainer {
            options,
            params,
            model,
            stop: Arc::default(),
            sink: Box::new(()),
            evaluation: None,
            switch: None,
            lock: None,
        })
    }

    /// Shows progress here.
    #[must_use]
    pub fn with_sink(mut self, sink: Box<dyn ProgressSink>) -> Self {
        self.sink = sink;
        self
    }

    /// Stops after the step in which this becomes true, with a checkpoint: for signal handlers.
    #[must_use]
    pub fn with_stop(mut self, stop: Arc<AtomicBool>) -> Self {
        self.stop = stop;
        self
    }

    /// Judges the rows of `task` every `every` steps (0: never in between) and after the last one, without gradients. The
    /// mean loss goes to the logs as `eval_loss` and `eval/loss`; what is learnt does not depend on it.
    #[must_use]
    pub fn with_evaluation(mut self, task: &'t dyn Task, every: u64) -> Self {
        self.evaluation = Some((task, every));
        self
    }

    /// Calls `switch(false)` before an evaluation and `switch(true)` after it: for dropout.
    #[must_use]
    pub fn with_mode(mut self, switch: impl Fn(bool) + 't) -> Self {
        self.switch = Some(Box::new(switch));
        self
    }

    /// Uses a lock of `output_dir` that the caller holds, for work in the folder before and after the run.
    #[must_use]
    pub fn with_lock(mut self, lock: Arc<OutputLock>) -> Self {
        self.lock = Some(lock);
        self
    }

    /// Runs all steps, or what is left of them.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for settings that make no sense, a folder in use or one that holds another run;
    /// [`ErrorKind::NonFinite`] naming step and rows for a loss or gradients that are not finite, before the optimizer
    /// sees them; [`ErrorKind::MissingGradient`] listing trained parameters that got none; [`ErrorKind::Io`] if a
    /// checkpoint or log cannot be written. Former checkpoints stay loadable.
    pub fn run(mut self, task: &dyn Task) -> Result<Outcome> {
        let options = self.options.clone();
        options.validate()?;
        let loader = options.loader(task.len())?;
        let total = options.total_steps(loader.batches_per_epoch());
        let schedule = options.schedule(total)?;
        let run = options.fingerprint(total, &task.digest(), &self.model);
        let evaluation = self.evaluation.map(|(task, every)| Evaluation::new(task, every)).transpose()?;
        let mut store = match self.lock.take() {
            Some(lock) if lock.dir() == options.output_dir => {
                CheckpointStore::with_lock(lock, options.save_total_limit)?
            }
            Some(lock) => {
                let (held, dir) = (lock.dir().display(), options.output_dir.display());
                let message = format!("the lock is that of {held}, the run's folder is {dir}");
                return Err(Error::new(ErrorKind::Config, "train", message));
            }
            None => CheckpointStore::open(&options.output_dir, options.save_total_limit)?,
        };
        let mut state = State::new(self.params.clone(), loader, &options);
        self.resume(&mut state, &run)?;
        let mut logs = Logs::open(&options, state.step)?;
        let mut progress = Progress::new(total, state.step, state.tokens, state.elapsed);
        progress.epoch = state.loader.epochs();
        let (before, started) = (state.elapsed, Instant::now());
        let (mut loss, mut eval_loss) = (None, None);
        // A run that was stopped before the evaluation that belongs to its last step makes up for it.
        if let Some(due) = evaluation.as_ref().filter(|e| state.step > 0 && e.is_due(state.step, total)) {
            eval_loss = match logs.evaluation(state.step)? {
                Some(known) => known,
                None => self.evaluate(due, &progress, &mut logs)?,
            };
        }
        while state.step < total && !self.stop.load(Ordering::Relaxed) {
            let (lr, done) = (schedule.lr(state.step), self.step(task, &mut state, &schedule)?);
            loss = Some(done.loss);
            state.elapsed = before + started.elapsed();
            progress.grad_norm = Some(done.norm);
            progress.step(done.loss, lr, state.loader.epochs(), done.tokens);
            let at_end = state.step == total || self.stop.load(Ordering::Relaxed);
            if state.step.is_multiple_of(options.logging_steps) || at_end {
                logs.write(&progress)?;
            }
            self.sink.step(&progress);
            if at_end || (options.save_steps > 0 && state.step.is_multiple_of(options.save_steps)) {
                logs.flush()?;
                let path = state.save(&mut store, &run)?;
                self.sink.message(&format!("saved {}", path.display()));
            }
            eval_loss = None;
            // Whoever asks to stop does not want to wait for it.
            let goes_on = state.step == total || !self.stop.load(Ordering::Relaxed);
            if let Some(due) = evaluation.as_ref().filter(|e| goes_on && e.is_due(state.step, total)) {
                eval_loss = self.evaluate(due, &progress, &mut logs)?;
            }
        }
        logs.finish(&options.output_dir)?;
        self.sink.finish(&progress);
        Ok(Outcome { steps: state.step, finished: state.step == total, loss, eval_loss })
    }

    /// The loss, if it is finite.
    fn evaluate(&mut self, rows: &Evaluation<'_>, progress: &Progress, logs: &mut Logs) -> Result<Option<f64>> {
        let loss = rows.loss(self.options.per_device_eval_batch_size, self.switch.as_ref())?;
        logs.write_evaluation(progress, loss)?;
        logs.flush()?;
        self.sink.message(&format!("step {}/{} · eval loss {loss:.4}", progress.current_steps, progress.total_steps));
        Ok(Some(loss).filter(|l| l.is_finite()))
    }

    fn resume(&mut self, state: &mut State, run: &serde_json::Value) -> Result<()> {
        let dir = &self.options.output_dir;
        let checkpoint = match &self.options.resume {
            Resume::Must => Some(resume_from(dir)?),
            Resume::From(path) => Some(resume_from(path)?),
            Resume::IfThere => latest(dir)?.checkpoint,
            Resume::No => {
                if let Some(found) = latest(dir)?.checkpoint {
                    let message = format!("{} holds a run already, at step {}", dir.display(), found.step());
                    return Err(Error::new(ErrorKind::Config, "train", message)
                        .hint("continue it with --resume, or choose another output folder"));
                }
                None
            }
        };
        if let Some(checkpoint) = checkpoint {
            state.restore(&checkpoint, run)?;
            self.sink.message(&format!("continuing from {}", checkpoint.path().display()));
        }
        Ok(())
    }

    fn step(&self, task: &dyn Task, state: &mut State, schedule: &Schedule) -> Result<Step> {
        let mut grads: Vec<Option<Tensor>> = vec![None; state.params.len()];
        let (mut sum, mut tokens, mut rows) = (0.0, 0, Vec::new());
        for micro in 0..self.options.gradient_accumulation_steps {
            let batch = state.loader.next_batch();
            // Dropout depends on seed, step and micro-batch alone, so a resumed run draws the same.
            let stream = (state.step << 32) | (micro as u64) << 20;
            let _stream = random::restore(StreamState { seed: self.options.seed, stream });
            let named = |e: Error| e.with("step", state.step + 1).with("rows", names_of(&batch.rows, task));
            let loss = task.loss(&batch.rows).map_err(named)?;
            rows.extend_from_slice(&batch.rows);
            sum += self.finite(&loss, state.step, &rows, task)?;
            tokens += loss.tokens;
            if loss.tokens == 0 {
                continue;
            }
            let mut found = loss.sum.backward()?;
            for (total, new) in grads.iter_mut().zip(collect(&state.params, &mut found, true)?) {
                *total = match (total.take(), new) {
                    (Some(a), Some(b)) => Some((a + b)?),
                    (a, b) => a.or(b),
                };
            }
        }
        if tokens == 0 {
            let message = format!("step {} has no token to learn from: all labels are masked", state.step + 1);
            return Err(Error::new(ErrorKind::Data, "train", message)
                .with("rows", names_of(&rows, task))
                .hint("check that answers are not cut off by the length limit"));
        }
        if !state.complete && task.reaches_all(&rows) {
            if !self.options.allow_missing_gradients {
                require_all(&state.params, &grads)?;
            }
            state.complete = true;
        }
        let scale = 1.0 / tokens as f64;
        let norm = global_norm(grads.iter().flatten(), scale)?;
        if !norm.norm.is_finite() {
            return Err(non_finite(format!("the gradients have norm {}", norm.norm), state.step, &rows, task));
        }
        let factor = scale * norm.clip_factor(self.options.max_grad_norm);
        state.optimizer.step(&state.params, &grads, schedule.lr(state.step), factor)?;
        state.step += 1;
        state.tokens += tokens as u64;
        Ok(Step { loss: sum / tokens as f64, norm: norm.norm, tokens: tokens as u64 })
    }

    fn finite(&self, loss: &LossSum, step: u64, rows: &[usize], task: &dyn Task) -> Result<f64> {
        let value = loss.sum.item::<f64>()?;
        if value.is_finite() { Ok(value) } else { Err(non_finite(format!("the loss is {value}"), step, rows, task)) }
    }
}

struct Step {
    loss: f64,
    norm: f64,
    tokens: u64,
}

fn names_of(rows: &[usize], task: &dyn Task) -> String {
    let names: Vec<String> = rows.iter().take(8).map(|&r| task.row_name(r)).collect();
    let more = if rows.len() > 8 { format!(" and {} more", rows.len() - 8) } else { String::new() };
    format!("{}{more}", names.join(", "))
}

fn non_finite(what: String, step: u64, rows: &[usize], task: &dyn Task) -> Error {
    Error::new(ErrorKind::NonFinite, "train", format!("{what} in step {}", step + 1))
        .with("rows", names_of(rows, task))
        .hint("lower the learning rate, clip gradients, or look at these rows; the last checkpoint is intact")
}
