//! Reverse-mode differentiation: one tape above the contract, so that it works on every device.
//!
//! An operation on a tensor that [tracks](Tensor::tracks_grad) its history hangs a node on its result: the operation's
//! inputs and the rule that turns the gradient of the result into theirs. [`Tensor::backward`] walks the nodes from the
//! newest to the oldest and returns the [`Gradients`] of the leaves.
//!
//! Invariant: **no gradient is lost silently.** Every operation is built by one of three functions of this module, and
//! each is a decision: `record` (here is the rule), `forbid` (there is none: the call fails with
//! [`NoGradient`](crate::ErrorKind::NoGradient) if an input tracks), or, for integers and truth values, `constant`.
//! Outside of this crate the only way in is [`custom`], which asks for the rule.
//!
//! Rules keep only what they need: a linear layer whose weight is frozen does not keep its input.

mod backward;
mod checkpoint;
mod custom;
mod gradcheck;
mod mode;
mod node;

pub use backward::Gradients;
pub use checkpoint::checkpoint;
pub use custom::{CustomGradient, CustomRule, custom};
pub use gradcheck::{GradcheckOptions, gradcheck};
pub use mode::{NoGradGuard, enable_grad, is_grad_enabled, no_grad};

pub(crate) use node::{Node, Sink};

use crate::{Error, ErrorKind, Result, Tensor};
use std::sync::Arc;

/// Whether an operation on `inputs` must be recorded.
#[inline]
pub(crate) fn tracks(inputs: &[&Tensor]) -> bool {
    inputs.iter().any(|t| t.node().is_some()) && is_grad_enabled()
}

/// Hangs a rule on the result of an operation, if any input tracks. `rule` is built only then; it gets the gradient of
/// the result and puts gradients of input `i` into the sink.
#[inline]
pub(crate) fn record<R>(out: Tensor, op: &'static str, inputs: &[&Tensor], rule: impl FnOnce() -> R) -> Tensor
where
    R: FnOnce(Tensor, &mut Sink<'_>) -> Result<()> + Send + 'static,
{
    if !tracks(inputs) {
        return out;
    }
    let edges = inputs.iter().map(|t| t.node().cloned()).collect();
    out.with_node(Arc::new(Node::operation(op, edges, Box::new(rule()))))
}

/// Fails if any input tracks: the operation has no gradient.
pub(crate) fn forbid(op: &'static str, inputs: &[&Tensor]) -> Result<()> {
    if !tracks(inputs) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::NoGradient, op, "this operation has no gradient and an operand asks for one")
        .hint("call detach() on the operand if no gradient should flow here, or compute it in no_grad"))
}

/// Marks the result of an operation whose values are not floats, or do not depend on its inputs' values: nothing to
/// differentiate.
#[inline]
pub(crate) fn constant(out: Tensor) -> Tensor {
    out
}
