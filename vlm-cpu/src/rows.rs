//! Operations on the rows of a matrix: softmax, norms, cross-entropy.
//!
//! A row is widened to `f32` once, worked on while it is in the cache, and rounded once.

use crate::simd::{self, simd_fn};
use crate::storage::{CpuStorage, Small, with_small};
use crate::strided::dense;
use crate::threads::{SendPtr, parallel_for};
use vlm_core::backend::View;
use vlm_core::{DType, Result};

/// Rows that one task takes: enough elements to be worth handing out.
fn rows_per_task(d: usize) -> usize {
    (16 << 10 >> d.max(1).ilog2()).max(1)
}

/// Runs `f(row, input rows, output row)` for every row of `inputs`, of length `d` each.
pub(crate) fn map_rows<T: Small, const I: usize>(
    inputs: [&[T]; I],
    out: &mut [T],
    d: usize,
    f: impl Fn(usize, [&[f32]; I], &mut [f32]) + Sync,
) {
    let n = out.len().checked_div(d).unwrap_or(0);
    let (each, place) = (rows_per_task(d), SendPtr(out.as_mut_ptr()));
    parallel_for(n.div_ceil(each), |t| {
        let mut wide: [Vec<f32>; I] = std::array::from_fn(|_| vec![0.0; d]);
        let mut made = vec![0.0f32; d];
        for r in t * each..n.min((t + 1) * each) {
            let mut lent = wide.iter_mut();
            let rows = inputs.map(|x| match lent.next() {
                Some(scratch) => T::as_f32(&x[r * d..(r + 1) * d], scratch),
                None => unreachable!("there are as many as inputs"),
            });
            f(r, rows, &mut made);
            // SAFETY: every row of the result is written by one task, and the result lives until all are done.
            T::narrow(&made, unsafe { std::slice::from_raw_parts_mut(place.get().add(r * d), d) });
        }
    });
}

simd_fn! {
    fn softmax_row(x: &[f32], y: &mut [f32]) {
        let top = simd::largest(x);
        y.iter_mut().zip(x).for_each(|(y, &x)| *y = simd::exp(x - top));
        let scale = 1.0 / simd::sum1(y, |v| v);
        y.iter_mut().for_each(|y| *y *= scale);
    }
}

simd_fn! {
    fn softmax_backward_row(y: &[f32], g: &[f32], out: &mut [f32]) {
        let along = simd::sum2(y, g, |y, g| y * g);
        for i in 0..out.len() { out[i] = y[i] * (g[i] - along); }
    }
}

simd_fn! {
    /// The largest element and the logarithm of the sum of exponentials.
    fn log_sum(x: &[f32]) -> f32 {
        let top = simd::largest(x);
        top + simd::sum1(x, |v| simd::exp(v - top)).ln()
    }
}

simd_fn! {
    fn shift_row(x: &[f32], by: f32, y: &mut [f32]) {
        y.iter_mut().zip(x).for_each(|(y, &x)| *y = x - by);
    }
}

simd_fn! {
    fn log_softmax_backward_row(y: &[f32], g: &[f32], out: &mut [f32]) {
        let sum = simd::sum1(g, |v| v);
        for i in 0..out.len() { out[i] = g[i] - simd::exp(y[i]) * sum; }
    }
}

/// `f` along the last dimension; `None` along another one or for other types, which the default bodies take.
fn last_dim<const I: usize>(
    views: [View<'_>; I],
    dim: usize,
    f: impl Fn([&[f32]; I], &mut [f32]) + Sync,
) -> Result<Option<CpuStorage>> {
    let (first, rank) = (views[0], views[0].layout.rank());
    if dim + 1 != rank {
        return Ok(None);
    }
    with_small!(first.dtype(), T => {
        let mut out = CpuStorage::new(first.dtype(), first.count())?;
        let held: Vec<_> = views.iter().map(dense::<T>).collect::<Result<_>>()?;
        let inputs: [&[T]; I] = std::array::from_fn(|i| &*held[i]);
        map_rows(inputs, out.slice_mut()?, first.shape()[dim], |_, rows, y| f(rows, y));
        Ok(Some(out))
    }, _ => Ok(None))
}

pub(crate) fn softmax(x: View<'_>, dim: usize) -> Result<Option<CpuStorage>> {
    last_dim([x], dim, |[x], y| softmax_row(x, y))
}

pub(crate) fn softmax_backward(y: View<'_>, grad: View<'_>, dim: usize) -> Result<Option<CpuStorage>> {
    last_dim([y, grad], dim, |[y, g], out| softmax_backward_row(y, g, out))
}

pub(crate) fn log_softmax(x: View<'_>, dim: usize) -> Result<Option<CpuStorage>> {
    last_dim([x], dim, |[x], y| shift_row(x, log_sum(x), y))
}

pub(crate) fn log_softmax_backward(y: View<'_>, grad: View<'_>, dim: usize) -> Result<Option<CpuStorage>> {
    last_dim([y, grad], dim, |[y, g], out| log_softmax_backward_row(y, g, out))
}

simd_fn! {
    /// Losses' gradient in a row of logits: `(softmax - one-hot) * g`.
    fn cross_entropy_row(x: &[f32], lse: f32, target: usize, g: f32, out: &mut [f32]) {
        out.iter_mut().zip(x).for_each(|(o, &x)| *o = simd::exp(x - lse) * g);
        out[target] -= g;
    }
}

/// Loss and logarithm of the sum of exponentials of each row.
pub(crate) fn cross_entropy(
    logits: View<'_>,
    targets: View<'_>,
    ignore: i64,
) -> Result<Option<(CpuStorage, CpuStorage)>> {
    let (n, v) = (logits.shape()[0], logits.shape()[1]);
    with_small!(logits.dtype(), T => {
        let (mut losses, mut sums) = (CpuStorage::new(DType::F32, n)?, CpuStorage::new(DType::F32, n)?);
        let (x, t) = (dense::<T>(&logits)?, dense::<i64>(&targets)?);
        let (l, s) = (SendPtr(losses.slice_mut::<f32>()?.as_mut_ptr()), SendPtr(sums.slice_mut::<f32>()?.as_mut_ptr()));
        let each = rows_per_task(v);
        parallel_for(n.div_ceil(each), |task| {
            let mut wide = vec![0.0f32; v];
            for r in task * each..n.min((task + 1) * each) {
                let row = T::as_f32(&x[r * v..(r + 1) * v], &mut wide);
                let lse = log_sum(row);
                let loss = if t[r] == ignore { 0.0 } else { lse - row[t[r] as usize] };
                // SAFETY: every row has its own places.
                unsafe { *l.get().add(r) = loss };
                // SAFETY: as above.
                unsafe { *s.get().add(r) = lse };
            }
        });
        Ok(Some((losses, sums)))
    }, _ => Ok(None))
}

pub(crate) fn cross_entropy_backward(
    logits: View<'_>,
    targets: View<'_>,
    ignore: i64,
    lse: View<'_>,
    grad: View<'_>,
) -> Result<Option<CpuStorage>> {
    with_small!(logits.dtype(), T => {
        let mut out = CpuStorage::new(logits.dtype(), logits.count())?;
        let (x, t, lse, g) = (dense::<T>(&logits)?, dense::<i64>(&targets)?, dense::<f32>(&lse)?, dense::<f32>(&grad)?);
        map_rows([&*x], out.slice_mut()?, logits.shape()[1], |r, [x], y| {
            if t[r] == ignore {
                y.fill(0.0);
            } else {
                cross_entropy_row(x, lse[r], t[r] as usize, g[r], y);
            }
        });
        Ok(Some(out))
    }, _ => Ok(None))
}
