//! The text tower.

use super::ClipTextConfig;
use crate::nn::{Builder, Embedding, EncoderLayer, LayerNorm, show};
use crate::tensor::AttentionOptions;
use crate::{Error, ErrorKind, Result, Tensor};

/// Tokens with learned positions through causal pre-norm layers.
#[derive(Debug)]
pub struct ClipText {
    config: ClipTextConfig,
    tokens: Embedding,
    positions: Embedding,
    layers: Vec<EncoderLayer>,
    norm: LayerNorm,
}

impl ClipText {
    /// Builds the tower at the builder's path, which Hugging Face calls `text_model`.
    ///
    /// # Errors
    /// Those of the configuration and of the source.
    pub fn new(b: &Builder, c: &ClipTextConfig) -> Result<Self> {
        c.check()?;
        let (d, std, e, layer) = (c.hidden_size, c.initializer_range, b.at("embeddings"), c.layer());
        let layers = (0..c.num_hidden_layers).map(|i| EncoderLayer::new(&b.at("encoder").at("layers").at(i), &layer));
        Ok(ClipText {
            tokens: Embedding::new(&e.at("token_embedding"), c.vocab_size, d, std)?,
            positions: Embedding::new(&e.at("position_embedding"), c.max_position_embeddings, d, std)?,
            layers: layers.collect::<Result<_>>()?,
            norm: LayerNorm::new(&b.at("final_layer_norm"), d, c.layer_norm_eps)?,
            config: c.clone(),
        })
    }

    /// The hidden states after the last norm, `[texts, tokens, hidden]`; `mask` is false for padding, `causal` as CLIP
    /// reads.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] for rows of different lengths, none, or more tokens than positions.
    pub fn forward(&self, input_ids: &[Vec<i64>], mask: Option<&[Vec<bool>]>, causal: bool) -> Result<Tensor> {
        let (n, s, max) = (input_ids.len(), input_ids.first().map_or(0, Vec::len), self.config.max_position_embeddings);
        let bad = |message: String| Err(Error::new(ErrorKind::Data, "text tower", message));
        if s == 0 || input_ids.iter().any(|row| row.len() != s) {
            return bad("the texts are empty or of different lengths: pad them".to_owned());
        }
        if mask.is_some_and(|m| m.len() != n || m.iter().any(|row| row.len() != s)) {
            return bad(format!("the mask is not {n} x {s}"));
        }
        if s > max {
            return bad(format!("{s} tokens are more than max_position_embeddings {max}"));
        }
        let device = self.tokens.weight().tensor()?.device().clone();
        let ids: Vec<i64> = input_ids.iter().flatten().copied().collect();
        let positions = self.positions.weight().tensor()?.narrow(0, 0, s)?;
        let mut x = (self.tokens.forward(&Tensor::from_slice(&ids, [n, s], &device)?)? + positions)?;
        let mask = match mask.filter(|m| m.iter().flatten().any(|real| !real)) {
            Some(rows) => {
                let flat: Vec<bool> = rows.iter().flatten().copied().collect();
                Some(Tensor::from_slice(&flat, [n, 1, 1, s], &device)?)
            }
            None => None,
        };
        let options = AttentionOptions { mask, causal, ..AttentionOptions::default() };
        for layer in &self.layers {
            x = layer.forward(&x, &options)?;
        }
        let x = self.norm.forward(&x)?;
        show(|| "text_last_hidden".to_owned(), &x);
        Ok(x)
    }
}

/// The vectors of `hidden [n, s, d]` at place `at[i]` of row `i`: `[n, d]`.
///
/// # Errors
/// Those of the device.
pub fn pick(hidden: &Tensor, at: &[usize]) -> Result<Tensor> {
    let [n, s, d] = hidden.dims()?;
    let rows: Vec<i64> = at.iter().enumerate().map(|(row, at)| (row * s + at) as i64).collect();
    hidden.reshape([n * s, d])?.index_select(0, &Tensor::from_slice(&rows, n, hidden.device())?)
}
