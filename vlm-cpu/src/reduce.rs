//! Reductions along dimensions.
//!
//! Sums are cut into blocks that follow from the shape alone and added in a fixed order, so that results do not depend
//! on the number of threads.

use crate::simd::{self, simd_fn};
use crate::storage::{CpuStorage, Held, Small, with_held, with_small};
use crate::strided::{BLOCK, dense, settle};
use crate::threads::{SendPtr, parallel_for};
use vlm_core::backend::{ArgReduceOp, CumulativeOp, OpKind, ReduceOp, View, unsupported};
use vlm_core::{DType, Dims, Element, Layout, Result};

simd_fn! {
    fn row_sum(x: &[f32]) -> f32 {
        simd::sum1(x, |v| v)
    }
}

simd_fn! {
    fn row_max(x: &[f32]) -> f32 {
        simd::largest(x)
    }
}

simd_fn! {
    fn add_row(sum: &mut [f32], x: &[f32]) {
        sum.iter_mut().zip(x).for_each(|(s, x)| *s += x);
    }
}

/// What one reduction does to a row of `f32`.
fn fold_row(op: ReduceOp, x: &[f32]) -> f32 {
    match op {
        ReduceOp::Sum | ReduceOp::Mean => row_sum(x),
        ReduceOp::Max => row_max(x),
        ReduceOp::Min => x.iter().fold(f32::INFINITY, |m, &v| {
            if v < m || v.is_nan() || m.is_nan() { if m.is_nan() { m } else { v } } else { m }
        }),
        _ => x.iter().product(),
    }
}

/// Joins the results of two blocks.
fn join(op: ReduceOp, a: f32, b: f32) -> f32 {
    match op {
        ReduceOp::Sum | ReduceOp::Mean => a + b,
        ReduceOp::Max => {
            if a > b || a.is_nan() {
                a
            } else {
                b
            }
        }
        ReduceOp::Min => {
            if a < b || a.is_nan() {
                a
            } else {
                b
            }
        }
        _ => a * b,
    }
}

fn neutral(op: ReduceOp) -> f32 {
    match op {
        ReduceOp::Max => f32::NEG_INFINITY,
        ReduceOp::Min => f32::INFINITY,
        ReduceOp::Prod => 1.0,
        _ => 0.0,
    }
}

/// Each of `groups` rows of `each` elements to one.
fn rows<T: Small>(op: ReduceOp, x: &[T], groups: usize, each: usize, out: &mut [T]) {
    const PIECE: usize = 4096;
    let fold = |row: &[T]| -> f32 {
        let mut wide = [0.0f32; PIECE];
        row.chunks(PIECE).map(|c| fold_row(op, T::as_f32(c, &mut wide))).fold(neutral(op), |a, b| join(op, a, b))
    };
    let finish = |v: f32| if op == ReduceOp::Mean { v / each as f32 } else { v };
    if groups == 1 && each > BLOCK {
        // One long row: blocks side by side, joined in order.
        let blocks = each.div_ceil(BLOCK);
        let mut parts = vec![0.0f32; blocks];
        let place = SendPtr(parts.as_mut_ptr());
        parallel_for(blocks, |b| {
            let v = fold(&x[b * BLOCK..each.min((b + 1) * BLOCK)]);
            // SAFETY: each block has its own place.
            unsafe { *place.get().add(b) = v };
        });
        T::narrow(&[finish(parts.into_iter().fold(neutral(op), |a, b| join(op, a, b)))], out);
        return;
    }
    let place = SendPtr(out.as_mut_ptr());
    let per_task = (BLOCK / each.max(1)).max(1);
    parallel_for(groups.div_ceil(per_task), |t| {
        for g in t * per_task..groups.min((t + 1) * per_task) {
            let mut made = [T::zeroed()];
            T::narrow(&[finish(fold(&x[g * each..(g + 1) * each]))], &mut made);
            // SAFETY: each group has its own place.
            unsafe { *place.get().add(g) = made[0] };
        }
    });
}

/// Sums over the outer dimension of `[each, inner]`, as biases' gradients need: rows are added as vectors.
fn columns<T: Small>(x: &[T], each: usize, inner: usize, mean: bool, out: &mut [T]) {
    const WIDTH: usize = 512;
    let place = SendPtr(out.as_mut_ptr());
    parallel_for(inner.div_ceil(WIDTH), |t| {
        let (start, n) = (t * WIDTH, WIDTH.min(inner - t * WIDTH));
        let (mut sum, mut wide) = ([0.0f32; WIDTH], [0.0f32; WIDTH]);
        // Partial sums of 64 rows keep rounding small for long columns.
        for block in (0..each).step_by(64) {
            let mut part = [0.0f32; WIDTH];
            for r in block..each.min(block + 64) {
                add_row(&mut part[..n], T::as_f32(&x[r * inner + start..][..n], &mut wide));
            }
            add_row(&mut sum[..n], &part[..n]);
        }
        if mean {
            sum[..n].iter_mut().for_each(|s| *s /= each as f32);
        }
        // SAFETY: each task has its own columns of the result.
        T::narrow(&sum[..n], unsafe { std::slice::from_raw_parts_mut(place.get().add(start), n) });
    });
}

/// The view with the reduced dimensions last, and how many elements each result takes.
fn grouped(x: &View<'_>, dims: &[usize]) -> (Layout, usize) {
    let kept = (0..x.layout.rank()).filter(|d| !dims.contains(d));
    let order: Vec<usize> = kept.chain(dims.iter().copied()).collect();
    (x.layout.permute(&order), dims.iter().map(|&d| x.shape()[d]).product())
}

pub(crate) fn reduce(op: ReduceOp, x: View<'_>, dims: &Dims) -> Result<CpuStorage> {
    let dtype = x.dtype();
    let refuse = || unsupported("cpu", OpKind::Reduce, op, dtype);
    let (layout, each) = grouped(&x, dims);
    let groups = x
        .count()
        .checked_div(each)
        .unwrap_or_else(|| (0..x.layout.rank()).filter(|d| !dims.contains(d)).map(|d| x.shape()[d]).product());
    let truth = matches!(op, ReduceOp::Any | ReduceOp::All);
    if truth != (dtype == DType::Bool) && (truth || matches!(op, ReduceOp::Mean))
        || (op == ReduceOp::Mean && !dtype.is_float())
    {
        return Err(refuse());
    }
    with_small!(dtype, T => {
        let mut out = CpuStorage::new(dtype, groups)?;
        let leading = (0..dims.rank()).all(|d| dims[d] == d) && dims.rank() > 0 && groups > 1;
        if leading && matches!(op, ReduceOp::Sum | ReduceOp::Mean) && x.layout.is_contiguous() {
            columns::<T>(&dense::<T>(&x)?, each, groups, op == ReduceOp::Mean, out.slice_mut()?);
        } else {
            let settled = settle(View::new(x.storage, &layout))?;
            rows::<T>(op, &dense::<T>(&settled.view())?, groups, each, out.slice_mut()?);
        }
        return Ok(out);
    }, _ => ());
    let settled = settle(View::new(x.storage, &layout))?;
    let view = settled.view();
    if dtype == DType::F64 {
        let (values, mut out) = (dense::<f64>(&view)?, CpuStorage::new(dtype, groups)?);
        let pick = |a: f64, b: f64, first: bool| if a.is_nan() || first { a } else { b };
        for (g, o) in out.slice_mut::<f64>()?.iter_mut().enumerate() {
            let row = values[g * each..(g + 1) * each].iter().copied();
            *o = match op {
                ReduceOp::Sum => row.sum(),
                ReduceOp::Mean => row.sum::<f64>() / each as f64,
                ReduceOp::Prod => row.product(),
                ReduceOp::Max => row.fold(f64::NEG_INFINITY, |a, b| pick(a, b, a > b)),
                ReduceOp::Min => row.fold(f64::INFINITY, |a, b| pick(a, b, a < b)),
                _ => return Err(refuse()),
            };
        }
        return Ok(out);
    }
    let wide = matches!(op, ReduceOp::Sum | ReduceOp::Prod);
    let mut out = CpuStorage::new(if wide { DType::I64 } else { dtype }, groups)?;
    with_held!(dtype, T => {
        let values = dense::<T>(&view)?;
        let row = |g: usize| values[g * each..(g + 1) * each].iter().map(|v| Element::to_i64(*v));
        let value = |g: usize| match op {
            ReduceOp::Sum => row(g).fold(0i64, i64::wrapping_add),
            ReduceOp::Prod => row(g).fold(1i64, i64::wrapping_mul),
            ReduceOp::Max => row(g).max().unwrap_or(i64::MIN),
            ReduceOp::Min => row(g).min().unwrap_or(i64::MAX),
            ReduceOp::Any => i64::from(row(g).any(|v| v != 0)),
            _ => i64::from(row(g).all(|v| v != 0)),
        };
        if wide {
            out.slice_mut::<i64>()?.iter_mut().enumerate().for_each(|(g, o)| *o = value(g));
        } else {
            out.slice_mut::<T>()?.iter_mut().enumerate().for_each(|(g, o)| *o = <T as Element>::from_i64(value(g)));
        }
    });
    Ok(out)
}

pub(crate) fn arg_reduce(op: ArgReduceOp, x: View<'_>, dim: usize) -> Result<CpuStorage> {
    let (layout, each) = grouped(&x, &[dim]);
    let settled = settle(View::new(x.storage, &layout))?;
    let mut out = CpuStorage::new(DType::I64, x.count() / each.max(1))?;
    fn best<T: Held>(row: &[T], larger: bool) -> i64 {
        let is_nan = |v: T| v.partial_cmp(&v).is_none();
        let mut at = 0;
        for (i, &v) in row.iter().enumerate().skip(1) {
            let beats = if larger { v > row[at] } else { v < row[at] };
            if (beats || is_nan(v)) && !is_nan(row[at]) {
                at = i;
            }
        }
        at as i64
    }
    with_held!(x.dtype(), T => {
        let values = dense::<T>(&settled.view())?;
        let rows = values.chunks(each.max(1));
        out.slice_mut::<i64>()?.iter_mut().zip(rows).for_each(|(o, row)| *o = best(row, op == ArgReduceOp::Max));
    });
    Ok(out)
}

pub(crate) fn cumulative(op: CumulativeOp, x: View<'_>, dim: usize) -> Result<CpuStorage> {
    let shape = x.shape();
    let (n, inner) = (shape[dim], shape[dim + 1..].iter().product::<usize>());
    let dtype = x.dtype();
    let mut out = CpuStorage::new(if dtype.is_float() { dtype } else { DType::I64 }, x.count())?;
    fn run<A: Copy>(
        inner: usize,
        block: usize,
        get: impl Fn(usize) -> A,
        mut put: impl FnMut(usize, A),
        count: usize,
        f: impl Fn(A, A) -> A,
    ) {
        for start in (0..count).step_by(block.max(1)) {
            for i in 0..inner {
                let mut so_far = get(start + i);
                put(start + i, so_far);
                for j in (start + i + inner..start + block).step_by(inner) {
                    so_far = f(so_far, get(j));
                    put(j, so_far);
                }
            }
        }
    }
    let (block, count, sum) = (n * inner, x.count(), op == CumulativeOp::Sum);
    with_held!(dtype, T => {
        let values = dense::<T>(&x)?;
        if dtype.is_float() {
            let out = out.slice_mut::<T>()?;
            let f = |a: f64, b: f64| if sum { a + b } else { a * b };
            run(inner, block, |i| values[i].to_f64(), |i, v| out[i] = <T as Element>::from_f64(v), count, f);
        } else {
            let out = out.slice_mut::<i64>()?;
            let f = |a: i64, b: i64| if sum { a.wrapping_add(b) } else { a.wrapping_mul(b) };
            run(inner, block, |i| values[i].to_i64(), |i, v| out[i] = v, count, f);
        }
    });
    Ok(out)
}
