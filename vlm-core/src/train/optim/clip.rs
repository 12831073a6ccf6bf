//! Clipping by the global norm.

use crate::{DType, Result, Tensor};

/// The norm of all gradients together, and what clipping to it means.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GradNorm {
    /// The Euclidean norm before clipping.
    pub norm: f64,
}

impl GradNorm {
    /// The factor that brings the norm down to `max_norm`: PyTorch's `max_norm / (norm + 1e-6)`, at most 1.
    pub fn clip_factor(&self, max_norm: Option<f64>) -> f64 {
        max_norm.map_or(1.0, |max| (max / (self.norm + 1e-6)).min(1.0))
    }
}

/// The Euclidean norm of all gradients together, times `scale`. One transfer from the device for all of them.
///
/// # Errors
/// Those of the device.
pub fn global_norm<'a>(grads: impl IntoIterator<Item = &'a Tensor>, scale: f64) -> Result<GradNorm> {
    let squares: Vec<Tensor> = grads
        .into_iter()
        .map(|g| g.detach().to_dtype(accumulator(g))?.square()?.sum_all()?.to_dtype(DType::F64))
        .collect::<Result<_>>()?;
    if squares.is_empty() {
        return Ok(GradNorm { norm: 0.0 });
    }
    // Summed on the host in the order of the parameters, so that the norm does not depend on the device's order.
    let sum: f64 = Tensor::stack(&squares, 0)?.to_vec::<f64>()?.iter().sum();
    Ok(GradNorm { norm: sum.sqrt() * scale })
}

fn accumulator(t: &Tensor) -> DType {
    t.dtype().accumulator()
}
