//! One adapted linear layer.

use crate::autograd::no_grad;
use crate::nn::{Linear, LinearAdapter, Param};
use crate::{DType, Error, ErrorKind, Result, Tensor, random};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// The low-rank change of a linear layer: `y + scale * (dropout(x) A^T) B^T` for `A [r, in]`, `B [out, r]` (Hu et al.
/// 2021), or its decomposition into magnitude and direction (DoRA, Liu et al. 2024).
#[derive(Debug)]
pub struct LoraLayer {
    pub(super) adapter: String,
    pub(super) a: Param,
    pub(super) b: Param,
    /// DoRA's magnitude, `[out]`.
    pub(super) magnitude: Option<Param>,
    pub(super) scale: f64,
    pub(super) dropout: f64,
    /// Whether dropout is applied.
    pub(super) training: AtomicBool,
    /// Whether the layer's weight holds the change already; the weight before that, to restore it exactly.
    pub(super) merged: Mutex<Option<Tensor>>,
}

impl LoraLayer {
    /// `alpha / r`, or `alpha / sqrt(r)` for rsLoRA (Kalajdzievski 2023).
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// The parameters: `A`, `B` and DoRA's magnitude.
    pub fn parameters(&self) -> impl Iterator<Item = &Param> {
        [&self.a, &self.b].into_iter().chain(self.magnitude.as_ref())
    }

    pub(super) fn is_merged(&self) -> bool {
        self.merged.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    fn dropped(&self, x: &Tensor) -> Result<Tensor> {
        if self.dropout > 0.0 && self.training.load(Ordering::Relaxed) {
            return x.dropout(self.dropout, random::next_key());
        }
        Ok(x.clone())
    }

    /// `scale * (x A^T) B^T`, computed in the adapter's type, returned in that of `x`.
    fn low_rank(&self, x: &Tensor) -> Result<Tensor> {
        let (a, b) = (self.a.tensor()?, self.b.tensor()?);
        let narrow = (x.to_dtype(a.dtype())?.linear(&a, None)? * self.scale)?;
        narrow.linear(&b, None)?.to_dtype(x.dtype())
    }

    /// `scale * B A`, `[out, in]`, in `f32` (or `f64`).
    pub(super) fn delta(&self) -> Result<Tensor> {
        let (a, b) = (self.a.tensor()?.detach(), self.b.tensor()?.detach());
        let wide = a.dtype().accumulator();
        b.to_dtype(wide)?.matmul(&a.to_dtype(wide)?)? * self.scale
    }

    /// The norms of the rows of the changed weight, `[out]`: a constant for the gradient, as in the paper's section 4.3.
    fn row_norms(&self, weight: &Tensor) -> Result<Tensor> {
        no_grad(|| {
            let delta = self.delta()?;
            (weight.detach().to_dtype(delta.dtype())? + &delta)?.square()?.sum(1, false)?.sqrt()
        })
    }

    /// The layer's weight with the change.
    pub(super) fn merged_weight(&self, weight: &Tensor) -> Result<Tensor> {
        no_grad(|| {
            let delta = self.delta()?;
            let sum = (weight.to_dtype(delta.dtype())? + &delta)?;
            let new = match &self.magnitude {
                None => sum,
                Some(m) => {
                    let factor = (m.tensor()?.detach().to_dtype(sum.dtype())? / self.row_norms(weight)?)?;
                    (sum * factor.unsqueeze(1)?)?
                }
            };
            new.to_dtype(weight.dtype())
        })
    }

    /// DoRA: `(m / |W'| - 1) * x W^T + m / |W'| * low_rank(x)`, added to the base result. With dropout the base product
    /// is that of the dropped input, as PEFT has it.
    fn decomposed(&self, layer: &Linear, x: &Tensor, y: &Tensor, magnitude: &Param) -> Result<Tensor> {
        let weight = layer.weight().tensor()?;
        let factor = (magnitude.tensor()? / self.row_norms(&weight)?.to_dtype(magnitude.tensor()?.dtype())?)?;
        let factor = factor.to_dtype(y.dtype())?;
        let base = if self.dropout > 0.0 && self.training.load(Ordering::Relaxed) {
            x.linear(&weight, None)?
        } else {
            match layer.bias() {
                Some(bias) => (y - bias.tensor()?)?,
                None => y.clone(),
            }
        };
        ((&factor - 1.0)? * base)? + (factor * self.low_rank(x)?)?
    }
}

impl LinearAdapter for LoraLayer {
    fn name(&self) -> &str {
        &self.adapter
    }

    fn apply(&self, layer: &Linear, x: &Tensor, y: Tensor) -> Result<Tensor> {
        if self.is_merged() {
            return Ok(y);
        }
        let dropped = self.dropped(x)?;
        match &self.magnitude {
            None => y + self.low_rank(&dropped)?,
            Some(magnitude) => {
                let change = self.decomposed(layer, &dropped, &y, magnitude)?;
                y + change
            }
        }
    }
}

/// The value DoRA's magnitude starts with: the norms of the weight's rows.
pub(super) fn initial_magnitude(weight: &Tensor) -> Result<Tensor> {
    let weight = weight.detach();
    let norms = weight.to_dtype(weight.dtype().accumulator())?.square()?.sum(1, false)?.sqrt()?;
    if !norms.all_finite()? {
        return Err(Error::new(ErrorKind::NonFinite, "lora", "the base weight is not finite"));
    }
    norms.to_dtype(if weight.dtype() == DType::F64 { DType::F64 } else { DType::F32 })
}
