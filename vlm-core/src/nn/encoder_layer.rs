//! The layer of CLIP's and SigLIP's towers.

use super::{Activation, AttentionConfig, Builder, LayerNorm, Mlp, SelfAttention};
use crate::tensor::AttentionOptions;
use crate::{Result, Tensor};

/// The sizes of an [`EncoderLayer`].
#[derive(Clone, Copy, Debug)]
pub struct EncoderConfig {
    /// Width of the tower.
    pub hidden: usize,
    /// Heads of attention.
    pub heads: usize,
    /// Width inside the feed-forward block.
    pub intermediate: usize,
    /// Its activation.
    pub act: Activation,
    /// Added to variances.
    pub eps: f64,
    /// Standard deviation of new weights.
    pub std: f64,
}

/// `layer_norm1`, `self_attn`, `layer_norm2`, `mlp`: a pre-norm transformer layer with biases everywhere.
#[derive(Debug)]
pub struct EncoderLayer {
    norm1: LayerNorm,
    attention: SelfAttention,
    norm2: LayerNorm,
    mlp: Mlp,
}

impl EncoderLayer {
    /// Builds the layer at the builder's path.
    ///
    /// # Errors
    /// Those of the source.
    pub fn new(b: &Builder, c: &EncoderConfig) -> Result<Self> {
        let attention = AttentionConfig {
            hidden: c.hidden,
            heads: c.heads,
            kv_heads: c.heads,
            head_dim: c.hidden / c.heads,
            qkv_bias: true,
            out_bias: true,
            out_name: "out_proj",
            qk_norm: None,
            cap: None,
            std: c.std,
        };
        Ok(EncoderLayer {
            norm1: LayerNorm::new(&b.at("layer_norm1"), c.hidden, c.eps)?,
            attention: SelfAttention::new(&b.at("self_attn"), attention)?,
            norm2: LayerNorm::new(&b.at("layer_norm2"), c.hidden, c.eps)?,
            mlp: Mlp::new(&b.at("mlp"), c.hidden, c.intermediate, c.act, c.std)?,
        })
    }

    /// `[b, s, hidden] -> [b, s, hidden]`.
    ///
    /// # Errors
    /// Those of its operations.
    pub fn forward(&self, x: &Tensor, options: &AttentionOptions) -> Result<Tensor> {
        let x = (x + self.attention.forward(&self.norm1.forward(x)?, None, options, None)?)?;
        &x + self.mlp.forward(&self.norm2.forward(&x)?)?
    }
}
