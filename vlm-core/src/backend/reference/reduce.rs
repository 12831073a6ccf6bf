//! Reductions along dimensions.

use super::math;
use super::storage::{Data, narrow, read_f64, read_i64, round};
use crate::backend::{ArgReduceOp, CumulativeOp, OpKind, ReduceOp, View, unsupported};
use crate::shape::Dims;
use crate::{DType, Layout, Result};

/// The view with the reduced dimensions last, and how many elements each result takes.
fn grouped(x: &View<'_>, dims: &[usize]) -> (Layout, usize) {
    let kept = (0..x.layout.rank()).filter(|d| !dims.contains(d));
    let order: Vec<usize> = kept.chain(dims.iter().copied()).collect();
    (x.layout.permute(&order), dims.iter().map(|&d| x.shape()[d]).product())
}

fn fold<T: Copy>(values: &[T], groups: usize, each: usize, init: T, f: impl Fn(T, T) -> T) -> Vec<T> {
    (0..groups).map(|g| values[g * each..(g + 1) * each].iter().fold(init, |acc, &v| f(acc, v))).collect()
}

pub(super) fn reduce(op: ReduceOp, x: View<'_>, dims: &Dims) -> Result<Data> {
    let dtype = x.dtype();
    let (layout, each) = grouped(&x, dims);
    let groups: usize = layout.shape()[..x.layout.rank() - dims.rank()].iter().product();
    let view = View::new(x.storage, &layout);
    let refuse = || unsupported("ref", OpKind::Reduce, op, dtype);
    if dtype.is_float() {
        let values = read_f64(&view)?;
        let out = match op {
            ReduceOp::Sum => fold(&values, groups, each, 0.0, |a, b| a + b),
            ReduceOp::Mean => {
                fold(&values, groups, each, 0.0, |a, b| a + b).into_iter().map(|s| s / each as f64).collect()
            }
            ReduceOp::Prod => fold(&values, groups, each, 1.0, |a, b| a * b),
            ReduceOp::Max => fold(&values, groups, each, f64::NEG_INFINITY, math::maximum),
            ReduceOp::Min => fold(&values, groups, each, f64::INFINITY, math::minimum),
            ReduceOp::Any | ReduceOp::All => return Err(refuse()),
        };
        return Ok(round(out, dtype));
    }
    let values = read_i64(&view)?;
    let truth = dtype == DType::Bool;
    Ok(match op {
        ReduceOp::Sum => Data::I64(fold(&values, groups, each, 0, i64::wrapping_add)),
        ReduceOp::Prod => Data::I64(fold(&values, groups, each, 1, i64::wrapping_mul)),
        ReduceOp::Max => narrow(fold(&values, groups, each, i64::MIN, i64::max), dtype),
        ReduceOp::Min => narrow(fold(&values, groups, each, i64::MAX, i64::min), dtype),
        ReduceOp::Any if truth => narrow(fold(&values, groups, each, 0, |a, b| a | b), dtype),
        ReduceOp::All if truth => narrow(fold(&values, groups, each, 1, |a, b| a & b), dtype),
        _ => return Err(refuse()),
    })
}

pub(super) fn arg_reduce(op: ArgReduceOp, x: View<'_>, dim: usize) -> Result<Data> {
    let (layout, each) = grouped(&x, &[dim]);
    let view = View::new(x.storage, &layout);
    // Of equal elements the first stays; a NaN is taken and never left.
    fn best<T: Copy + PartialOrd>(row: &[T], larger: bool) -> i64 {
        let is_nan = |v: T| v.partial_cmp(&v).is_none();
        let mut at = 0;
        for (i, &v) in row.iter().enumerate().skip(1) {
            let beats = if larger { v > row[at] } else { v < row[at] };
            if !is_nan(row[at]) && (beats || is_nan(v)) {
                at = i;
            }
        }
        at as i64
    }
    let larger = op == ArgReduceOp::Max;
    Ok(Data::I64(if x.dtype().is_float() {
        read_f64(&view)?.chunks(each).map(|row| best(row, larger)).collect()
    } else {
        read_i64(&view)?.chunks(each).map(|row| best(row, larger)).collect()
    }))
}

pub(super) fn cumulative(op: CumulativeOp, x: View<'_>, dim: usize) -> Result<Data> {
    let shape = x.shape();
    let (n, inner) = (shape[dim], shape[dim + 1..].iter().product::<usize>());
    fn run<T: Copy>(values: &mut [T], n: usize, inner: usize, f: impl Fn(T, T) -> T) {
        for block in values.chunks_mut((n * inner).max(1)) {
            for i in inner..block.len() {
                block[i] = f(block[i - inner], block[i]);
            }
        }
    }
    if x.dtype().is_float() {
        let mut values = read_f64(&x)?;
        match op {
            CumulativeOp::Sum => run(&mut values, n, inner, |a, b| a + b),
            CumulativeOp::Prod => run(&mut values, n, inner, |a, b| a * b),
        }
        return Ok(round(values, x.dtype()));
    }
    let mut values = read_i64(&x)?;
    match op {
        CumulativeOp::Sum => run(&mut values, n, inner, i64::wrapping_add),
        CumulativeOp::Prod => run(&mut values, n, inner, i64::wrapping_mul),
    }
    Ok(Data::I64(values))
}
