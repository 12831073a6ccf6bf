//! From picture features to the language model's width.

use super::LlavaConfig;
use crate::nn::{Activation, Builder, Linear};
use crate::{Result, Tensor};
use std::sync::Arc;

/// `linear_2(act(linear_1(x)))`.
#[derive(Debug)]
pub(super) struct Projector {
    linear_1: Arc<Linear>,
    linear_2: Arc<Linear>,
    act: Activation,
}

impl Projector {
    pub(super) fn new(b: &Builder, c: &LlavaConfig) -> Result<Self> {
        let (from, to, bias) = (c.vision_config.hidden_size, c.text_config.hidden_size, c.multimodal_projector_bias);
        let std = c.text_config.initializer_range;
        let linear_1 = Linear::new(&b.at("linear_1"), from, to, bias, std)?;
        Ok(Projector {
            linear_1,
            linear_2: Linear::new(&b.at("linear_2"), to, to, bias, std)?,
            act: c.projector_hidden_act,
        })
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.linear_2.forward(&self.act.forward(&self.linear_1.forward(x)?)?)
    }
}
