//! Attention of one learnt query to all patches.

use super::SiglipVisionConfig;
use crate::nn::{Builder, Init, LayerNorm, Mlp, ModuleRef, Param};
use crate::tensor::AttentionOptions;
use crate::{Result, Tensor};

/// `probe`, `attention`, `layernorm`, `mlp`. Projections lie as PyTorch's `MultiheadAttention` has them: those of queries,
/// keys and values in one matrix, and none of them is a layer that an adapter could be attached to: PyTorch would read past
/// it.
#[derive(Debug)]
pub struct PoolingHead {
    probe: Param,
    in_weight: Param,
    in_bias: Param,
    out_weight: Param,
    out_bias: Param,
    norm: LayerNorm,
    mlp: Mlp,
    heads: usize,
}

impl PoolingHead {
    /// Builds the head at the builder's path.
    ///
    /// # Errors
    /// Those of the source.
    pub fn new(b: &Builder, c: &SiglipVisionConfig) -> Result<Self> {
        let (d, normal, zero) = (c.hidden_size, Init::Normal { std: c.initializer_range }, Init::Constant(0.0));
        let a = b.at("attention");
        let head = PoolingHead {
            probe: b.parameter("probe", [1, 1, d], normal)?,
            in_weight: a.parameter("in_proj_weight", [3 * d, d], normal)?,
            in_bias: a.parameter("in_proj_bias", [3 * d], zero)?,
            out_weight: a.at("out_proj").parameter("weight", [d, d], normal)?,
            out_bias: a.at("out_proj").parameter("bias", [d], zero)?,
            norm: LayerNorm::new(&b.at("layernorm"), d, c.layer_norm_eps)?,
            mlp: Mlp::new(&b.at("mlp"), d, c.intermediate_size, c.hidden_act, c.initializer_range)?,
            heads: c.num_attention_heads,
        };
        a.register(ModuleRef::Other("attention"));
        Ok(head)
    }

    /// `[n, patches, hidden] -> [n, hidden]`; `mask [n, 1, 1, patches]` is false for padding.
    ///
    /// # Errors
    /// Those of its operations.
    pub fn forward(&self, x: &Tensor, mask: Option<Tensor>) -> Result<Tensor> {
        let [n, s, d] = x.dims()?;
        let (weight, bias) = (self.in_weight.tensor()?, self.in_bias.tensor()?);
        let project = |x: &Tensor, i: usize, len: usize| -> Result<Tensor> {
            let y = x.linear(&weight.narrow(0, i * d, d)?, Some(&bias.narrow(0, i * d, d)?))?;
            y.reshape([n, len, self.heads, d / self.heads])?.transpose(1, 2)
        };
        let q = project(&self.probe.tensor()?.broadcast_to([n, 1, d])?, 0, 1)?;
        let options = AttentionOptions { mask, ..AttentionOptions::default() };
        let seen = q.scaled_dot_product_attention(&project(x, 1, s)?, &project(x, 2, s)?, &options)?;
        let seen = seen.transpose(1, 2)?.reshape([n, d])?;
        let y = seen.linear(&self.out_weight.tensor()?, Some(&self.out_bias.tensor()?))?;
        &y + self.mlp.forward(&self.norm.forward(&y)?)?
    }
}
