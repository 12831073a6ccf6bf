//! Another device for what one does not have.

use super::layered::{describe, dtypes};
use super::{Layer, Operands, Operation};
use crate::backend::{Argument, Device, Kernels, OpKind, Outcome, StorageRef, Support};
use crate::{DType, Error, ErrorKind, Result};
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// Runs operations that the device does not have on another one: operands go there through host memory and results come
/// back. The first time an operation takes this way a warning says so.
#[derive(Debug)]
pub struct Fallback {
    other: Device,
    strict: bool,
    warned: Mutex<BTreeSet<OpKind>>,
}

impl Fallback {
    /// Falls back on `other`, usually `cpu` or `ref`.
    pub fn to(other: Device) -> Self {
        Fallback { other, strict: false, warned: Mutex::default() }
    }

    /// An operation that would fall back is an error instead: for finding out what a device lacks.
    #[must_use]
    pub fn strict(mut self) -> Self {
        self.strict = true;
        self
    }

    /// The operations that fell back so far.
    pub fn fallen_back(&self) -> Vec<OpKind> {
        self.warned.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }

    fn elsewhere<'b, A: Argument<'b>, R: Outcome>(
        &self,
        inner: &dyn Kernels,
        operation: &Operation<'_, A, R>,
        args: A,
    ) -> Result<R> {
        let op = operation.kind();
        if self.strict {
            let message = format!("the device has no {op} for {}", describe(&args));
            return Err(Error::new(ErrorKind::Unsupported, op.name(), message)
                .hint(format!("it would run on {} were this layer not strict", self.other)));
        }
        if self.warned.lock().unwrap_or_else(PoisonError::into_inner).insert(op) {
            tracing::warn!(%op, operands = %describe(&args), device = %self.other, "not on this device: running elsewhere, which is slow");
        }
        let other = self.other.kernels();
        let (mut operands, mut failed) = (Operands::default(), None);
        let mut bring = |storage: &StorageRef| transfer(inner, other, storage).map_err(|e| failed = Some(e)).ok();
        args.visit(&mut |view| operands.views.extend(bring(view.storage)));
        args.visit_owned(&mut |storage| operands.owned.extend(bring(storage)));
        if let Some(e) = failed {
            return Err(e);
        }
        operation.run_with(other, args, operands)?.map(&mut |result| transfer(other, inner, &result))
    }
}

/// The whole of a storage, copied from one device to another.
fn transfer(from: &dyn Kernels, to: &dyn Kernels, storage: &StorageRef) -> Result<StorageRef> {
    let mut bytes = vec![0; storage.len() * storage.dtype().size()];
    from.download(storage, 0, &mut bytes)?;
    to.upload(storage.dtype(), &bytes)
}

impl Layer for Fallback {
    fn call<'b, A: Argument<'b> + Clone, R: Outcome>(
        &self,
        inner: &dyn Kernels,
        operation: &Operation<'_, A, R>,
        args: A,
    ) -> Result<R> {
        let dtypes: Vec<DType> = dtypes(&args);
        if inner.supports(operation.kind(), &dtypes) == Support::Unsupported {
            return self.elsewhere(inner, operation, args);
        }
        let mut gives_up = false;
        args.visit_owned(&mut |_| gives_up = true);
        if gives_up {
            // A second handle would keep the device from writing in place.
            return operation.run(inner, args);
        }
        match operation.run(inner, args.clone()) {
            // A variant that the device does not know although it has the operation.
            Err(e) if e.kind() == ErrorKind::Unsupported => self.elsewhere(inner, operation, args),
            result => result,
        }
    }

    fn supports(&self, inner: &dyn Kernels, op: OpKind, dtypes: &[DType]) -> Support {
        match inner.supports(op, dtypes) {
            Support::Unsupported if !self.strict => self.other.kernels().supports(op, dtypes).min(Support::Composed),
            own => own,
        }
    }
}
