//! From picture features to the language model's width.

use super::Gemma3Config;
use crate::nn::{Builder, Init, ModuleRef, Param, RmsNorm};
use crate::{Result, Tensor};

/// Mean over squares of patches, a norm, a product with `mm_input_projection_weight [vision, text]`.
#[derive(Debug)]
pub(super) struct Projector {
    norm: RmsNorm,
    weight: Param,
    /// Patches along a side, tokens along a side.
    sides: (usize, usize),
}

impl Projector {
    pub(super) fn new(b: &Builder, c: &Gemma3Config) -> Result<Self> {
        let (from, to, std) = (c.vision_config.hidden_size, c.text_config.hidden_size, c.text_config.initializer_range);
        let weight = b.parameter("mm_input_projection_weight", [from, to], Init::Normal { std })?;
        b.register(ModuleRef::Other("projector"));
        Ok(Projector {
            norm: RmsNorm::new(&b.at("mm_soft_emb_norm"), from, c.vision_config.layer_norm_eps, 1.0)?,
            weight,
            sides: (c.vision_config.patches_per_side(), c.tokens_per_side()),
        })
    }

    /// `[n, patches, vision] -> [n, tokens, text]`.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let ([n, _, d], (side, tokens)) = (x.dims()?, self.sides);
        let k = side / tokens;
        let pooled = x.reshape([n, tokens, k, tokens, k, d])?.mean([2, 4], false)?;
        self.norm.forward(&pooled.reshape([n, tokens * tokens, d])?)?.matmul(&self.weight.tensor()?)
    }
}
