//! One token per row and step.

use super::processors::{LogitsProcessor, processors};
use super::recorded::{self, Recorded};
use super::{GenerationConfig, sample};
use crate::autograd::no_grad;
use crate::backend::RandomKey;
use crate::models::{VisionLanguageModel, VlmBatch};
use crate::nn::KvCache;
use crate::random::Rng;
use crate::{DType, Error, ErrorKind, Result};

/// Why a row ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// An end token.
    End,
    /// As many tokens as were allowed.
    Length,
    /// A stop string.
    Stop,
}

/// Generates for all rows of a batch: an iterator over steps, each giving one token per row.
///
/// Rows that have ended get the pad token until all have. The first step reads the prompt.
#[derive(Debug)]
pub struct Generator<'m> {
    model: &'m dyn VisionLanguageModel,
    config: GenerationConfig,
    processors: Vec<Box<dyn LogitsProcessor>>,
    cache: KvCache,
    recorded: Option<Recorded>,
    /// What the next step reads.
    batch: VlmBatch,
    /// All tokens of each row, padding of the prompt left out.
    seen: Vec<Vec<i64>>,
    prompt: Vec<usize>,
    finished: Vec<Option<FinishReason>>,
    rngs: Vec<Rng>,
    steps: usize,
    failed: bool,
}

impl<'m> Generator<'m> {
    /// Prepares to answer `prompt`, whose rows are padded on the left.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for settings out of range or more tokens than the model has positions;
    /// [`ErrorKind::Data`] for rows padded on the right or of different lengths.
    pub fn new(model: &'m dyn VisionLanguageModel, prompt: VlmBatch, mut config: GenerationConfig) -> Result<Self> {
        config.check()?;
        let (b, s) = prompt.size(0)?;
        if let Some(most) = config.max_length {
            if s >= most {
                let message = format!("the prompt has {s} tokens and max_length is {most}");
                return Err(Error::new(ErrorKind::Config, "generate", message)
                    .hint("raise max_length, or shorten the prompt: fewer or smaller pictures, less text"));
            }
            config.max_new_tokens = config.max_new_tokens.min(most - s);
        }
        let real = |row: usize, i: usize| prompt.attention_mask.as_ref().is_none_or(|m| m[row][i]);
        if let Some(row) = (0..b).find(|&row| !real(row, s - 1)) {
            let message = format!("row {row} of the prompt is padded on the right");
            return Err(Error::new(ErrorKind::Data, "generate", message).hint("pad prompts on the left"));
        }
        let seen: Vec<Vec<i64>> =
            (0..b).map(|row| (0..s).filter(|&i| real(row, i)).map(|i| prompt.input_ids[row][i]).collect()).collect();
        Ok(Generator {
            cache: model.new_cache(s + config.max_new_tokens)?,
            recorded: None,
            processors: processors(&config),
            prompt: seen.iter().map(Vec::len).collect(),
            seen,
            finished: vec![None; b],
            rngs: (0..b as u64).map(|stream| Rng::new(RandomKey { seed: config.seed, stream })).collect(),
            batch: prompt,
            model,
            config,
            steps: 0,
            failed: false,
        })
    }

    /// Adds a rule, applied after those of the configuration.
    pub fn add_processor(&mut self, processor: Box<dyn LogitsProcessor>) {
        self.processors.push(processor);
    }

    /// Ends a row, as for a stop string.
    pub fn stop(&mut self, row: usize) {
        self.finished[row].get_or_insert(FinishReason::Stop);
    }

    /// Why each row ended, or `None` if it has not.
    pub fn finished(&self) -> &[Option<FinishReason>] {
        &self.finished
    }

    /// The answer of each row so far, its end token included.
    pub fn answers(&self) -> Vec<&[i64]> {
        self.seen.iter().zip(&self.prompt).map(|(row, &start)| &row[start..]).collect()
    }

    /// The logits of each row's next token, `[b, vocabulary]`.
    fn logits(&mut self) -> Result<Vec<f32>> {
        if self.config.use_graphs
            && let Some(logits) = recorded::step(self.model, &self.batch, &mut self.cache, &mut self.recorded)?
        {
            return Ok(logits);
        }
        no_grad(|| {
            let hidden = self.model.hidden_states(&self.batch, Some(&mut self.cache))?;
            let last = hidden.select(1, hidden.size(1)? - 1)?;
            self.model.logits(&last)?.to_dtype(DType::F32)?.to_vec()
        })
    }

    fn step(&mut self) -> Result<Vec<i64>> {
        let logits = self.logits()?;
        let vocabulary = logits.len() / self.seen.len();
        let pad = self.config.pad_token_id.or(self.config.eos_token_id.first().copied()).unwrap_or(0);
        let mut next = Vec::with_capacity(self.seen.len());
        for (row, logits) in logits.chunks(vocabulary).enumerate() {
            if self.finished[row].is_some() {
                next.push(pad);
                continue;
            }
            let mut logits = logits.to_vec();
            let new = self.seen[row].len() - self.prompt[row];
            self.processors.iter().for_each(|p| p.process(&mut logits, &self.seen[row], new));
            let rng = self.config.do_sample.then_some(&mut self.rngs[row]);
            let id = sample(&logits, rng).map_err(|e| e.with("row", row).with("token", new))? as i64;
            self.seen[row].push(id);
            next.push(id);
            if self.config.eos_token_id.contains(&id) {
                self.finished[row] = Some(FinishReason::End);
            } else if new + 1 >= self.config.max_new_tokens {
                self.finished[row] = Some(FinishReason::Length);
            }
        }
        // The cache holds every place; those of padding and of ended rows' pads stay hidden.
        let mask = self.batch.attention_mask.take().map(|mut mask| {
            mask.iter_mut().for_each(|row| row.push(true));
            mask
        });
        self.batch = VlmBatch {
            input_ids: next.iter().map(|&id| vec![id]).collect(),
            attention_mask: mask,
            ..VlmBatch::default()
        };
        self.steps += 1;
        Ok(next)
    }
}

impl Iterator for Generator<'_> {
    type Item = Result<Vec<i64>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.steps >= self.config.max_new_tokens || self.finished.iter().all(Option::is_some) {
            return None;
        }
        let step = self.step();
        self.failed = step.is_err();
        Some(step)
    }
}
