//! Rows of a batch as tokens.

use super::{Pictures, Processor};
use crate::models::VlmBatch;
use crate::tensor::IGNORE_INDEX;
use crate::vision::Picture;
use crate::{DType, Device, Error, ErrorKind, Result};

/// A rendered conversation with its pictures.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// The text, each picture as one placeholder ([`Processor::render`]).
    pub text: String,
    /// The pictures in the order of their placeholders.
    pub pictures: Vec<Picture>,
    /// The answer to be learnt, for families without a chat template (PaliGemma).
    pub suffix: Option<String>,
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
            labels: None,
        })
    }

    /// Labels for rows padded on the right: the tokens after the first `prompts[row]`, padding left out.
    pub fn labels_after(&self, prompts: &[usize]) -> Vec<Vec<i64>> {
        let rows = self.input_ids.iter().zip(&self.attention_mask).zip(prompts);
        rows.map(|((ids, mask), &prompt)| {
            let label = |(i, (&id, &real)): (usize, (&i64, &bool))| if real && i >= prompt { id } else { IGNORE_INDEX };
            ids.iter().zip(mask).enumerate().map(label).collect()
        })
        .collect()
    }

    /// The labels of suffixes, which have token type 1.
    pub fn labels_of_suffixes(&self) -> Option<Vec<Vec<i64>>> {
        let types = self.token_type_ids.as_ref()?;
        let rows = self.input_ids.iter().zip(types).zip(&self.attention_mask);
        let label = |((&id, &kind), &real): ((&i64, &i64), &bool)| if real && kind == 1 { id } else { IGNORE_INDEX };
        Some(rows.map(|((ids, types), mask)| ids.iter().zip(types).zip(mask).map(label).collect()).collect())
    }
}

pub(super) fn encode(p: &Processor, rows: &[Row], side: PaddingSide) -> Result<Encoded> {
    let pictures: Vec<Vec<Picture>> = rows.iter().map(|r| r.pictures.clone()).collect();
    let has_pictures = pictures.iter().any(|p| !p.is_empty());
    let held = if has_pictures { p.rules.pictures(&pictures)? } else { Pictures::default() };
    let end = p.rules.suffix_end();
    let (mut out, mut tokens, mut next) = (Encoded::default(), Vec::with_capacity(rows.len()), 0);
    for (i, row) in rows.iter().enumerate() {
        let range = next..next + row.pictures.len();
        next = range.end;
        let expanded = p.rules.expand(&row.text, &held, range).map_err(|e| e.with("row", i))?;
        let special = p.adds_special_tokens(&row.text);
        let ids = |text: &str, special: bool| -> Result<Vec<i64>> {
            Ok(p.tokenizer.encode(text, special).map_err(|e| e.with("row", i))?.into_iter().map(i64::from).collect())
        };
        let (prompt, suffix) = (
            ids(&expanded, special)?,
            match (&row.suffix, end) {
                (Some(suffix), Some(end)) => ids(&format!("{suffix}{end}"), false)?,
                (Some(_), None) => {
                    let message = "a suffix is given, but this family's answers belong to the conversation";
                    return Err(Error::new(ErrorKind::Data, "encode", message).with("row", i));
                }
                (None, _) => Vec::new(),
            },
        );
        out.expanded.push(expanded);
        out.add_special_tokens.push(special);
        tokens.push((prompt, suffix));
    }
    let longest = tokens.iter().map(|(p, s)| p.len() + s.len()).max().unwrap_or(0);
    let pad = p.tokenizer.pad_id().or(p.tokenizer.eos_id()).map_or(0, i64::from);
    let mut types = Vec::new();
    for (prompt, suffix) in tokens {
        let (n, prompt_len) = (prompt.len() + suffix.len(), prompt.len());
        let real = prompt.into_iter().chain(suffix).enumerate().map(|(i, id)| (id, true, i64::from(i >= prompt_len)));
        let filler = std::iter::repeat_n((pad, false, 0), longest - n);
        let all: Vec<(i64, bool, i64)> = match side {
            PaddingSide::Left => filler.chain(real).collect(),
            PaddingSide::Right => real.chain(filler).collect(),
        };
        out.input_ids.push(all.iter().map(|t| t.0).collect());
        out.attention_mask.push(all.iter().map(|t| t.1).collect());
        types.push(all.iter().map(|t| t.2).collect());
    }
    out.token_type_ids = end.map(|_| types);
    out.pictures = has_pictures.then_some(held);
    Ok(out)
}
