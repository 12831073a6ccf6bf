//! Optimizers, learning-rate schedules, gradient clipping.

mod adamw;
mod clip;
mod schedule;
mod sgd;

pub use adamw::{AdamW, AdamWOptions};
pub use clip::{GradNorm, global_norm};
pub use schedule::{Schedule, ScheduleKind};
pub use sgd::{Sgd, SgdOptions};

use crate::autograd::Gradients;
use crate::nn::Param;
use crate::{Error, ErrorKind, Result, Tensor};
use std::collections::BTreeMap;

/// Changes parameters along their gradients.
pub trait Optimizer: Send {
    /// One step with learning rate `lr`. Gradients are multiplied by `grad_scale` first (clipping, accumulation).
    ///
    /// A parameter without a gradient keeps its value and its state, as in PyTorch.
    ///
    /// # Errors
    /// Those of the device.
    fn step(&mut self, params: &[Param], grads: &[Option<Tensor>], lr: f64, grad_scale: f64) -> Result<()>;

    /// Number of steps taken.
    fn steps(&self) -> u64;

    /// Everything that the next step depends on besides the parameters, as named tensors.
    ///
    /// # Errors
    /// Those of the device.
    fn state(&self) -> Result<BTreeMap<String, Tensor>>;

    /// Goes on from a saved state. Names that `params` do not have are refused.
    ///
    /// # Errors
    /// [`ErrorKind::Format`] naming the tensor that is missing, unknown or of another shape.
    fn load_state(&mut self, params: &[Param], steps: u64, state: &BTreeMap<String, Tensor>) -> Result<()>;
}

/// The gradients of `params`, in their order.
///
/// # Errors
/// [`ErrorKind::MissingGradient`] listing trained parameters that got none, unless `allow_missing`.
pub fn collect(params: &[Param], grads: &mut Gradients, allow_missing: bool) -> Result<Vec<Option<Tensor>>> {
    let found: Vec<Option<Tensor>> = params.iter().map(|p| Ok(grads.remove(&p.tensor()?))).collect::<Result<_>>()?;
    if !allow_missing {
        require_all(params, &found)?;
    }
    Ok(found)
}

/// Checks that every parameter has a gradient.
///
/// # Errors
/// [`ErrorKind::MissingGradient`] listing those that have none.
pub fn require_all(params: &[Param], grads: &[Option<Tensor>]) -> Result<()> {
    let missing: Vec<&str> = params.iter().zip(grads).filter(|(_, g)| g.is_none()).map(|(p, _)| p.name()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let shown = missing.iter().take(8).copied().collect::<Vec<_>>().join(", ");
    let more = if missing.len() > 8 { format!(" and {} more", missing.len() - 8) } else { String::new() };
    let message = format!("{} trained parameters got no gradient: {shown}{more}", missing.len());
    Err(Error::new(ErrorKind::MissingGradient, "train", message)
        .hint("freeze them, use them in the loss, or set allow_missing_gradients if it is meant"))
}

fn bad_state(message: String) -> Error {
    Error::new(ErrorKind::Format, "load optimizer state", message)
        .hint("the checkpoint belongs to another model or another set of trained parameters")
}
