//! The tape's nodes.

use super::backward::Pending;
use crate::{Error, ErrorKind, Result, Tensor};
use smallvec::SmallVec;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

type Rule = Box<dyn FnOnce(Tensor, &mut Sink<'_>) -> Result<()> + Send>;
type Edges = SmallVec<[Option<Arc<Node>>; 3]>;

/// Where a tensor comes from: an operation, or nothing (a leaf).
pub(crate) struct Node {
    /// Grows with time: an operation's inputs have smaller numbers than its result.
    pub(super) id: u64,
    pub(super) op: &'static str,
    pub(super) edges: Edges,
    /// Used up by the first backward pass, which so frees what the rule kept.
    rule: Mutex<Option<Rule>>,
    leaf: bool,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl Node {
    pub(super) fn operation(op: &'static str, edges: Edges, rule: Rule) -> Self {
        Node { id: NEXT_ID.fetch_add(1, Ordering::Relaxed), op, edges, rule: Mutex::new(Some(rule)), leaf: false }
    }

    pub(crate) fn leaf() -> Self {
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        Node { id, op: "leaf", edges: Edges::new(), rule: Mutex::new(None), leaf: true }
    }

    pub(crate) fn is_leaf(&self) -> bool {
        self.leaf
    }

    pub(crate) fn op(&self) -> &'static str {
        self.op
    }

    pub(super) fn take_rule(&self) -> Result<Rule> {
        self.rule.lock().unwrap_or_else(PoisonError::into_inner).take().ok_or_else(|| {
            Error::new(
                ErrorKind::MissingGradient,
                "backward",
                format!("the graph through {} was already used", self.op),
            )
            .hint("compute the loss again: a backward pass frees what its rules kept")
        })
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.op, self.id)
    }
}

impl Drop for Node {
    /// Takes long chains apart in a loop: a recursive drop would overflow the stack.
    fn drop(&mut self) {
        if self.edges.iter().all(Option::is_none) {
            return;
        }
        let mut waiting: Vec<Arc<Node>> = self.edges.drain(..).flatten().collect();
        while let Some(node) = waiting.pop() {
            if let Some(mut node) = Arc::into_inner(node) {
                waiting.extend(node.edges.drain(..).flatten());
            }
        }
    }
}

/// Takes the gradients of an operation's inputs from its rule.
pub(crate) struct Sink<'a> {
    pub(super) node: &'a Node,
    pub(super) pending: &'a mut Pending,
}

impl Sink<'_> {
    /// Whether input `i` asks for a gradient; computing one for another is wasted.
    #[inline]
    pub(crate) fn wants(&self, i: usize) -> bool {
        self.node.edges[i].is_some()
    }

    /// Adds to the gradient of input `i`, if it asks for one.
    pub(crate) fn put(&mut self, i: usize, grad: Tensor) -> Result<()> {
        match &self.node.edges[i] {
            Some(node) => self.pending.add(node, grad),
            None => Ok(()),
        }
    }

    /// Computes and adds the gradient of input `i`, if it asks for one.
    #[inline]
    pub(crate) fn with(&mut self, i: usize, grad: impl FnOnce() -> Result<Tensor>) -> Result<()> {
        if self.wants(i) { self.put(i, grad()?) } else { Ok(()) }
    }

    /// Adds to the gradient of a leaf that is no input: used by checkpointing for parameters.
    pub(super) fn put_node(&mut self, node: &Arc<Node>, grad: Tensor) -> Result<()> {
        self.pending.add(node, grad)
    }
}
