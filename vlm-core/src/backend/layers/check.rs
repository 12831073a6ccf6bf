//! Looking at every operand and result.

use super::layered::describe;
use super::{Layer, Operation};
use crate::backend::{Argument, Kernels, OpKind, Outcome, StorageRef, View};
use crate::dtype::{bf16, f16};
use crate::{DType, Element, Error, ErrorKind, Result};
use std::sync::Arc;

/// Fails at the first call that makes a NaN out of numbers (or an infinity, if asked to), and when a backend breaks the
/// contract: writes to an operand, or hands an operand's storage back as a new result.
///
/// Every operand and result is read back, which is slow: for finding where a NaN comes from, and for backend authors.
#[derive(Clone, Copy, Debug, Default)]
pub struct Check {
    infinities: bool,
}

impl Check {
    /// Infinities count as well. Masks are made of them, so this is for models without any.
    #[must_use]
    pub fn infinities(mut self) -> Self {
        self.infinities = true;
        self
    }

    fn is_bad(self, value: f64) -> bool {
        value.is_nan() || (self.infinities && value.is_infinite())
    }
}

/// The elements of a storage that a view shows, as they are.
fn bytes(inner: &dyn Kernels, view: &View<'_>) -> Result<Vec<u8>> {
    let copy = inner.copy(*view)?;
    let mut out = vec![0; copy.len() * copy.dtype().size()];
    inner.download(&copy, 0, &mut out)?;
    Ok(out)
}

/// The position and value of the first element that `bad` holds for.
fn find(dtype: DType, bytes: &[u8], bad: impl Fn(f64) -> bool) -> Option<(usize, f64)> {
    fn first<T: Element>(bytes: &[u8], bad: impl Fn(f64) -> bool) -> Option<(usize, f64)> {
        T::from_bytes(bytes).into_iter().map(|v| v.to_f64()).enumerate().find(|(_, v)| bad(*v))
    }
    match dtype {
        DType::F64 => first::<f64>(bytes, bad),
        DType::F32 => first::<f32>(bytes, bad),
        DType::F16 => first::<f16>(bytes, bad),
        DType::BF16 => first::<bf16>(bytes, bad),
        _ => None,
    }
}

fn broken(op: OpKind, operands: &str, what: &str) -> Error {
    Error::new(ErrorKind::Backend, op.name(), format!("the backend {what}"))
        .with("operands", operands)
        .hint("this is a defect of the backend; its conformance suite should show it")
}

impl Layer for Check {
    fn call<'b, A: Argument<'b> + Clone, R: Outcome>(
        &self,
        inner: &dyn Kernels,
        operation: &Operation<'_, A, R>,
        args: A,
    ) -> Result<R> {
        let (op, operands) = (operation.kind(), describe(&args));
        // Views are looked at again afterwards; holding them makes every write to them a write to something shared.
        let mut views: Vec<(StorageRef, crate::Layout, Vec<u8>)> = Vec::new();
        let mut failed = None;
        args.visit(&mut |view| match bytes(inner, &view) {
            Ok(before) => views.push((view.storage.clone(), *view.layout, before)),
            Err(e) => failed = Some(e),
        });
        let mut given_up_bad = false;
        args.visit_owned(&mut |storage| {
            let layout = crate::Layout::contiguous(crate::Dims::from_slice(&[storage.len()]));
            match bytes(inner, &View::new(storage, &layout)) {
                Ok(b) => given_up_bad |= find(storage.dtype(), &b, |v| self.is_bad(v)).is_some(),
                Err(e) => failed = Some(e),
            }
        });
        if let Some(e) = failed {
            return Err(e);
        }
        let result = operation.run(inner, args)?;
        for (storage, layout, before) in &views {
            if bytes(inner, &View::new(storage, layout))? != *before {
                return Err(broken(op, &operands, "changed an operand that is shared"));
            }
        }
        let had_bad = given_up_bad || views.iter().any(|(s, _, b)| find(s.dtype(), b, |v| self.is_bad(v)).is_some());
        let mut wrong = Ok(());
        let mut results = 0;
        result.visit(&mut |storage| {
            let index = results;
            results += 1;
            if wrong.is_err() {
                return;
            }
            wrong = (|| {
                if views.iter().any(|(s, ..)| Arc::ptr_eq(s, storage)) {
                    return Err(broken(op, &operands, "returned an operand's storage as its result"));
                }
                // An uninitialised result is no number that was computed.
                if had_bad {
                    return Ok(());
                }
                let layout = crate::Layout::contiguous(crate::Dims::from_slice(&[storage.len()]));
                let after = bytes(inner, &View::new(storage, &layout))?;
                match find(storage.dtype(), &after, |v| self.is_bad(v)) {
                    None => Ok(()),
                    Some((at, value)) => {
                        let message = format!("result {index} is {value} at element {at}, though no operand is");
                        Err(Error::new(ErrorKind::NonFinite, op.name(), message).with("operands", &operands))
                    }
                }
            })();
        });
        wrong.map(|()| result)
    }
}
