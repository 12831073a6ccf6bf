//! From blocks of neighbouring patches to tokens of the language model.

use super::block::Norm;
use super::{Generation, QwenVisionConfig};
use crate::nn::{Activation, Builder, Mlp};
use crate::{Result, Tensor};

/// A norm, neighbours joined, two linear layers with GELU between them. The norm comes first, but in the mergers of
/// DeepStack after joining.
#[derive(Debug)]
pub(super) struct Merger {
    norm: Norm,
    mlp: Mlp,
    joined: usize,
    norm_last: bool,
}

impl Merger {
    pub(super) fn new(b: &Builder, c: &QwenVisionConfig, norm_last: bool) -> Result<Self> {
        let joined = c.width * c.spatial_merge_size.pow(2);
        let new = c.generation == Generation::Three;
        let (at, norm, names) =
            if new { (b.clone(), "norm", ["linear_fc1", "linear_fc2"]) } else { (b.at("mlp"), "ln_q", ["0", "2"]) };
        Ok(Merger {
            norm: Norm::new(&b.at(norm), if norm_last { joined } else { c.width }, c.generation)?,
            mlp: Mlp::named(&at, names, [joined, joined, c.out_hidden_size], Activation::Gelu, c.initializer_range)?,
            joined,
            norm_last,
        })
    }

    /// `[n, width] -> [n / merge², out]`.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let cells = x.count() / self.joined;
        let x = if self.norm_last {
            self.norm.forward(&x.reshape([cells, self.joined])?)?
        } else {
            self.norm.forward(x)?.reshape([cells, self.joined])?
        };
        self.mlp.forward(&x)
    }
}
