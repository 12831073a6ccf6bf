//! Operations from outside of this crate.

use super::{forbid, record};
use crate::backend::{Kernels, StorageRef, View};
use crate::shape::Shape;
use crate::{Error, ErrorKind, Result, Tensor};

/// The gradient of a [`custom`] operation: given the gradient of the result, those of the inputs, in their order;
/// `None` for an input that has none by nature (indices).
pub type CustomRule = Box<dyn FnOnce(&Tensor) -> Result<Vec<Option<Tensor>>> + Send>;

/// How a [`custom`] operation differentiates. There is no default.
pub enum CustomGradient {
    /// By this rule. Gradients must have the shapes and types of the inputs.
    Rule(CustomRule),
    /// Not: a call with an input that tracks gradients fails.
    None,
}

impl std::fmt::Debug for CustomGradient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            CustomGradient::Rule(_) => "Rule",
            CustomGradient::None => "None",
        })
    }
}

/// Runs `forward` on the device's kernels as one differentiable operation called `op`.
///
/// `forward` returns a contiguous storage and its shape.
///
/// # Errors
/// Those of `forward`; [`ErrorKind::Device`] if inputs are on different devices or there are none;
/// [`ErrorKind::Shape`] if the storage does not fit the shape; [`ErrorKind::NoGradient`] as decided.
pub fn custom(
    op: &'static str,
    inputs: &[&Tensor],
    forward: impl FnOnce(&dyn Kernels, &[View<'_>]) -> Result<(StorageRef, Shape)>,
    gradient: CustomGradient,
) -> Result<Tensor> {
    let Some(first) = inputs.first() else {
        return Err(Error::new(ErrorKind::Device, op, "an operation needs at least one input to know its device"));
    };
    for other in &inputs[1..] {
        first.device().check_same(other.device(), op)?;
    }
    if matches!(gradient, CustomGradient::None) {
        forbid(op, inputs)?;
    }
    let views: Vec<View<'_>> = inputs.iter().map(|t| t.view()).collect();
    let (storage, shape) = forward(first.device().kernels(), &views)?;
    if storage.len() != shape.count() {
        let message = format!("forward returned {} elements for shape {shape}", storage.len());
        return Err(Error::new(ErrorKind::Shape, op, message));
    }
    let out = Tensor::from_storage(storage, shape, first.device());
    let CustomGradient::Rule(rule) = gradient else { return Ok(out) };
    let expected: Vec<Shape> = inputs.iter().map(|t| *t.shape()).collect();
    Ok(record(out, op, inputs, move || {
        move |grad: Tensor, sink: &mut super::Sink<'_>| {
            let grads = rule(&grad)?;
            if grads.len() != expected.len() {
                let message = format!("the rule returned {} gradients for {} inputs", grads.len(), expected.len());
                return Err(Error::new(ErrorKind::MissingGradient, op, message));
            }
            for (i, (grad, shape)) in grads.into_iter().zip(expected).enumerate() {
                match grad {
                    Some(grad) if *grad.shape() != shape => {
                        let message = format!("the gradient of input {i} has shape {}, not {shape}", grad.shape());
                        return Err(Error::new(ErrorKind::Shape, op, message));
                    }
                    Some(grad) => sink.put(i, grad)?,
                    None if sink.wants(i) => {
                        let message = format!("the rule returned no gradient for input {i}, which asks for one");
                        return Err(Error::new(ErrorKind::MissingGradient, op, message));
                    }
                    None => {}
                }
            }
            Ok(())
        }
    }))
}
