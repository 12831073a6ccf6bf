//! Counting calls.

use super::{Layer, Operation};
use crate::Result;
use crate::backend::{Argument, Kernels, OpKind, Outcome};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// What was counted of one operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counted {
    /// Calls, failed ones included.
    pub calls: u64,
    /// Bytes of operands.
    pub read: u64,
    /// Bytes of results.
    pub written: u64,
}

/// Counts calls and bytes by operation.
#[derive(Debug, Default)]
pub struct Count {
    counts: Mutex<BTreeMap<OpKind, Counted>>,
}

impl Count {
    /// Everything counted so far.
    pub fn all(&self) -> BTreeMap<OpKind, Counted> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Calls of one operation.
    pub fn calls(&self, op: OpKind) -> u64 {
        self.all().get(&op).map_or(0, |c| c.calls)
    }

    /// Begins again from nothing.
    pub fn reset(&self) {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Layer for Count {
    fn call<'b, A: Argument<'b> + Clone, R: Outcome>(
        &self,
        inner: &dyn Kernels,
        operation: &Operation<'_, A, R>,
        args: A,
    ) -> Result<R> {
        let (mut read, mut written) = (0, 0);
        args.visit(&mut |view| read += (view.count() * view.dtype().size()) as u64);
        args.visit_owned(&mut |storage| read += (storage.len() * storage.dtype().size()) as u64);
        let result = operation.run(inner, args);
        if let Ok(result) = &result {
            result.visit(&mut |storage| written += (storage.len() * storage.dtype().size()) as u64);
        }
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = counts.entry(operation.kind()).or_default();
        *counted = Counted { calls: counted.calls + 1, read: counted.read + read, written: counted.written + written };
        result
    }
}
