//! Gradient checkpointing: memory for time.

use super::{Node, is_grad_enabled, mode, no_grad};
use crate::{Error, ErrorKind, Result, Tensor, random};
use std::sync::Arc;

/// Computes `f(inputs)` without keeping anything inside of it; the backward pass computes it again (Chen et al. 2016).
///
/// Gradients flow to `inputs` and to every parameter that `f` uses. `f` must be a pure function of its inputs and
/// parameters; random numbers drawn from [`random::next_key`] are the same both times.
///
/// # Errors
/// Those of `f`; in the backward pass, [`ErrorKind::Shape`] if the second run gives another shape.
pub fn checkpoint<F>(f: F, inputs: &[&Tensor]) -> Result<Tensor>
where
    F: Fn(&[Tensor]) -> Result<Tensor> + Send + 'static,
{
    let detached: Vec<Tensor> = inputs.iter().map(|t| t.detach()).collect();
    let stream = random::state();
    let out = no_grad(|| f(&detached))?;
    if !is_grad_enabled() || !out.dtype().is_float() {
        return Ok(out);
    }
    let shape = *out.shape();
    let wants: Vec<bool> = inputs.iter().map(|t| t.node().is_some()).collect();
    let edges = inputs.iter().map(|t| t.node().cloned()).collect();
    // Recorded even if no input tracks: the parameters inside may.
    let rule = move |grad: Tensor, sink: &mut super::Sink<'_>| {
        let leaves: Vec<Tensor> = detached
            .into_iter()
            .zip(&wants)
            .map(|(t, &wants)| if wants { t.requires_grad() } else { Ok(t) })
            .collect::<Result<_>>()?;
        let again = {
            let _stream = random::restore(stream);
            mode::enable_grad(|| f(&leaves))?
        };
        if *again.shape() != shape {
            let message = format!("the function gave {} first and {} when run again", shape, again.shape());
            return Err(
                Error::new(ErrorKind::Shape, "checkpoint", message).hint("it must be a pure function of its inputs")
            );
        }
        if !again.tracks_grad() {
            return Ok(());
        }
        let mut grads = again.backward_with(&grad)?;
        for (i, leaf) in leaves.iter().enumerate() {
            if let Some(grad) = grads.remove(leaf) {
                sink.put(i, grad)?;
            }
        }
        for (node, grad) in grads.into_leaves() {
            sink.put_node(&node, grad)?;
        }
        Ok(())
    };
    Ok(out.with_node(Arc::new(Node::operation("checkpoint", edges, Box::new(rule)))))
}
