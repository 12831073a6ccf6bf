//! Layer norm and RMS norm.

use super::{Builder, Init, ModuleRef, Param};
use crate::{Result, Tensor};

/// Layer norm over the last dimension, with weight and bias `[d]`.
#[derive(Debug)]
pub struct LayerNorm {
    path: String,
    weight: Param,
    bias: Param,
    eps: f64,
}

impl LayerNorm {
    /// Builds the norm at the builder's path (`weight`, `bias`).
    ///
    /// # Errors
    /// Those of the source.
    pub fn new(b: &Builder, d: usize, eps: f64) -> Result<Self> {
        let weight = b.parameter("weight", [d], Init::Constant(1.0))?;
        let bias = b.parameter("bias", [d], Init::Constant(0.0))?;
        b.register(ModuleRef::Other("layer_norm"));
        Ok(LayerNorm { path: b.path().to_owned(), weight, bias, eps })
    }

    /// `[..., d] -> [..., d]`.
    ///
    /// # Errors
    /// Those of [`Tensor::layer_norm`], with this module's path.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (w, b) = (self.weight.tensor()?, self.bias.tensor()?);
        x.layer_norm(Some(&w), Some(&b), self.eps).map_err(|e| e.at(&self.path))
    }
}

/// RMS norm over the last dimension, with weight `[d]`.
#[derive(Debug)]
pub struct RmsNorm {
    path: String,
    weight: Param,
    eps: f64,
    offset: f64,
}

impl RmsNorm {
    /// Builds the norm at the builder's path (`weight`). `offset` is 1 for Gemma, which stores `weight - 1`, else 0.
    ///
    /// # Errors
    /// Those of the source.
    pub fn new(b: &Builder, d: usize, eps: f64, offset: f64) -> Result<Self> {
        let weight = b.parameter("weight", [d], Init::Constant(1.0 - offset))?;
        b.register(ModuleRef::Other("rms_norm"));
        Ok(RmsNorm { path: b.path().to_owned(), weight, eps, offset })
    }

    /// `[..., d] -> [..., d]`.
    ///
    /// # Errors
    /// Those of [`Tensor::rms_norm`], with this module's path.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.rms_norm(Some(&self.weight.tensor()?), self.eps, self.offset).map_err(|e| e.at(&self.path))
    }
}
