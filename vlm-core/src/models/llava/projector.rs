//! From picture features to the language model's width.

use crate::nn::{Activation, Builder, Linear};
use crate::{Result, Tensor};
use std::sync::Arc;

/// `linear_2(act(linear_1(x)))`.
#[derive(Debug)]
pub struct Projector {
    linear_1: Arc<Linear>,
    linear_2: Arc<Linear>,
    act: Activation,
}

impl Projector {
    /// Builds both layers at the builder's path, from width `from` to width `to`.
    ///
    /// # Errors
    /// Those of the source.
    pub fn new(b: &Builder, (from, to): (usize, usize), act: Activation, bias: bool, std: f64) -> Result<Self> {
        let linear_1 = Linear::new(&b.at("linear_1"), from, to, bias, std)?;
        Ok(Projector { linear_1, linear_2: Linear::new(&b.at("linear_2"), to, to, bias, std)?, act })
    }

    /// `[..., from] -> [..., to]`.
    ///
    /// # Errors
    /// Those of its layers.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.linear_2.forward(&self.act.forward(&self.linear_1.forward(x)?)?)
    }
}
