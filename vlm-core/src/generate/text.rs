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
/// Those of [`Generator`] and of the tokenizer; [`ErrorKind::Data`] for a prompt of several rows.
pub fn generate_text(
    model: &dyn VisionLanguageModel,
    tokenizer: &Tokenizer,
    prompt: VlmBatch,
    config: GenerationConfig,
    mut on_text: impl FnMut(&str) -> ControlFlow<()>,
) -> Result<Generated> {
    if prompt.input_ids.len() != 1 {
        let message = format!("{} rows, expected one", prompt.input_ids.len());
        return Err(Error::new(ErrorKind::Data, "generate text", message).hint("use a Generator for several rows"));
    }
    let end = config.eos_token_id.clone();
    let mut stops = StopStrings::new(config.stop_strings.iter().cloned());
    let mut generator = Generator::new(model, prompt, config)?;
    let mut stream = TextStream::new(tokenizer, true);
    let mut text = String::new();
    let mut give = |piece: &str| -> ControlFlow<()> {
        text.push_str(piece);
        if piece.is_empty() { ControlFlow::Continue(()) } else { on_text(piece) }
    };
    let mut stopped = false;
    while let Some(step) = generator.next() {
        let id = step?[0];
        if end.contains(&id) {
            break;
        }
        let id = u32::try_from(id).map_err(|_| Error::new(ErrorKind::Index, "generate text", format!("token {id}")))?;
        let found = stops.push(&stream.push(id)?);
        stopped = found.stopped_by.is_some();
        if give(&found.text).is_break() || stopped {
            generator.stop(0);
            break;
        }
    }
    if !stopped {
        let found = stops.push(&stream.finish()?);
        // What a piece held back belongs to the answer if no stop string came of it.
        let rest = if found.stopped_by.is_some() { found.text } else { found.text + &stops.finish() };
        let _ = give(&rest);
    }
    let finish = generator.finished()[0].unwrap_or(FinishReason::Stop);
    Ok(Generated { ids: generator.answers()[0].to_vec(), text, finish })
}
