//! Positions of extremes, orders, the largest elements.

#![allow(non_snake_case)] // Operations have the names of the interface.

use super::{NUMBERS, along};
use crate::plan::{Cx, Planned, Refusal, dimension, invalid, of_shape, of_types, plan, same_type};
use crate::types::{DType, Tensor};
use std::cmp::Ordering;

/// The order of numbers in which NaN is larger than all and equal to itself.
fn order(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// Integers in a float's place: exact below 2^53, and beyond kept apart by themselves.
fn positions(row: &[f64], whole: &[i64], descending: bool) -> Vec<usize> {
    let mut at: Vec<usize> = (0..row.len()).collect();
    let compare = |&i: &usize, &j: &usize| order(row[i], row[j]).then_with(|| whole[i].cmp(&whole[j]));
    // Stable in both directions: equal elements keep their order.
    if descending {
        at.sort_by(|i, j| compare(j, i))
    } else {
        at.sort_by(compare)
    }
    at
}

fn of_positions(cx: &Cx, what: &str, t: &Tensor) -> Result<(), Refusal> {
    of_types(cx, what, t, &[DType::I64, DType::I32])
}

/// `f` of every row along `dim`: the values in their place and the positions.
fn sorted(x: &Tensor, dim: usize, keep: usize, descending: bool, values: Option<&Tensor>, indices: &Tensor) -> Planned {
    let (x, indices, n) = along(x, indices, dim);
    let values = values.map(|v| along(v, v, dim).0);
    plan(move |run| {
        if x.is_empty() {
            return Ok(());
        }
        let v = run.f64s(&x)?;
        let whole = if x.dtype.is_float() { vec![0; v.len()] } else { run.i64s(&x)? };
        let (mut found, mut at) = (Vec::with_capacity(v.len()), Vec::with_capacity(v.len()));
        let mut found_whole = Vec::with_capacity(v.len());
        for (row, whole) in v.chunks_exact(n).zip(whole.chunks_exact(n)) {
            for i in positions(row, whole, descending).into_iter().take(keep) {
                at.push(i as i64);
                found.push(row[i]);
                found_whole.push(whole[i]);
            }
        }
        run.put_i64(&indices, &at)?;
        match &values {
            Some(t) if t.dtype.is_float() => run.put_f64(t, &found),
            Some(t) => run.put_i64(t, &found_whole),
            None => Ok(()),
        }
    })
}

pub(crate) fn Sort(
    cx: &Cx,
    x: &Tensor,
    _stable: bool,
    dim: i64,
    descending: bool,
    values_out: &Tensor,
    indices_out: &Tensor,
) -> Planned {
    of_types(cx, "self", x, NUMBERS)?;
    same_type("self and valuesOut", x, values_out)?;
    of_types(cx, "indicesOut", indices_out, &[DType::I64])?;
    of_shape("valuesOut", values_out, &x.dims)?;
    of_shape("indicesOut", indices_out, &x.dims)?;
    sorted(x, dimension(x, dim)?, usize::MAX, descending, Some(values_out), indices_out)
}

pub(crate) fn Argsort(cx: &Cx, x: &Tensor, dim: i64, descending: bool, out: &Tensor) -> Planned {
    of_types(cx, "self", x, NUMBERS)?;
    of_types(cx, "out", out, &[DType::I64])?;
    of_shape("out", out, &x.dims)?;
    sorted(x, dimension(x, dim)?, usize::MAX, descending, None, out)
}

#[allow(clippy::too_many_arguments)] // The interface's.
pub(crate) fn Topk(
    cx: &Cx,
    x: &Tensor,
    k: i64,
    dim: i64,
    largest: bool,
    _sorted: bool,
    values_out: &Tensor,
    indices_out: &Tensor,
) -> Planned {
    of_types(cx, "self", x, NUMBERS)?;
    same_type("self and valuesOut", x, values_out)?;
    of_types(cx, "indicesOut", indices_out, &[DType::I64])?;
    let at = dimension(x, dim)?;
    let mut dims = x.dims.clone();
    let n = dims.get(at).copied().unwrap_or(1);
    let keep = usize::try_from(k).ok().filter(|&k| k <= n).ok_or_else(|| invalid(format!("k {k} of {n} elements")))?;
    if let Some(d) = dims.get_mut(at) {
        *d = keep;
    }
    of_shape("valuesOut", values_out, &dims)?;
    of_shape("indicesOut", indices_out, &dims)?;
    sorted(x, at, keep, largest, Some(values_out), indices_out)
}

/// The first position of the extreme; NaN wins over everything.
fn arg(cx: &Cx, x: &Tensor, dim: i64, keepdim: bool, out: &Tensor, largest: bool) -> Planned {
    of_types(cx, "self", x, NUMBERS)?;
    of_positions(cx, "out", out)?;
    let at = dimension(x, dim)?;
    let mut dims = x.dims.clone();
    if keepdim {
        dims[at] = 1;
    } else if !dims.is_empty() {
        dims.remove(at);
    }
    if out.count() != 1 || dims.iter().product::<usize>() != 1 {
        of_shape("out", out, &dims)?;
    }
    let (x, _, n) = along(x, x, at);
    if n == 0 && out.count() > 0 {
        return Err(invalid("the position of an extreme of no elements"));
    }
    let out = out.clone();
    plan(move |run| {
        let v = run.f64s(&x)?;
        let whole = if x.dtype.is_float() { vec![0; v.len()] } else { run.i64s(&x)? };
        let better = |a: (f64, i64), b: (f64, i64)| {
            let by_size = order(a.0, b.0).then_with(|| a.1.cmp(&b.1));
            if a.0.is_nan() != b.0.is_nan() {
                return a.0.is_nan();
            }
            if largest { by_size == Ordering::Greater } else { by_size == Ordering::Less }
        };
        let found: Vec<i64> = v
            .chunks_exact(n.max(1))
            .zip(whole.chunks_exact(n.max(1)))
            .map(|(r, w)| {
                (1..n).fold(0, |best, i| if better((r[i], w[i]), (r[best], w[best])) { i } else { best }) as i64
            })
            .collect();
        run.put_i64(&out, &found)
    })
}

pub(crate) fn ArgMax(cx: &Cx, x: &Tensor, dim: i64, keepdim: bool, out: &Tensor) -> Planned {
    arg(cx, x, dim, keepdim, out, true)
}

pub(crate) fn ArgMin(cx: &Cx, x: &Tensor, dim: i64, keepdim: bool, out: &Tensor) -> Planned {
    arg(cx, x, dim, keepdim, out, false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{Bench, refusal};
    use crate::types::DType::{BF16, F32, I64};

    #[test]
    fn orders_are_stable_and_put_nan_last() {
        let mut b = Bench::new();
        let x = b.tensor(F32, &[4], &[2.0, f64::NAN, 1.0, 2.0]);
        let (values, at) = (b.empty(F32, &[4]), b.empty(I64, &[4]));
        let p = Sort(&b.cx, &x, true, 0, false, &values, &at);
        b.run(p).unwrap();
        assert_eq!(b.values(&at), [2.0, 0.0, 3.0, 1.0]);
        let p = Argsort(&b.cx, &x, 0, true, &at);
        b.run(p).unwrap();
        assert_eq!(b.values(&at), [1.0, 0.0, 3.0, 2.0]);
        let one = b.empty(I64, &[1]);
        let p = ArgMax(&b.cx, &x, 0, true, &one);
        b.run(p).unwrap();
        assert_eq!(b.values(&one), [1.0]);
    }

    #[test]
    fn the_largest_come_in_order_along_any_dimension() {
        let mut b = Bench::new();
        let x = b.tensor(BF16, &[3, 2], &[1.0, 6.0, 3.0, 4.0, 5.0, 2.0]);
        let (values, at) = (b.empty(BF16, &[2, 2]), b.empty(I64, &[2, 2]));
        let p = Topk(&b.cx, &x, 2, 0, true, true, &values, &at);
        b.run(p).unwrap();
        assert_eq!(b.values(&values), [5.0, 6.0, 3.0, 4.0]);
        assert_eq!(b.values(&at), [2.0, 0.0, 1.0, 1.0]);
        assert_eq!(refusal(Topk(&b.cx, &x, 4, 0, true, true, &values, &at)), 161_002);
    }
}
