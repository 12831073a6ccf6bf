//! A job of the user's own: a model, data, a method, all of which [`RunConfig`] describes.

mod method;
mod output;
mod registry;
mod rows;

use crate::hub::model_folder;
use crate::program::{self, Bar};
use crate::run_config::{RunConfig, Stage};
use anyhow::{Result, bail};
use method::Method;
use rows::Rows;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use vlm_core::models::auto::AutoModel;
use vlm_core::models::processor::{DualProcessor, Processor};
use vlm_core::models::{DualEncoder, Model, VisionLanguageModel, load_auto};
use vlm_core::train::checkpoint::OutputLock;
use vlm_core::train::{ConversationTask, Outcome, PairTask, Resume, Task, Trainer, TrainerOptions};

/// Rows that are prepared before training starts, to find mistakes and to tell how many tokens there are.
const SURVEYED: usize = 512;

/// Runs the job and prints what it does; the last line says where the result is. Returns false if it was stopped.
///
/// # Errors
/// Everything that can be wrong with settings, model and data, before training starts where it can be known.
#[allow(clippy::print_stdout)] // Its output is what the programs are for.
pub fn run(config: &RunConfig) -> Result<bool> {
    let started = Instant::now();
    program::set_threads(config.threads);
    let device = program::open_device(&config.device)?;
    let source = model_folder(&config.model_name_or_path, config.revision.as_deref())?;
    let rows = Rows::read(config)?;
    config.trainer.steps(rows.train.len()).map_err(|e| config.explain(e))?;
    let dir = &config.trainer.output_dir;
    let sources: Vec<&Path> = std::iter::once(&*source).chain(config.adapter_name_or_path.as_deref()).collect();
    output::check(dir, &sources)?;
    let lock = Arc::new(OutputLock::acquire(dir)?);
    if config.overwrite_output_dir && config.trainer.resume == Resume::No {
        output::clear(dir)?;
    }
    let model = load_auto(&source, config.dtype, &device)?;
    println!("device: {device} ({}), {}", device.kernels().properties().name, model.model().dtype());
    let mut trainer = config.trainer.clone();
    if let AutoModel::DualEncoder(_) = &model {
        let batch = trainer.per_device_train_batch_size;
        if batch < 2 {
            bail!(
                "per_device_train_batch_size is {batch}: a picture is compared with the texts of others, so give at least 2"
            );
        }
        // A pair alone would be compared with nothing.
        trainer.dataloader_drop_last = rows.train.len() >= batch;
    }
    let steps = trainer.steps(rows.train.len()).map_err(|e| config.explain(e))?;
    let job = Job { config, trainer, source: &source, rows: &rows, steps, lock };
    let (outcome, method) = match &model {
        AutoModel::VisionLanguage(model) => job.converse(&**model)?,
        AutoModel::DualEncoder(model) => job.compare(&**model)?,
        other => bail!("{other:?} cannot be trained"),
    };
    if let Some(loss) = outcome.eval_loss {
        println!("eval loss: {loss:.4}");
    }
    if !outcome.finished {
        println!("stopped at step {}; everything is saved in {}: continue with --resume", outcome.steps, dir.display());
        return Ok(false);
    }
    method.set_training(false);
    let saved = method.save(model.model(), &source, dir)?;
    let peak = program::peak_memory(model.model().device());
    println!("time: {:.1} s, peak memory: {peak}", started.elapsed().as_secs_f64());
    println!("saved: {}", saved.display());
    Ok(true)
}

/// What both kinds of model have in common.
struct Job<'a> {
    config: &'a RunConfig,
    trainer: TrainerOptions,
    source: &'a Path,
    rows: &'a Rows,
    steps: u64,
    lock: Arc<OutputLock>,
}

#[allow(clippy::print_stdout)] // As above.
impl Job<'_> {
    /// Trains a model that writes text on conversations.
    fn converse(&self, model: &dyn VisionLanguageModel) -> Result<(Outcome, Method)> {
        let method = self.set_up(model, Stage::Sft)?;
        model.set_gradient_checkpointing(self.config.gradient_checkpointing);
        let processor = Processor::load(self.source)?;
        let options = self.config.data.conversation;
        let task = |rows| ConversationTask::new(model, &processor, rows, options);
        let train = task(&self.rows.train)?;
        let found = train.survey(SURVEYED).map_err(|e| self.config.explain(e))?;
        let eval = (!self.rows.eval.is_empty()).then(|| task(&self.rows.eval)).transpose()?;
        if let Some(eval) = &eval {
            eval.survey(SURVEYED).map_err(|e| self.config.explain(e))?;
        }
        let (all, about) = (self.rows.train.len(), if found.rows < self.rows.train.len() { "about " } else { "" });
        let scaled = |n: usize| n * all / found.rows.max(1);
        println!(
            "tokens: {about}{} a pass, {about}{} of them learnt; the longest row has {about}{}",
            scaled(found.tokens),
            scaled(found.learnt),
            found.longest
        );
        let outcome = self.train(model, &method, &train, eval.as_ref().map(|t| t as &dyn Task))?;
        Ok((outcome, method))
    }

    /// Trains a model that compares pictures with texts on pairs.
    fn compare(&self, model: &dyn DualEncoder) -> Result<(Outcome, Method)> {
        let method = self.set_up(model, Stage::Contrastive)?;
        for key in ["gradient_checkpointing", "cutoff_len", "mask_history", "train_on_prompt", "image_max_pixels"] {
            if self.config.is_set(key) {
                tracing::warn!("{key} has no effect on a model that compares pictures with texts");
            }
        }
        let processor = DualProcessor::load(self.source)?;
        let task = |rows| PairTask::new(model, &processor, rows);
        let train = task(&self.rows.train)?;
        let eval = (!self.rows.eval.is_empty()).then(|| task(&self.rows.eval)).transpose()?;
        let outcome = self.train(model, &method, &train, eval.as_ref().map(|t| t as &dyn Task))?;
        Ok((outcome, method))
    }

    /// Checks that the model can do what is asked, makes it ready, and says so.
    fn set_up(&self, model: &dyn Model, stage: Stage) -> Result<Method> {
        let kind = model.config()["model_type"].as_str().unwrap_or_default().to_owned();
        match (self.config.stage, stage) {
            (Some(Stage::Contrastive), Stage::Sft) => {
                bail!("stage is contrastive, but {kind} models write text: use sft")
            }
            (Some(Stage::Sft), Stage::Contrastive) => {
                bail!("stage is sft, but {kind} models write no text: use contrastive")
            }
            _ => {}
        }
        let all = model.modules().count();
        let method = Method::set_up(model, self.config, stage)?;
        let trained: usize = model.modules().trainable().iter().map(|p| p.shape().count()).sum();
        println!(
            "model: {} ({kind}), {all} parameters, {trained} trained ({:.2} %): {}",
            self.source.display(),
            100.0 * trained as f64 / all.max(1) as f64,
            method.describe()
        );
        let Rows { train, eval, skipped } = self.rows;
        let trainer = &self.trainer;
        println!("rows: {} to learn from, {} for evaluation, {skipped} left out", train.len(), eval.len());
        println!(
            "steps: {} of {} rows; output: {}",
            self.steps,
            trainer.per_device_train_batch_size * trainer.gradient_accumulation_steps,
            trainer.output_dir.display()
        );
        Ok(method)
    }

    fn train(&self, model: &dyn Model, method: &Method, task: &dyn Task, eval: Option<&dyn Task>) -> Result<Outcome> {
        let options = self.trainer.clone();
        let bar = Bar::new(self.config.finetuning_type.as_str(), options.logging_steps);
        let mut trainer = Trainer::new(options, model.modules().trainable(), method.fingerprint(model)?)?
            .with_sink(Box::new(bar))
            .with_stop(program::stop_flag()?)
            .with_lock(self.lock.clone())
            .with_mode(|training| method.set_training(training));
        if let (Some(eval), Some(every)) = (eval, self.config.eval_steps) {
            trainer = trainer.with_evaluation(eval, every);
        }
        trainer.run(task).map_err(|e| self.config.explain(e).into())
    }
}
