//! Answers as text.

use super::{FinishReason, GenerationConfig, Generator};
use crate::models::{VisionLanguageModel, VlmBatch};
use crate::text::{StopStrings, TextStream, Tokenizer};
use crate::{Error, ErrorKind, Result};
use std::ops::ControlFlow;

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generated {
    /// Its text, without special tokens and stop string.
    pub text: String,
    /// Its tokens, the end token included.
    pub ids: Vec<i64>,
    /// Why it ended.
    pub finish: FinishReason,
}

/// Answers one prompt; `on_text` sees each piece of text as soon as nothing can change it and may break off.
///
/// # Errors
/// Those of [`generate_texts`]; [`ErrorKind::Data`] for a prompt of several rows.
pub fn generate_text(
    model: &dyn VisionLanguageModel,
    tokenizer: &Tokenizer,
    prompt: VlmBatch,
    config: GenerationConfig,
    mut on_text: impl FnMut(&str) -> ControlFlow<()>,
) -> Result<Generated> {
    if prompt.input_ids.len() != 1 {
        let message = format!("{} rows, expected one", prompt.input_ids.len());
        return Err(Error::new(ErrorKind::Data, "generate text", message).hint("use generate_texts for several rows"));
    }
    let mut all = generate_texts(model, tokenizer, prompt, config, |_, piece| on_text(piece))?;
    all.pop().ok_or_else(|| Error::new(ErrorKind::Data, "generate text", "there is no row"))
}

/// Answers all rows of a prompt side by side; `on_text` sees each piece of a row's text as soon as nothing can change it,
/// and may break off that row. An answer does not depend on the other rows.
///
/// # Errors
/// Those of [`Generator`] and of the tokenizer.
pub fn generate_texts(
    model: &dyn VisionLanguageModel,
    tokenizer: &Tokenizer,
    prompt: VlmBatch,
    config: GenerationConfig,
    mut on_text: impl FnMut(usize, &str) -> ControlFlow<()>,
) -> Result<Vec<Generated>> {
    let end = config.eos_token_id.clone();
    let stops = StopStrings::new(config.stop_strings.iter().cloned());
    let open = || Some((TextStream::new(tokenizer, true), stops.clone()));
    let mut answers: Vec<Answer> =
        prompt.input_ids.iter().map(|_| Answer { open: open(), text: String::new() }).collect();
    let mut generator = Generator::new(model, prompt, config)?;
    while let Some(step) = generator.next() {
        for (row, (id, answer)) in step?.into_iter().zip(&mut answers).enumerate() {
            if end.contains(&id) {
                answer.finish(|piece| on_text(row, piece))?;
            } else if answer.push(id, |piece| on_text(row, piece))? {
                generator.stop(row);
            }
        }
    }
    for (row, answer) in answers.iter_mut().enumerate() {
        answer.finish(|piece| on_text(row, piece))?;
    }
    let rows = answers.into_iter().zip(generator.answers()).zip(generator.finished());
    Ok(rows
        .map(|((answer, ids), finish)| Generated {
            text: answer.text,
            ids: ids.to_vec(),
            finish: finish.unwrap_or(FinishReason::Stop),
        })
        .collect())
}

/// One row's text so far.
struct Answer {
    /// What makes text of tokens; `None` once the row has ended.
    open: Option<(TextStream, StopStrings)>,
    text: String,
}

impl Answer {
    /// Takes a token; whether the row ends with it.
    fn push(&mut self, id: i64, on_text: impl FnMut(&str) -> ControlFlow<()>) -> Result<bool> {
        let Some((stream, stops)) = &mut self.open else { return Ok(false) };
        let id = u32::try_from(id).map_err(|_| Error::new(ErrorKind::Index, "generate text", format!("token {id}")))?;
        let found = stops.push(&stream.push(id)?);
        let ends = self.give(&found.text, on_text) || found.stopped_by.is_some();
        if ends {
            self.open = None;
        }
        Ok(ends)
    }

    /// Gives out what was held back, unless the row has ended: it belongs to the answer if no stop string came of it.
    fn finish(&mut self, on_text: impl FnMut(&str) -> ControlFlow<()>) -> Result<()> {
        let Some((stream, mut stops)) = self.open.take() else { return Ok(()) };
        let found = stops.push(&stream.finish()?);
        let rest = if found.stopped_by.is_some() { found.text } else { found.text + &stops.finish() };
        self.give(&rest, on_text);
        Ok(())
    }

    /// Adds to the text; whether the listener breaks off.
    fn give(&mut self, piece: &str, mut on_text: impl FnMut(&str) -> ControlFlow<()>) -> bool {
        self.text.push_str(piece);
        !piece.is_empty() && on_text(piece).is_break()
    }
}
