//! The backward pass.

use super::mode::NoGradGuard;
use super::{Node, Sink};
use crate::{Error, ErrorKind, Result, Tensor};
use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

/// Node numbers are unique and dense: they need no mixing beyond one multiplication.
#[derive(Default)]
pub(super) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for &b in bytes {
            self.write_u64(b.into());
        }
    }
    fn write_u64(&mut self, id: u64) {
        self.0 = (self.0 ^ id).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

type ById<T> = HashMap<u64, T, BuildHasherDefault<IdHasher>>;

struct Newest(Arc<Node>);

impl PartialEq for Newest {
    fn eq(&self, other: &Self) -> bool {
        self.0.id == other.0.id
    }
}
impl Eq for Newest {}
impl PartialOrd for Newest {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Newest {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.id.cmp(&other.0.id)
    }
}

/// Gradients on their way, and the nodes that wait for them, newest first. A node's consumers are newer than it, so
/// when it comes up its gradient is complete.
#[derive(Default)]
pub(super) struct Pending {
    grads: ById<Tensor>,
    queue: BinaryHeap<Newest>,
    leaves: ById<(Arc<Node>, Tensor)>,
}

impl Pending {
    pub(super) fn add(&mut self, node: &Arc<Node>, grad: Tensor) -> Result<()> {
        if node.is_leaf() {
            let sum = match self.leaves.remove(&node.id) {
                Some((_, before)) => before.add(&grad)?,
                None => grad,
            };
            self.leaves.insert(node.id, (node.clone(), sum));
            return Ok(());
        }
        match self.grads.remove(&node.id) {
            Some(before) => {
                self.grads.insert(node.id, before.add(&grad)?);
            }
            None => {
                self.grads.insert(node.id, grad);
                self.queue.push(Newest(node.clone()));
            }
        }
        Ok(())
    }
}

/// The gradients of the leaves of a graph, see [`Tensor::backward`].
#[derive(Default)]
pub struct Gradients {
    leaves: ById<(Arc<Node>, Tensor)>,
}

impl Gradients {
    /// The gradient of `leaf`, of its shape and element type, or `None` if the result did not depend on it.
    pub fn get(&self, leaf: &Tensor) -> Option<&Tensor> {
        self.leaves.get(&leaf.node()?.id).map(|(_, grad)| grad)
    }

    /// The gradient of `leaf`.
    ///
    /// # Errors
    /// [`ErrorKind::MissingGradient`] if the result did not depend on it or it asks for none.
    pub fn require(&self, leaf: &Tensor) -> Result<&Tensor> {
        self.get(leaf).ok_or_else(|| {
            let why = if leaf.tracks_grad() { "the result does not depend on it" } else { "it does not ask for one" };
            Error::new(ErrorKind::MissingGradient, "gradients", format!("no gradient for {leaf:?}: {why}"))
        })
    }

    /// Takes the gradient of `leaf` out.
    pub fn remove(&mut self, leaf: &Tensor) -> Option<Tensor> {
        self.leaves.remove(&leaf.node()?.id).map(|(_, grad)| grad)
    }

    /// Number of leaves that got a gradient.
    pub fn len(&self) -> usize {
        self.leaves.len()
    }

    /// Whether no leaf got one.
    pub fn is_empty(&self) -> bool {
        self.leaves.is_empty()
    }

    pub(super) fn into_leaves(self) -> impl Iterator<Item = (Arc<Node>, Tensor)> {
        let mut leaves: Vec<_> = self.leaves.into_values().collect();
        leaves.sort_by_key(|(node, _)| node.id);
        leaves.into_iter()
    }
}

impl std::fmt::Debug for Gradients {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.leaves.values().map(|(_, grad)| grad)).finish()
    }
}

impl Tensor {
    /// The gradients of this scalar for every leaf it depends on.
    ///
    /// Frees what the rules kept: the graph can be used once.
    ///
    /// ```
    /// use vlm_core::{Device, Tensor};
    /// let x = Tensor::from_slice(&[1.0f32, 2.0, 3.0], [3], &Device::reference())?.requires_grad()?;
    /// let grads = (&x * &x)?.sum_all()?.backward()?;
    /// assert_eq!(grads.require(&x)?.to_vec::<f32>()?, [2.0, 4.0, 6.0]);
    /// # Ok::<(), vlm_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] if this is not one element; [`ErrorKind::MissingGradient`] if it has no history or the
    /// graph was used before.
    pub fn backward(&self) -> Result<Gradients> {
        if self.count() != 1 {
            let message = format!("expected one element, found shape {}", self.shape());
            return Err(Error::new(ErrorKind::Shape, "backward", message)
                .hint("reduce to a scalar first, or use backward_with a gradient of this shape"));
        }
        self.backward_with(&self.ones_like()?)
    }

    /// As [`Tensor::backward`] for a tensor of any shape whose own gradient is `grad`.
    ///
    /// # Errors
    /// As there; [`ErrorKind::Shape`] or [`ErrorKind::DType`] if `grad` does not match.
    pub fn backward_with(&self, grad: &Tensor) -> Result<Gradients> {
        let Some(node) = self.node() else {
            return Err(Error::new(ErrorKind::MissingGradient, "backward", "the tensor does not depend on any leaf")
                .hint("call requires_grad() on an input, and do not compute inside no_grad"));
        };
        if grad.shape() != self.shape() || grad.dtype() != self.dtype() {
            let message = format!("the gradient is {grad:?}, the tensor {self:?}");
            return Err(Error::new(ErrorKind::Shape, "backward", message));
        }
        let _guard = NoGradGuard::new();
        let mut pending = Pending::default();
        pending.add(node, grad.detach())?;
        while let Some(Newest(node)) = pending.queue.pop() {
            let Some(grad) = pending.grads.remove(&node.id) else { continue };
            let rule = node.take_rule()?;
            rule(grad, &mut Sink { node: &node, pending: &mut pending })
                .map_err(|e| e.with("in the gradient of", node.op))?;
        }
        Ok(Gradients { leaves: pending.leaves })
    }
}
