//! Picking elements by position, putting them back, sorting.

use crate::storage::{CpuStorage, Held, Small, elements_mut, with_held, with_small, writable};
use crate::strided::{BLOCK, dense};
use crate::threads::{SendPtr, parallel_for};
use vlm_core::backend::{ScatterOp, StorageRef, View};
use vlm_core::{DType, Dims, Element, Result};

fn positions(indices: &View<'_>) -> Result<Vec<usize>> {
    with_held!(indices.dtype(), T => Ok(dense::<T>(indices)?.iter().map(|v| Element::to_i64(*v) as usize).collect()))
}

fn around(shape: &Dims, dim: usize) -> (usize, usize, usize) {
    (shape[..dim].iter().product(), shape[dim], shape[dim + 1..].iter().product())
}

pub(crate) fn index_select(x: View<'_>, dim: usize, indices: View<'_>) -> Result<CpuStorage> {
    let picks = positions(&indices)?;
    let (outer, n, inner) = around(x.shape(), dim);
    let mut out = CpuStorage::new(x.dtype(), outer * picks.len() * inner)?;
    with_held!(x.dtype(), T => {
        let values = dense::<T>(&x)?;
        let place = SendPtr(out.slice_mut::<T>()?.as_mut_ptr());
        let (rows, each) = (outer * picks.len(), (BLOCK / inner.max(1)).max(1));
        parallel_for(rows.div_ceil(each), |t| {
            for row in t * each..rows.min((t + 1) * each) {
                let (o, i) = (row / picks.len(), row % picks.len());
                let from = &values[(o * n + picks[i]) * inner..][..inner];
                // SAFETY: each row of the result is written by one task.
                unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), place.get().add(row * inner), inner) };
            }
        });
    });
    Ok(out)
}

/// Adds `from` to `to`; half floats are rounded at each addition.
fn add<T: Held + Element>(to: &mut [T], from: &[T]) {
    if T::DTYPE.is_float() {
        to.iter_mut().zip(from).for_each(|(t, f)| *t = T::from_f64(t.to_f64() + f.to_f64()));
    } else {
        to.iter_mut().zip(from).for_each(|(t, f)| *t = T::from_i64(t.to_i64().wrapping_add(f.to_i64())));
    }
}

pub(crate) fn index_update(
    op: ScatterOp,
    dst: StorageRef,
    shape: &Dims,
    dim: usize,
    indices: View<'_>,
    src: View<'_>,
) -> Result<StorageRef> {
    let picks = positions(&indices)?;
    let (outer, n, inner) = around(shape, dim);
    let mut dst = writable(dst)?;
    if op == ScatterOp::Add && matches!(src.dtype(), DType::BF16 | DType::F16) && picks.len() > 1 {
        with_small!(src.dtype(), T => add_half::<T>(elements_mut(&mut dst)?, &dense::<T>(&src)?, &picks, (outer, n, inner)), _ => ());
        return Ok(dst);
    }
    with_held!(src.dtype(), T => {
        let values = dense::<T>(&src)?;
        let out = elements_mut::<T>(&mut dst)?;
        for o in 0..outer {
            for (i, &p) in picks.iter().enumerate() {
                let from = &values[(o * picks.len() + i) * inner..][..inner];
                let to = &mut out[(o * n + p) * inner..][..inner];
                match op {
                    ScatterOp::Add => add(to, from),
                    _ => to.copy_from_slice(from),
                }
            }
        }
    });
    Ok(dst)
}

/// Sums of half floats are kept in `f32` and rounded once per slice: slices of one target are taken together.
fn add_half<T: Small>(out: &mut [T], values: &[T], picks: &[usize], (outer, n, inner): (usize, usize, usize)) {
    let mut order: Vec<usize> = (0..picks.len()).collect();
    order.sort_by_key(|&i| picks[i]);
    let (mut sum, mut wide) = (vec![0.0f32; inner], vec![0.0f32; inner]);
    for o in 0..outer {
        for run in order.chunk_by(|&a, &b| picks[a] == picks[b]) {
            let to = &mut out[(o * n + picks[run[0]]) * inner..][..inner];
            T::widen(to, &mut sum);
            for &i in run {
                let from = T::as_f32(&values[(o * picks.len() + i) * inner..][..inner], &mut wide);
                sum.iter_mut().zip(from).for_each(|(s, f)| *s += f);
            }
            T::narrow(&sum, to);
        }
    }
}

/// For each element of `indices` the position in a contiguous tensor of `shape` that it names.
fn places(shape: &Dims, dim: usize, indices: &View<'_>) -> Result<Vec<usize>> {
    let (strides, over) = (shape.contiguous_strides(), *indices.shape());
    let mut at = Dims::repeat(0, over.rank());
    let mut out = positions(indices)?;
    for place in &mut out {
        let base: usize = (0..at.rank()).filter(|&d| d != dim).map(|d| at[d] * strides[d]).sum();
        *place = base + *place * strides[dim];
        for d in (0..at.rank()).rev() {
            at[d] += 1;
            if at[d] < over[d] {
                break;
            }
            at[d] = 0;
        }
    }
    Ok(out)
}

pub(crate) fn gather(x: View<'_>, dim: usize, indices: View<'_>) -> Result<CpuStorage> {
    let places = places(x.shape(), dim, &indices)?;
    let mut out = CpuStorage::new(x.dtype(), places.len())?;
    with_held!(x.dtype(), T => {
        let values = dense::<T>(&x)?;
        out.slice_mut::<T>()?.iter_mut().zip(&places).for_each(|(o, &p)| *o = values[p]);
    });
    Ok(out)
}

pub(crate) fn scatter(
    op: ScatterOp,
    dst: StorageRef,
    shape: &Dims,
    dim: usize,
    indices: View<'_>,
    src: View<'_>,
) -> Result<StorageRef> {
    let places = places(shape, dim, &indices)?;
    let mut dst = writable(dst)?;
    with_held!(src.dtype(), T => {
        let values = dense::<T>(&src)?;
        let out = elements_mut::<T>(&mut dst)?;
        for (&p, v) in places.iter().zip(values.iter()) {
            match op {
                ScatterOp::Add => add(&mut out[p..=p], &[*v]),
                _ => out[p] = *v,
            }
        }
    });
    Ok(dst)
}

/// For each place along `dim` the position of what belongs there after sorting, for `keep` places.
fn orders<T: Held>(values: &[T], n: usize, inner: usize, keep: usize, descending: bool) -> Vec<usize> {
    use std::cmp::Ordering;
    let is_nan = |v: &T| v.partial_cmp(v).is_none();
    let compare = |a: &T, b: &T| a.partial_cmp(b).unwrap_or_else(|| is_nan(a).cmp(&is_nan(b)));
    let outer = values.len() / (n * inner).max(1);
    let mut out = vec![0; outer * keep * inner];
    for o in 0..outer {
        for i in 0..inner {
            let at = |j: usize| o * n * inner + j * inner + i;
            let by = |a: &usize, b: &usize| -> Ordering {
                let order = compare(&values[at(*a)], &values[at(*b)]);
                (if descending { order.reverse() } else { order }).then(a.cmp(b))
            };
            let mut row: Vec<usize> = (0..n).collect();
            if keep < n && keep > 0 {
                row.select_nth_unstable_by(keep - 1, by);
                row.truncate(keep);
            }
            row.sort_unstable_by(by);
            for (j, from) in row.into_iter().take(keep).enumerate() {
                out[o * keep * inner + j * inner + i] = at(from);
            }
        }
    }
    out
}

/// The first `keep` sorted values along `dim` and their positions.
pub(crate) fn sort(x: View<'_>, dim: usize, keep: usize, descending: bool) -> Result<(CpuStorage, CpuStorage)> {
    let (outer, n, inner) = around(x.shape(), dim);
    let count = outer * keep * inner;
    let (mut values, mut found) = (CpuStorage::new(x.dtype(), count)?, CpuStorage::new(DType::I64, count)?);
    with_held!(x.dtype(), T => {
        let source = dense::<T>(&x)?;
        let order = orders(&source, n, inner, keep, descending);
        values.slice_mut::<T>()?.iter_mut().zip(&order).for_each(|(v, &p)| *v = source[p]);
        found.slice_mut::<i64>()?.iter_mut().zip(&order).for_each(|(f, &p)| *f = (p / inner.max(1) % n.max(1)) as i64);
    });
    Ok((values, found))
}
