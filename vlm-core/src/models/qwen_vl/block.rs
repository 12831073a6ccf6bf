//! A block of the vision tower.

use super::{Generation, QwenVisionConfig};
use crate::backend::RopeStyle;
use crate::nn::{Builder, GatedMlp, LayerNorm, Linear, Mlp, RmsNorm};
use crate::tensor::{AttentionOptions, RopeTables};
use crate::{Result, Tensor};
use std::sync::Arc;

const EPS: f64 = 1e-6;

/// Layer norm, or in Qwen2.5-VL RMS norm.
#[derive(Debug)]
pub(super) enum Norm {
    Layer(LayerNorm),
    Rms(RmsNorm),
}

impl Norm {
    pub(super) fn new(b: &Builder, width: usize, generation: Generation) -> Result<Self> {
        Ok(match generation {
            Generation::TwoFive => Norm::Rms(RmsNorm::new(b, width, EPS, 0.0)?),
            _ => Norm::Layer(LayerNorm::new(b, width, EPS)?),
        })
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Norm::Layer(norm) => norm.forward(x),
            Norm::Rms(norm) => norm.forward(x),
        }
    }
}

#[derive(Debug)]
enum FeedForward {
    Plain(Mlp),
    Gated(GatedMlp),
}

/// Attention with one product for queries, keys and values, and a feed-forward block, each after a norm.
#[derive(Debug)]
pub(super) struct Block {
    norm1: Norm,
    qkv: Arc<Linear>,
    proj: Arc<Linear>,
    norm2: Norm,
    mlp: FeedForward,
    heads: usize,
}

impl Block {
    pub(super) fn new(b: &Builder, c: &QwenVisionConfig) -> Result<Self> {
        let (d, inner, act, std) = (c.width, c.intermediate_size, c.hidden_act, c.initializer_range);
        let m = b.at("mlp");
        Ok(Block {
            norm1: Norm::new(&b.at("norm1"), d, c.generation)?,
            qkv: Linear::new(&b.at("attn").at("qkv"), d, 3 * d, true, std)?,
            proj: Linear::new(&b.at("attn").at("proj"), d, d, true, std)?,
            norm2: Norm::new(&b.at("norm2"), d, c.generation)?,
            mlp: match c.generation {
                Generation::Two => FeedForward::Plain(Mlp::new(&m, d, inner, act, std)?),
                Generation::TwoFive => FeedForward::Gated(GatedMlp::new(&m, d, inner, act, true, std)?),
                Generation::Three => {
                    FeedForward::Plain(Mlp::named(&m, ["linear_fc1", "linear_fc2"], [d, inner, d], act, std)?)
                }
            },
            heads: c.num_heads,
        })
    }

    /// `[1, n, d] -> [1, n, d]`.
    pub(super) fn forward(&self, x: &Tensor, rope: &RopeTables, options: &AttentionOptions) -> Result<Tensor> {
        let [_, n, d] = x.dims()?;
        let all = self.qkv.forward(&self.norm1.forward(x)?)?.reshape([1, n, 3, self.heads, d / self.heads])?;
        let part = |i: usize| all.select(2, i)?.transpose(1, 2);
        let (q, k) = (part(0)?.rope(rope, RopeStyle::Half)?, part(1)?.rope(rope, RopeStyle::Half)?);
        let seen = q.scaled_dot_product_attention(&k, &part(2)?, options)?.transpose(1, 2)?.reshape([1, n, d])?;
        let x = (x + self.proj.forward(&seen)?)?;
        let y = self.norm2.forward(&x)?;
        &x + match &self.mlp {
            FeedForward::Plain(mlp) => mlp.forward(&y)?,
            FeedForward::Gated(mlp) => mlp.forward(&y)?,
        }
    }
}
