//! Picking by index, writing by index, sorting, joining.

use crate::aclnn::{Number, Stream};
use crate::make::{Held, computes, contiguous, copied, plain, positions, refused, result, strided};
use crate::memory::{upload, writable};
use crate::storage::{AscendStorage, own};
use vlm_core::backend::{OpKind, ScatterOp, StorageRef, View};
use vlm_core::{DType, Dims, Element, Layout, Result, Shape};

pub(crate) fn index_select(s: &Stream, x: View<'_>, dim: usize, indices: View<'_>) -> Result<AscendStorage> {
    let (operand, index) = (strided(&x)?.reinterpreted(plain(s, x.dtype())), positions(s, &indices)?);
    result(s, x.dtype(), &x.shape().with(dim, indices.count()), |out| {
        s.IndexSelect(&operand, dim as i64, &index, &out.clone().reinterpreted(plain(s, x.dtype())))
    })
}

pub(crate) fn gather(s: &Stream, x: View<'_>, dim: usize, indices: View<'_>) -> Result<AscendStorage> {
    let (operand, index) = (strided(&x)?.reinterpreted(plain(s, x.dtype())), positions(s, &indices)?);
    result(s, x.dtype(), indices.shape(), |out| {
        s.Gather(&operand, dim as i64, &index, &out.clone().reinterpreted(plain(s, x.dtype())))
    })
}

pub(crate) fn embedding(s: &Stream, weight: View<'_>, ids: View<'_>) -> Result<AscendStorage> {
    let (table, index) = (contiguous(s, &weight)?, positions(s, &ids)?);
    let shape = ids.shape().with_inserted(ids.shape().rank(), weight.shape()[1]);
    let dtype = plain(s, weight.dtype());
    result(s, weight.dtype(), &shape, |out| {
        let table = table.operand.clone().reinterpreted(dtype);
        s.Embedding(&table, &index, &out.clone().reinterpreted(dtype))
    })
}

/// The elements of indices on the host.
fn fetched(s: &Stream, indices: &View<'_>) -> Result<Vec<i64>> {
    let wide = crate::elementwise::cast_to(s, *indices, DType::I64)?;
    let mut bytes = vec![0u8; wide.elements() * 8];
    if let Some(block) = wide.block() {
        s.queue().download(block, 0, &mut bytes)?;
    }
    Ok(i64::from_bytes(&bytes))
}

/// For each of `index`, read in rows of `n`, the last place along the row that has the same index.
///
/// Which of several writes to one place is the last is open on the device; so all of them write what the last one would.
fn last_writers(index: &[i64], outer: usize, n: usize, inner: usize) -> Vec<i64> {
    let mut out = vec![0i64; index.len()];
    let mut last = std::collections::HashMap::new();
    for o in 0..outer {
        for i in 0..inner {
            last.clear();
            let at = |j: usize| (o * n + j) * inner + i;
            (0..n).for_each(|j| _ = last.insert(index[at(j)], j as i64));
            (0..n).for_each(|j| out[at(j)] = last[&index[at(j)]]);
        }
    }
    out
}

pub(crate) fn index_update(
    s: &Stream,
    op: ScatterOp,
    dst: StorageRef,
    shape: Shape,
    dim: usize,
    indices: View<'_>,
    src: View<'_>,
) -> Result<StorageRef> {
    computes(s, OpKind::IndexUpdate, op, src.dtype())?;
    if indices.count() == 0 || src.count() == 0 {
        return writable(s, dst);
    }
    let index = positions(s, &indices)?;
    match op {
        ScatterOp::Add => {
            let values = contiguous(s, &src)?;
            let before = own(&dst)?.shaped(shape);
            let one = Number::of(1.0, src.dtype());
            let out = result(s, src.dtype(), &shape, |out| s.IndexAdd(&before, dim as i64, &index, &values, one, out))?;
            Ok(out.share())
        }
        ScatterOp::Set => {
            let dst = writable(s, dst)?;
            let dtype = plain(s, src.dtype());
            let place = own(&dst)?.shaped(shape).reinterpreted(dtype);
            let values = if indices.count() == 1 {
                contiguous(s, &src)?
            } else {
                let n = indices.count();
                let winners = last_writers(&fetched(s, &indices)?, 1, n, 1);
                let winners = upload(s, DType::I64, i64::as_bytes(&winners))?.share();
                let layout = Layout::contiguous(Dims::from_slice(&[n]));
                let picked = index_select(s, src, dim, View::new(&winners, &layout))?;
                Held::made(picked, *src.shape())
            };
            s.InplaceIndexCopy(&place, dim as i64, &index, &values.operand.clone().reinterpreted(dtype))?;
            Ok(dst)
        }
        _ => Err(refused(s, OpKind::IndexUpdate, op, src.dtype())),
    }
}

pub(crate) fn scatter(
    s: &Stream,
    op: ScatterOp,
    dst: StorageRef,
    shape: Shape,
    dim: usize,
    indices: View<'_>,
    src: View<'_>,
) -> Result<StorageRef> {
    computes(s, OpKind::Scatter, op, src.dtype())?;
    if indices.count() == 0 {
        return writable(s, dst);
    }
    let index = positions(s, &indices)?;
    match op {
        ScatterOp::Add => {
            let values = contiguous(s, &src)?;
            let before = own(&dst)?.shaped(shape);
            let out = result(s, src.dtype(), &shape, |out| s.ScatterAdd(&before, dim as i64, &index, &values, out))?;
            Ok(out.share())
        }
        ScatterOp::Set => {
            let dst = writable(s, dst)?;
            let dtype = plain(s, src.dtype());
            let place = own(&dst)?.shaped(shape).reinterpreted(dtype);
            let over = indices.shape();
            let n = over[dim];
            let values = if n == 1 {
                contiguous(s, &src)?
            } else {
                let (outer, inner) = (over[..dim].iter().product(), over[dim + 1..].iter().product());
                let winners = last_writers(&fetched(s, &indices)?, outer, n, inner);
                let winners = upload(s, DType::I64, i64::as_bytes(&winners))?.share();
                let layout = Layout::contiguous(*over);
                Held::made(gather(s, src, dim, View::new(&winners, &layout))?, *over)
            };
            s.InplaceScatter(&place, dim as i64, &index, &values.operand.clone().reinterpreted(dtype), 0)?;
            Ok(dst)
        }
        _ => Err(refused(s, OpKind::Scatter, op, src.dtype())),
    }
}

pub(crate) fn sort(s: &Stream, x: View<'_>, dim: usize, descending: bool) -> Result<(AscendStorage, AscendStorage)> {
    computes(s, OpKind::Sort, "order", x.dtype())?;
    let dtype = if x.dtype() == DType::Bool { DType::U8 } else { x.dtype() };
    let operand = contiguous(s, &x)?;
    let order = crate::make::room(s, DType::I64, x.count())?;
    let values = result(s, x.dtype(), x.shape(), |out| {
        let (operand, out) = (operand.operand.clone().reinterpreted(dtype), out.clone().reinterpreted(dtype));
        s.Sort(&operand, true, dim as i64, descending, &out, &order.shaped(*x.shape()).at_least_1d())
    })?;
    Ok((values, order))
}

/// One after the other along `dim`.
pub(crate) fn concat(s: &Stream, views: &[View<'_>], dim: usize) -> Result<AscendStorage> {
    if let [only] = views {
        return copied(s, only);
    }
    let (dtype, first) = (views[0].dtype(), views[0].shape());
    let shape = first.with(dim, views.iter().map(|v| v.shape()[dim]).sum());
    let parts = views.iter().filter(|v| v.count() > 0).map(|v| Ok(strided(v)?.reinterpreted(plain(s, dtype))));
    let parts = parts.collect::<Result<Vec<_>>>()?;
    result(s, dtype, &shape, |out| s.Cat(&parts, dim as i64, &out.clone().reinterpreted(plain(s, dtype))))
}

#[cfg(test)]
mod tests {
    #[test]
    fn all_writes_to_a_place_become_the_last() {
        assert_eq!(super::last_writers(&[2, 0, 2, 1], 1, 4, 1), [2, 1, 2, 3]);
        // Two rows of two, along the first dimension.
        assert_eq!(super::last_writers(&[5, 6, 5, 7], 1, 2, 2), [1, 0, 1, 1]);
    }
}
