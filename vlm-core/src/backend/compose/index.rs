//! Concatenation, tables, random numbers, the largest elements.

use super::eager::{Eager, Value};
use crate::backend::{Distribution, Primitives, RandomKey, StorageRef, View};
use crate::shape::Dims;
use crate::{DType, Element, Layout, Result, random as philox};

pub(in crate::backend) fn concat<P: Primitives + ?Sized>(p: &P, views: &[View<'_>], dim: usize) -> Result<StorageRef> {
    let first = views[0];
    let total = views.iter().map(|v| v.shape()[dim]).sum();
    let whole = Layout::contiguous(first.shape().with(dim, total));
    let mut out = p.alloc(first.dtype(), whole.count())?;
    let mut start = 0;
    for view in views {
        let len = view.shape()[dim];
        out = p.copy_into(out, &whole.narrow(dim, start, len), *view)?;
        start += len;
    }
    Ok(out)
}

pub(in crate::backend) fn random<P: Primitives + ?Sized>(
    p: &P,
    dtype: DType,
    len: usize,
    from: Distribution,
    key: RandomKey,
) -> Result<StorageRef> {
    drop(p.alloc(dtype, len)?); // Refuses an impossible length before the host's memory is asked for it.
    let mut values = vec![0.0; len];
    philox::fill(from, key, 0, &mut values);
    let exact = p.upload(DType::F64, f64::as_bytes(&values))?;
    let e = Eager(p);
    e.finish(Value::new(exact, Dims::from_slice(&[len])), dtype)
}

pub(in crate::backend) fn embedding<P: Primitives + ?Sized>(
    p: &P,
    weight: View<'_>,
    ids: View<'_>,
) -> Result<StorageRef> {
    let e = Eager(p);
    let flat = e.reshape(&Value::of(ids), Dims::from_slice(&[ids.count()]))?;
    p.index_select(weight, 0, flat.view())
}

pub(in crate::backend) fn topk<P: Primitives + ?Sized>(
    p: &P,
    x: View<'_>,
    k: usize,
    dim: usize,
    largest: bool,
) -> Result<(StorageRef, StorageRef)> {
    let e = Eager(p);
    let (values, positions) = p.sort(x, dim, largest)?;
    let first = |storage: StorageRef| {
        let dtype = storage.dtype();
        e.finish(Value::new(storage, *x.shape()).narrow(dim, 0, k), dtype)
    };
    Ok((first(values)?, first(positions)?))
}
