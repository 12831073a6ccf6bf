//! Asking the model about pictures it has not seen.

use crate::digits::Digit;
use crate::model::pixels;
use crate::prompt::{Question, ask};
use anyhow::{Context, Result};
use vlm_core::autograd::no_grad;
use vlm_core::models::llava::Llava;
use vlm_core::models::{Model, VisionLanguageModel, VlmBatch};
use vlm_core::text::Tokenizer;

/// Longest answer in tokens.
const LONGEST: usize = 8;
/// Questions asked side by side.
const BATCH: usize = 60;

/// The model's answers to `question` about each digit, most likely token by token.
///
/// # Errors
/// Those of the model.
pub fn answers(model: &Llava, tokenizer: &Tokenizer, digits: &[Digit], question: Question) -> Result<Vec<String>> {
    let prompt = ask(tokenizer, question, model.llava_config().image_tokens())?;
    let end = i64::from(tokenizer.eos_id().context("the tokenizer has no </s>")?);
    let mut all = Vec::new();
    for batch in digits.chunks(BATCH) {
        let pictures: Vec<_> = batch.iter().map(|d| &d.picture).collect();
        let mut input = VlmBatch {
            input_ids: vec![prompt.clone(); batch.len()],
            images: Some(pixels(&pictures, model.device())?.into()),
            ..VlmBatch::default()
        };
        let mut said: Vec<Vec<i64>> = vec![Vec::new(); batch.len()];
        let mut cache = model.new_cache(prompt.len() + LONGEST)?;
        for _ in 0..LONGEST {
            let next = no_grad(|| -> vlm_core::Result<Vec<i64>> {
                let hidden = model.hidden_states(&input, Some(&mut cache))?;
                let last = hidden.select(1, hidden.size(1)? - 1)?;
                model.logits(&last)?.argmax(-1, false)?.to_vec()
            })?;
            said.iter_mut().zip(&next).for_each(|(s, &id)| s.push(id));
            if said.iter().all(|s| s.contains(&end)) {
                break;
            }
            input = VlmBatch { input_ids: next.into_iter().map(|id| vec![id]).collect(), ..VlmBatch::default() };
        }
        for ids in said {
            let ids: Vec<u32> = ids.into_iter().take_while(|&id| id != end).map(|id| id as u32).collect();
            all.push(tokenizer.decode(&ids, true)?.trim().to_owned());
        }
    }
    Ok(all)
}

/// The share of right answers.
pub fn accuracy(answers: &[String], digits: &[Digit], question: Question) -> f64 {
    let right = answers.iter().zip(digits).filter(|(a, d)| *a == question.answer(d.value)).count();
    right as f64 / digits.len().max(1) as f64
}
