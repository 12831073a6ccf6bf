//! Feed-forward blocks.

use super::{Activation, Builder, Linear};
use crate::{Result, Tensor};
use std::sync::Arc;

/// `fc2(act(fc1(x)))`: the block of vision transformers.
#[derive(Debug)]
pub struct Mlp {
    fc1: Arc<Linear>,
    fc2: Arc<Linear>,
    act: Activation,
}

impl Mlp {
    /// Builds `fc1 [inner, d]` and `fc2 [d, inner]`, with biases.
    ///
    /// # Errors
    /// Those of the source.
    pub fn new(b: &Builder, d: usize, inner: usize, act: Activation, std: f64) -> Result<Self> {
        Self::named(b, ["fc1", "fc2"], [d, inner, d], act, std)
    }

    /// Builds both layers under these names, for widths from input to result.
    ///
    /// # Errors
    /// Those of the source.
    pub fn named(b: &Builder, names: [&str; 2], widths: [usize; 3], act: Activation, std: f64) -> Result<Self> {
        let [from, inner, to] = widths;
        let fc1 = Linear::new(&b.at(names[0]), from, inner, true, std)?;
        Ok(Mlp { fc1, fc2: Linear::new(&b.at(names[1]), inner, to, true, std)?, act })
    }

    /// `[..., d] -> [..., d]`.
    ///
    /// # Errors
    /// Those of its layers.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.fc2.forward(&self.act.forward(&self.fc1.forward(x)?)?)
    }
}

/// `down(act(gate(x)) * up(x))`: the block of language models (Shazeer 2020).
#[derive(Debug)]
pub struct GatedMlp {
    gate: Arc<Linear>,
    up: Arc<Linear>,
    down: Arc<Linear>,
    act: Activation,
}

impl GatedMlp {
    /// Builds `gate_proj`, `up_proj` `[inner, d]` and `down_proj [d, inner]`.
    ///
    /// # Errors
    /// Those of the source.
    pub fn new(b: &Builder, d: usize, inner: usize, act: Activation, bias: bool, std: f64) -> Result<Self> {
        let gate = Linear::new(&b.at("gate_proj"), d, inner, bias, std)?;
        let up = Linear::new(&b.at("up_proj"), d, inner, bias, std)?;
        Ok(GatedMlp { gate, up, down: Linear::new(&b.at("down_proj"), inner, d, bias, std)?, act })
    }

    /// `[..., d] -> [..., d]`.
    ///
    /// # Errors
    /// Those of its layers.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.down.forward(&self.act.gated(&self.gate.forward(x)?, &self.up.forward(x)?)?)
    }
}
