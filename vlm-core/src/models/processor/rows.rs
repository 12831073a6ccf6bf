//! Rows of a batch as tokens.

use super::{Pictures, Processor};
use crate::models::VlmBatch;
use crate::tensor::IGNORE_INDEX;
use crate::vision::Picture;
use crate::{DType, Device, Error, ErrorKind, Result};
use std::ops::Range;

/// A rendered conversation with its pictures.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// The text, each picture as one placeholder ([`Processor::render`]).
    pub text: String,
    /// The pictures in the order of their placeholders.
    pub pictures: Vec<Picture>,
    /// The answer to be learnt, for families without a chat template (PaliGemma).
    pub suffix: Option<String>,
    /// Ranges of bytes of `text` to be learnt ([`Processor::training_row`]).
    pub learnt: Vec<Range<usize>>,
}

/// Where short rows are filled up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaddingSide {
    /// Before the text, for generation.
    Left,
    /// After the text, for training.
    Right,
}

/// Rows as a model reads them.
#[derive(Clone, Debug, Default)]
pub struct Encoded {
    /// What the tokenizer got.
    pub expanded: Vec<String>,
    /// Whether the tokenizer added what it puts around every text, row by row.
    pub add_special_tokens: Vec<bool>,
    /// `[b][s]`.
    pub input_ids: Vec<Vec<i64>>,
    /// `[b][s]`: false for padding.
    pub attention_mask: Vec<Vec<bool>>,
    /// `[b][s]`: 1 for tokens of a suffix; `None` for families without suffixes.
    pub token_type_ids: Option<Vec<Vec<i64>>>,
    /// `[b][s]`: the id where something is to be learnt, [`IGNORE_INDEX`] elsewhere; `None` if no row has anything.
    pub labels: Option<Vec<Vec<i64>>>,
    /// The pictures of all rows; `None` if there is none.
    pub pictures: Option<Pictures>,
}

impl Encoded {
    /// The batch on a device.
    ///
    /// # Errors
    /// Those of the device.
    pub fn to_batch(&self, dtype: DType, device: &Device) -> Result<VlmBatch> {
        Ok(VlmBatch {
            input_ids: self.input_ids.clone(),
            attention_mask: Some(self.attention_mask.clone()),
            images: self.pictures.as_ref().map(|p| p.to_images(dtype, device)).transpose()?,
            token_type_ids: self.token_type_ids.clone(),
            labels: self.labels.clone(),
        })
    }
}

/// A row's tokens before padding.
struct Tokens {
    ids: Vec<i64>,
    /// How many of them are the prompt; the others a suffix.
    prompt: usize,
    learnt: Vec<bool>,
}

pub(super) fn encode(p: &Processor, rows: &[Row], side: PaddingSide) -> Result<Encoded> {
    let pictures: Vec<Vec<Picture>> = rows.iter().map(|r| r.pictures.clone()).collect();
    let has_pictures = pictures.iter().any(|p| !p.is_empty());
    let held = if has_pictures { p.rules.pictures(&pictures)? } else { Pictures::default() };
    let (mut out, mut tokens, mut next) = (Encoded::default(), Vec::with_capacity(rows.len()), 0);
    for (i, row) in rows.iter().enumerate() {
        let range = next..next + row.pictures.len();
        next = range.end;
        let expanded = p.rules.expand(&row.text, &held, range.clone()).map_err(|e| e.with("row", i))?;
        tokens.push(row_tokens(p, row, &expanded, &held, range).map_err(|e| e.with("row", i))?);
        out.expanded.push(expanded);
        out.add_special_tokens.push(p.adds_special_tokens(&row.text));
    }
    let longest = tokens.iter().map(|t| t.ids.len()).max().unwrap_or(0);
    let pad = p.tokenizer.pad_id().or(p.tokenizer.eos_id()).map_or(0, i64::from);
    let (mut types, mut labels) = (Vec::new(), Vec::new());
    for Tokens { ids, prompt, learnt } in tokens {
        let missing = longest - ids.len();
        let real = ids
            .into_iter()
            .zip(learnt)
            .enumerate()
            .map(|(i, (id, learnt))| (id, true, i64::from(i >= prompt), if learnt { id } else { IGNORE_INDEX }));
        let filler = std::iter::repeat_n((pad, false, 0, IGNORE_INDEX), missing);
        let all: Vec<(i64, bool, i64, i64)> = match side {
            PaddingSide::Left => filler.chain(real).collect(),
            PaddingSide::Right => real.chain(filler).collect(),
        };
        out.input_ids.push(all.iter().map(|t| t.0).collect());
        out.attention_mask.push(all.iter().map(|t| t.1).collect());
        types.push(all.iter().map(|t| t.2).collect());
        labels.push(all.iter().map(|t| t.3).collect());
    }
    out.token_type_ids = p.rules.suffix_end().map(|_| types);
    out.labels = rows.iter().any(|r| r.suffix.is_some() || !r.learnt.is_empty()).then_some(labels);
    out.pictures = has_pictures.then_some(held);
    Ok(out)
}

fn row_tokens(p: &Processor, row: &Row, expanded: &str, held: &Pictures, pictures: Range<usize>) -> Result<Tokens> {
    let special = p.adds_special_tokens(&row.text);
    let ids = |text: &str, special: bool| -> Result<Vec<i64>> {
        Ok(p.tokenizer.encode(text, special)?.into_iter().map(i64::from).collect())
    };
    let mut all = ids(expanded, special)?;
    let mut learnt = vec![false; all.len()];
    // Tokens of the text up to a place: those that do not change when the rest follows.
    let until = |end: usize| -> Result<usize> {
        let text = &row.text[..end];
        if text.is_empty() || end == row.text.len() {
            return Ok(if end == 0 { 0 } else { all.len() });
        }
        let shown = text.matches(p.rules.placeholder()).count();
        let before = ids(&p.rules.expand(text, held, pictures.start..pictures.start + shown)?, special)?;
        Ok(all.iter().zip(&before).take_while(|(a, b)| a == b).count())
    };
    for range in &row.learnt {
        let (start, end) = (until(range.start)?, until(range.end)?);
        if start < end {
            learnt[start..end].fill(true);
        }
    }
    let prompt = all.len();
    match (&row.suffix, p.rules.suffix_end()) {
        (Some(suffix), Some(end)) => all.extend(ids(&format!("{suffix}{end}"), false)?),
        (Some(_), None) => {
            let message = "a suffix is given, but this family's answers belong to the conversation";
            return Err(Error::new(ErrorKind::Data, "encode", message));
        }
        (None, _) => {}
    }
    learnt.resize(all.len(), true);
    Ok(Tokens { ids: all, prompt, learnt })
}
