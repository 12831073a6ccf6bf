//! Reductions over dimensions and running ones.

#![allow(non_snake_case)] // Operations have the names of the interface.

mod search;

pub(crate) use search::*;

use super::map::NUMBERS;
use crate::plan::{Cx, Planned, Refusal, dimension, dimensions, invalid, of_shape, of_types, plan, same_type};
use crate::types::{DType, Scalar, Tensor};

/// A tensor with the dimensions that are reduced at the end, so that each result is made of `each` elements in a row.
#[derive(Clone)]
struct Rows {
    view: Tensor,
    each: usize,
}

/// The rows of a reduction over `dims`, with the shape of `out` checked.
fn rows(x: &Tensor, dims: &[usize], keep: bool, out: &Tensor) -> Result<Rows, Refusal> {
    let kept: Vec<usize> = (0..x.rank()).filter(|d| !dims.contains(d)).collect();
    let shape: Vec<usize> = if keep {
        (0..x.rank()).map(|d| if dims.contains(&d) { 1 } else { x.dims[d] }).collect()
    } else {
        kept.iter().map(|&d| x.dims[d]).collect()
    };
    // A result of one element may have any number of dimensions of size 1.
    if !(out.count() == 1 && shape.iter().product::<usize>() == 1) {
        of_shape("out", out, &shape)?;
    }
    let order: Vec<usize> = kept.iter().chain(dims).copied().collect();
    let pick = |v: &[usize]| order.iter().map(|&d| v[d]).collect::<Vec<_>>();
    let each = dims.iter().map(|&d| x.dims[d]).product();
    Ok(Rows { view: x.with_view(pick(&x.dims), pick(&x.strides), x.offset), each })
}

/// Each row's value by `f`; for rows without elements, that of none.
fn by_rows(rows: Rows, out: &Tensor, f: impl Fn(&[f64]) -> f64 + Send + Sync + 'static) -> Planned {
    let out = out.clone();
    plan(move |run| {
        let v = run.f64s(&rows.view)?;
        let results: Vec<f64> =
            if rows.each == 0 { vec![f(&[]); out.count()] } else { v.chunks_exact(rows.each).map(&f).collect() };
        run.put_f64(&out, &results)
    })
}

/// As [`by_rows`], in integers.
fn by_whole_rows(rows: Rows, out: &Tensor, f: impl Fn(&[i64]) -> i64 + Send + Sync + 'static) -> Planned {
    let out = out.clone();
    plan(move |run| {
        let v = run.i64s(&rows.view)?;
        let results: Vec<i64> =
            if rows.each == 0 { vec![f(&[]); out.count()] } else { v.chunks_exact(rows.each).map(&f).collect() };
        run.put_i64(&out, &results)
    })
}

/// Requires the type that was asked for.
fn typed(out: &Tensor, dtype: DType) -> Result<(), Refusal> {
    if out.dtype == dtype { Ok(()) } else { Err(invalid(format!("out has type {:?}, expected {dtype:?}", out.dtype))) }
}

pub(crate) fn ReduceSum(cx: &Cx, x: &Tensor, dims: &[i64], keep_dims: bool, dtype: DType, out: &Tensor) -> Planned {
    of_types(cx, "self", x, NUMBERS)?;
    of_types(cx, "out", out, NUMBERS)?;
    typed(out, dtype)?;
    let rows = rows(x, &dimensions(x, dims)?, keep_dims, out)?;
    if x.dtype.is_float() || dtype.is_float() {
        return by_rows(rows, out, |r| r.iter().sum());
    }
    by_whole_rows(rows, out, |r| r.iter().fold(0, |a: i64, &b| a.wrapping_add(b)))
}

pub(crate) fn Mean(cx: &Cx, x: &Tensor, dim: &[i64], keep_dim: bool, dtype: DType, out: &Tensor) -> Planned {
    of_types(cx, "self", x, NUMBERS)?;
    of_types(cx, "out", out, NUMBERS)?;
    typed(out, dtype)?;
    if !dtype.is_float() {
        return Err(invalid(format!("a mean of type {dtype:?}")));
    }
    by_rows(rows(x, &dimensions(x, dim)?, keep_dim, out)?, out, |r| r.iter().sum::<f64>() / r.len() as f64)
}

/// The extreme of each row; NaN if any is.
fn extreme(cx: &Cx, x: &Tensor, dim: &[i64], keep: bool, out: &Tensor, largest: bool) -> Planned {
    of_types(cx, "self", x, NUMBERS)?;
    same_type("self and out", x, out)?;
    let rows = rows(x, &dimensions(x, dim)?, keep, out)?;
    if rows.each == 0 && out.count() > 0 {
        return Err(invalid("an extreme of no elements"));
    }
    if x.dtype.is_float() {
        return by_rows(rows, out, move |r| {
            r.iter().copied().fold(r.first().copied().unwrap_or(f64::NAN), |a, b| {
                if a.is_nan() || b.is_nan() {
                    f64::NAN
                } else if largest {
                    a.max(b)
                } else {
                    a.min(b)
                }
            })
        });
    }
    by_whole_rows(rows, out, move |r| {
        let found = if largest { r.iter().max() } else { r.iter().min() };
        found.copied().unwrap_or(0)
    })
}

pub(crate) fn Amax(cx: &Cx, x: &Tensor, dim: &[i64], keep_dim: bool, out: &Tensor) -> Planned {
    extreme(cx, x, dim, keep_dim, out, true)
}

pub(crate) fn Amin(cx: &Cx, x: &Tensor, dim: &[i64], keep_dim: bool, out: &Tensor) -> Planned {
    extreme(cx, x, dim, keep_dim, out, false)
}

pub(crate) fn ProdDim(cx: &Cx, x: &Tensor, dim: i64, keep_dim: bool, dtype: DType, out: &Tensor) -> Planned {
    of_types(cx, "self", x, NUMBERS)?;
    of_types(cx, "out", out, NUMBERS)?;
    typed(out, dtype)?;
    let rows = rows(x, &[dimension(x, dim)?], keep_dim, out)?;
    if x.dtype.is_float() || dtype.is_float() {
        return by_rows(rows, out, |r| r.iter().product());
    }
    by_whole_rows(rows, out, |r| r.iter().fold(1, |a: i64, &b| a.wrapping_mul(b)))
}

pub(crate) fn Any(cx: &Cx, x: &Tensor, dim: &[i64], keepdim: bool, out: &Tensor) -> Planned {
    of_types(cx, "self", x, NUMBERS)?;
    by_rows(rows(x, &dimensions(x, dim)?, keepdim, out)?, out, |r| f64::from(u8::from(r.iter().any(|&v| v != 0.0))))
}

pub(crate) fn All(cx: &Cx, x: &Tensor, dim: &[i64], keepdim: bool, out: &Tensor) -> Planned {
    of_types(cx, "self", x, NUMBERS)?;
    by_rows(rows(x, &dimensions(x, dim)?, keepdim, out)?, out, |r| f64::from(u8::from(r.iter().all(|&v| v != 0.0))))
}

/// Both views with `dim` as their last dimension.
fn along(x: &Tensor, out: &Tensor, dim: usize) -> (Tensor, Tensor, usize) {
    let turn = |t: &Tensor| {
        let (mut dims, mut strides) = (t.dims.clone(), t.strides.clone());
        if !dims.is_empty() {
            let (d, s) = (dims.remove(dim), strides.remove(dim));
            dims.push(d);
            strides.push(s);
        }
        t.with_view(dims, strides, t.offset)
    };
    (turn(x), turn(out), x.dims.get(dim).copied().unwrap_or(1))
}

/// What is done to each pair, in floats and in integers.
type Both = (fn(f64, f64) -> f64, fn(i64, i64) -> i64);

/// A running reduction, kept in `f64` or `i64`.
fn running(cx: &Cx, x: &Tensor, dim: usize, dtype: DType, out: &Tensor, (f, g): Both) -> Planned {
    of_types(cx, "self", x, NUMBERS)?;
    of_types(cx, "out", out, NUMBERS)?;
    typed(out, dtype)?;
    of_shape("out", out, &x.dims)?;
    let (x, out, n) = along(x, out, dim);
    let float = x.dtype.is_float() || dtype.is_float();
    plan(move |run| {
        if x.is_empty() {
            return Ok(());
        }
        if float {
            let mut v = run.f64s(&x)?;
            v.chunks_exact_mut(n).for_each(|r| (1..n).for_each(|i| r[i] = f(r[i - 1], r[i])));
            return run.put_f64(&out, &v);
        }
        let mut v = run.i64s(&x)?;
        v.chunks_exact_mut(n).for_each(|r| (1..n).for_each(|i| r[i] = g(r[i - 1], r[i])));
        run.put_i64(&out, &v)
    })
}

pub(crate) fn Cumsum(cx: &Cx, x: &Tensor, dim: i64, dtype: DType, out: &Tensor) -> Planned {
    running(cx, x, dimension(x, dim)?, dtype, out, (|a, b| a + b, i64::wrapping_add))
}

pub(crate) fn Cumprod(cx: &Cx, input: &Tensor, dim: Scalar, dtype: DType, out: &Tensor) -> Planned {
    running(cx, input, dimension(input, dim.i64())?, dtype, out, (|a, b| a * b, i64::wrapping_mul))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{Bench, refusal};
    use crate::types::DType::{F16, F32, I64};

    #[test]
    fn sums_run_over_any_dimensions() {
        let mut b = Bench::new();
        let x = b.tensor(F32, &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let out = b.empty(F32, &[3]);
        let p = ReduceSum(&b.cx, &x, &[0], false, F32, &out);
        b.run(p).unwrap();
        assert_eq!(b.values(&out), [5.0, 7.0, 9.0]);
        let kept = b.empty(F32, &[2, 1]);
        let p = Mean(&b.cx, &x, &[-1], true, F32, &kept);
        b.run(p).unwrap();
        assert_eq!(b.values(&kept), [2.0, 5.0]);
        let all = b.empty(F32, &[1]);
        let p = ReduceSum(&b.cx, &x, &[], false, F32, &all);
        b.run(p).unwrap();
        assert_eq!(b.values(&all), [21.0]);
        assert_eq!(refusal(ReduceSum(&b.cx, &x, &[0, 0], false, F32, &out)), 161_002);
        assert_eq!(refusal(ReduceSum(&b.cx, &x, &[0], false, F16, &out)), 161_002);
    }

    #[test]
    fn extremes_keep_nan_and_running_sums_follow_their_dimension() {
        let mut b = Bench::new();
        let x = b.tensor(F16, &[2, 2], &[1.0, f64::NAN, 3.0, 2.0]);
        let out = b.empty(F16, &[2]);
        let p = Amax(&b.cx, &x, &[1], false, &out);
        b.run(p).unwrap();
        let got = b.values(&out);
        assert!(got[0].is_nan() && got[1] == 3.0);
        let y = b.tensor(I64, &[2, 2], &[1.0, 2.0, 3.0, 4.0]);
        let sums = b.empty(I64, &[2, 2]);
        let p = Cumsum(&b.cx, &y, 0, I64, &sums);
        b.run(p).unwrap();
        assert_eq!(b.values(&sums), [1.0, 2.0, 4.0, 6.0]);
        let p = Cumprod(&b.cx, &y, Scalar::int(I64, 1), I64, &sums);
        b.run(p).unwrap();
        assert_eq!(b.values(&sums), [1.0, 2.0, 3.0, 12.0]);
    }
}
