//! A batch of token rows and pictures.

use super::Images;
use crate::nn::Positions;
use crate::{Error, ErrorKind, Result};

/// Rows of token ids of one length, with the pictures that their placeholders stand for.
///
/// Ids, masks and labels are kept on the host: models look at them to place pictures and to count, and an accelerator
/// would have to send them back.
#[derive(Clone, Debug, Default)]
pub struct VlmBatch {
    /// `[b][s]`.
    pub input_ids: Vec<Vec<i64>>,
    /// `[b][tokens in the cache + s]`: false for padding. `None`: nothing is padding.
    pub attention_mask: Option<Vec<Vec<bool>>>,
    /// Pictures as the processor made them, in the order of their placeholders.
    pub images: Option<Images>,
    /// `[b][s]`, PaliGemma: 0 for the prompt, whose tokens see each other both ways, 1 for what follows. `None`: all are
    /// prompt, or, with tokens in the cache, all follow.
    pub token_type_ids: Option<Vec<Vec<i64>>>,
    /// `[b][s]`: the id to be predicted at each place, [`IGNORE_INDEX`](crate::tensor::IGNORE_INDEX) for none.
    pub labels: Option<Vec<Vec<i64>>>,
}

impl VlmBatch {
    /// Number of rows and their length.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] for rows of different lengths, or masks or labels of another shape.
    pub fn size(&self, cached: usize) -> Result<(usize, usize)> {
        let s = self.input_ids.first().map_or(0, Vec::len);
        let bad = |what: &str, found: usize, expected: usize| {
            let message = format!("a row of {what} has {found} entries, expected {expected}");
            Err(Error::new(ErrorKind::Data, "batch", message).hint("pad rows to one length"))
        };
        let b = self.input_ids.len();
        for (what, rows) in [
            ("input_ids", Some(&self.input_ids)),
            ("labels", self.labels.as_ref()),
            ("token_type_ids", self.token_type_ids.as_ref()),
        ] {
            if let Some(row) = rows.into_iter().flatten().find(|r| r.len() != s) {
                return bad(what, row.len(), s);
            }
        }
        if let Some(row) = self.attention_mask.iter().flatten().find(|r| r.len() != cached + s) {
            return bad("attention_mask", row.len(), cached + s);
        }
        let types = self.token_type_ids.as_ref().map(Vec::len);
        for rows in [self.attention_mask.as_ref().map(Vec::len), self.labels.as_ref().map(Vec::len), types] {
            if let Some(rows) = rows.filter(|rows| *rows != b) {
                return bad("rows", rows, b);
            }
        }
        if b == 0 || s == 0 {
            return Err(Error::new(ErrorKind::Data, "batch", "there are no tokens"));
        }
        Ok((b, s))
    }

    /// The position of every token in its row, padding not counted (0 there), as transformers counts them.
    pub fn positions(&self, cached: usize) -> Positions {
        let s = self.input_ids.first().map_or(0, Vec::len);
        Positions::new(match &self.attention_mask {
            None => self.input_ids.iter().map(|_| (cached as i64..(cached + s) as i64).collect()).collect(),
            Some(mask) => mask
                .iter()
                .map(|row| {
                    let mut seen = 0;
                    let all: Vec<i64> = row
                        .iter()
                        .map(|&real| {
                            let at = if real { seen } else { 0 };
                            seen += i64::from(real);
                            at
                        })
                        .collect();
                    all[cached..].to_vec()
                })
                .collect(),
        })
    }
}
