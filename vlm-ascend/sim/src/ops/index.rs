//! Elements by index.

#![allow(non_snake_case)] // Operations have the names of the interface.

use super::copy::convert;
use super::map::NUMBERS;
use crate::plan::{Cx, Fault, Planned, Refusal, dimension, fault, invalid, of_shape, of_types, plan, same_type};
use crate::run::Run;
use crate::types::{DType, Scalar, Tensor};

/// Indices, checked against the number of places. Negative ones count from the end where the operation allows it.
fn indices(run: &Run<'_>, index: &Tensor, places: usize, wrap: bool) -> Result<Vec<usize>, Fault> {
    let n = places as i64;
    run.i64s(index)?
        .into_iter()
        .map(|i| {
            let at = if wrap && i < 0 { i + n } else { i };
            if (0..n).contains(&at) { Ok(at as usize) } else { Err(fault(format!("index {i} of {n} places"))) }
        })
        .collect()
}

fn of_index(cx: &Cx, what: &str, t: &Tensor) -> Result<(), Refusal> {
    of_types(cx, what, t, &[DType::I64, DType::I32])
}

/// A slice of a view: one place of a dimension, which is left out.
fn at(t: &Tensor, dim: usize, place: usize) -> Tensor {
    let (mut dims, mut strides) = (t.dims.clone(), t.strides.clone());
    dims.remove(dim);
    let stride = strides.remove(dim);
    t.with_view(dims, strides, t.offset + place * stride)
}

/// Slices of `x` along `dim` named by a tensor of indices of any shape, which takes the dimension's place.
fn picked(cx: &Cx, x: &Tensor, dim: i64, index: &Tensor, out: &Tensor) -> Planned {
    of_types(cx, "self", x, NUMBERS)?;
    of_index(cx, "index", index)?;
    same_type("self and out", x, out)?;
    let d = dimension(x, dim)?;
    if x.rank() == 0 {
        return Err(invalid("self has no dimension to pick from"));
    }
    let mut dims = x.dims.clone();
    dims.splice(d..=d, index.dims.iter().copied());
    of_shape("out", out, &dims)?;
    let size = x.dtype.bits() / 8;
    let (x, index, out) = (x.clone(), index.clone(), out.clone());
    plan(move |run| {
        let picks = indices(run, &index, x.dims[d], false)?;
        if out.is_empty() {
            return Ok(());
        }
        let source = run.raw(&x)?;
        let (outer, n, inner) =
            (x.dims[..d].iter().product::<usize>(), x.dims[d], x.dims[d + 1..].iter().product::<usize>());
        let step = inner * size;
        let mut all = Vec::with_capacity(outer * picks.len() * step);
        for o in 0..outer {
            for &p in &picks {
                all.extend_from_slice(&source[(o * n + p) * step..][..step]);
            }
        }
        run.put_raw(&out, &all)
    })
}

pub(crate) fn Embedding(cx: &Cx, weight: &Tensor, indices: &Tensor, out: &Tensor) -> Planned {
    if weight.rank() != 2 {
        return Err(invalid(format!("weight has shape {:?}, expected 2 dimensions", weight.dims)));
    }
    picked(cx, weight, 0, indices, out)
}

pub(crate) fn IndexSelect(cx: &Cx, x: &Tensor, dim: i64, index: &Tensor, out: &Tensor) -> Planned {
    if index.rank() > 1 {
        return Err(invalid(format!("index has shape {:?}, expected 1 dimension", index.dims)));
    }
    picked(cx, x, dim, index, out)
}

pub(crate) fn GatherV2(cx: &Cx, x: &Tensor, dim: i64, index: &Tensor, out: &Tensor) -> Planned {
    picked(cx, x, dim, index, out)
}

/// Requires an index that reaches no farther than `x`, except along `dim`.
fn fits(x: &Tensor, d: usize, index: &Tensor) -> Result<(), Refusal> {
    let within = index.dims.iter().zip(&x.dims).enumerate().all(|(i, (&n, &most))| i == d || n <= most);
    if index.rank() == x.rank() && within {
        return Ok(());
    }
    Err(invalid(format!("index has shape {:?}, which is not within {:?}", index.dims, x.dims)))
}

/// For each element of an index, in row-major order, the element of a contiguous `shape` that it names along `dim`.
fn named(shape: &[usize], over: &[usize], d: usize, picks: &[usize]) -> Vec<usize> {
    let strides = crate::types::contiguous_strides(shape);
    let mut at = vec![0; over.len()];
    picks
        .iter()
        .map(|&pick| {
            let place = (0..over.len()).map(|i| if i == d { pick * strides[i] } else { at[i] * strides[i] }).sum();
            for i in (0..over.len()).rev() {
                at[i] += 1;
                if at[i] < over[i] {
                    break;
                }
                at[i] = 0;
            }
            place
        })
        .collect()
}

pub(crate) fn Gather(cx: &Cx, x: &Tensor, dim: i64, index: &Tensor, out: &Tensor) -> Planned {
    of_types(cx, "self", x, NUMBERS)?;
    of_index(cx, "index", index)?;
    same_type("self and out", x, out)?;
    of_shape("out", out, &index.dims)?;
    let d = dimension(x, dim)?;
    fits(x, d, index)?;
    let size = x.dtype.bits() / 8;
    let (x, index, out) = (x.clone(), index.clone(), out.clone());
    plan(move |run| {
        if index.is_empty() {
            return Ok(());
        }
        let picks = indices(run, &index, x.dims.get(d).copied().unwrap_or(1), false)?;
        let source = run.raw(&x)?;
        let places = named(&x.dims, &index.dims, d, &picks);
        let all: Vec<u8> = places.iter().flat_map(|p| &source[p * size..][..size]).copied().collect();
        run.put_raw(&out, &all)
    })
}

/// Adds or puts elements of `src` to the places that `index` names in `values`, which start as those of `x`.
#[allow(clippy::too_many_arguments)] // What the operations have.
fn scattered(
    run: &mut Run<'_>,
    x: &Tensor,
    d: usize,
    index: &Tensor,
    src: &Tensor,
    out: &Tensor,
    reduce: i64,
) -> Result<(), Fault> {
    let picks = indices(run, index, x.dims.get(d).copied().unwrap_or(1), true)?;
    let places = named(&x.dims, &index.dims, d, &picks);
    if x.dtype.is_float() {
        let (mut v, s) = (run.f64s(x)?, run.f64s(src)?);
        for (&p, s) in places.iter().zip(s) {
            // Each sum is rounded to the type, as it is in memory.
            v[p] = match reduce {
                0 => s,
                1 => x.dtype.round(v[p] + s),
                _ => x.dtype.round(v[p] * s),
            };
        }
        return run.put_f64(out, &v);
    }
    let (mut v, s) = (run.i64s(x)?, run.i64s(src)?);
    for (&p, s) in places.iter().zip(s) {
        v[p] = match reduce {
            0 => s,
            1 => v[p].wrapping_add(s),
            _ => v[p].wrapping_mul(s),
        };
    }
    run.put_i64(out, &v)
}

/// The part of `src` that has the shape of `index`.
fn part_of(src: &Tensor, index: &Tensor) -> Result<Tensor, Refusal> {
    let within = src.rank() == index.rank() && index.dims.iter().zip(&src.dims).all(|(a, b)| a <= b);
    if !within {
        return Err(invalid(format!("index has shape {:?}, which is not within src {:?}", index.dims, src.dims)));
    }
    Ok(src.with_view(index.dims.clone(), src.strides.clone(), src.offset))
}

fn scatter(cx: &Cx, x: &Tensor, dim: i64, index: &Tensor, src: &Tensor, reduce: i64, out: &Tensor) -> Planned {
    of_types(cx, "self", x, NUMBERS)?;
    of_index(cx, "index", index)?;
    same_type("self and src", x, src)?;
    same_type("self and out", x, out)?;
    of_shape("out", out, &x.dims)?;
    let d = dimension(x, dim)?;
    fits(x, d, index)?;
    let src = part_of(src, index)?;
    let (x, index, out) = (x.clone(), index.clone(), out.clone());
    plan(move |run| scattered(run, &x, d, &index, &src, &out, reduce))
}

pub(crate) fn ScatterAdd(cx: &Cx, x: &Tensor, dim: i64, index: &Tensor, src: &Tensor, out: &Tensor) -> Planned {
    scatter(cx, x, dim, index, src, 1, out)
}

/// `reduce`: 0 puts, 1 adds, 2 multiplies.
pub(crate) fn InplaceScatter(cx: &Cx, x: &Tensor, dim: i64, index: &Tensor, src: &Tensor, reduce: i64) -> Planned {
    if !(0..=2).contains(&reduce) {
        return Err(invalid(format!("reduce {reduce} is not 0, 1 or 2")));
    }
    scatter(cx, x, dim, index, src, reduce, x)
}

/// `out = self`, with `alpha * source` added to the slices that `index` names.
pub(crate) fn IndexAdd(
    cx: &Cx,
    x: &Tensor,
    dim: i64,
    index: &Tensor,
    source: &Tensor,
    alpha: Scalar,
    out: &Tensor,
) -> Planned {
    of_types(cx, "self", x, NUMBERS)?;
    of_index(cx, "index", index)?;
    same_type("self and source", x, source)?;
    same_type("self and out", x, out)?;
    of_shape("out", out, &x.dims)?;
    let d = dimension(x, dim)?;
    let mut dims = x.dims.clone();
    dims[d] = index.count();
    of_shape("source", source, &dims)?;
    let (x, index, source, out) = (x.clone(), index.clone(), source.clone(), out.clone());
    plan(move |run| {
        let picks = indices(run, &index, x.dims[d], false)?;
        let (outer, n, inner) =
            (x.dims[..d].iter().product::<usize>(), x.dims[d], x.dims[d + 1..].iter().product::<usize>());
        let pairs = (0..outer).flat_map(|o| {
            let picks = &picks;
            (0..picks.len()).flat_map(move |i| {
                (0..inner).map(move |k| ((o * n + picks[i]) * inner + k, (o * picks.len() + i) * inner + k))
            })
        });
        if x.dtype.is_float() {
            let (mut v, s) = (run.f64s(&x)?, run.f64s(&source)?);
            pairs.for_each(|(to, from)| v[to] = x.dtype.round(v[to] + alpha.f64() * s[from]));
            return run.put_f64(&out, &v);
        }
        let (mut v, s) = (run.i64s(&x)?, run.i64s(&source)?);
        pairs.for_each(|(to, from)| v[to] = v[to].wrapping_add(alpha.i64().wrapping_mul(s[from])));
        run.put_i64(&out, &v)
    })
}

/// Slices of `source` put to the places that `index` names.
pub(crate) fn InplaceIndexCopy(cx: &Cx, x: &Tensor, dim: i64, index: &Tensor, source: &Tensor) -> Planned {
    of_types(cx, "selfRef", x, NUMBERS)?;
    of_index(cx, "index", index)?;
    let d = dimension(x, dim)?;
    let mut dims = x.dims.clone();
    dims[d] = index.count();
    of_shape("source", source, &dims)?;
    same_type("selfRef and source", x, source)?;
    let (x, index, source) = (x.clone(), index.clone(), source.clone());
    plan(move |run| {
        let picks = indices(run, &index, x.dims[d], false)?;
        picks.iter().enumerate().try_for_each(|(i, &p)| convert(run, &at(&source, d, i), &at(&x, d, p)))
    })
}

/// The slices that `index` names, filled.
pub(crate) fn InplaceIndexFillTensor(cx: &Cx, x: &Tensor, dim: i64, index: &[i64], value: Scalar) -> Planned {
    of_types(cx, "selfRef", x, NUMBERS)?;
    let d = dimension(x, dim)?;
    let n = x.dims[d] as i64;
    let picks: Vec<usize> = index
        .iter()
        .map(|&i| {
            let at = if i < 0 { i + n } else { i };
            (0..n).contains(&at).then_some(at as usize).ok_or_else(|| invalid(format!("index {i} of {n} places")))
        })
        .collect::<Result<_, _>>()?;
    let x = x.clone();
    plan(move |run| {
        picks.iter().try_for_each(|&p| {
            let slice = at(&x, d, p);
            if x.dtype.is_float() {
                run.put_f64(&slice, &vec![value.f64(); slice.count()])
            } else {
                run.put_i64(&slice, &vec![value.i64(); slice.count()])
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{Bench, refusal};
    use crate::types::DType::{F16, F32, I32, I64};

    #[test]
    fn slices_are_picked_from_views() {
        let mut b = Bench::new();
        let x = b.tensor(F16, &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let turned = x.with_view(vec![3, 2], vec![1, 3], 0);
        let index = b.tensor(I32, &[2], &[2.0, 0.0]);
        let out = b.empty(F16, &[2, 2]);
        let p = IndexSelect(&b.cx, &turned, 0, &index, &out);
        b.run(p).unwrap();
        assert_eq!(b.values(&out), [3.0, 6.0, 1.0, 4.0]);
        let wrong = b.tensor(I64, &[2], &[3.0, 0.0]);
        let p = IndexSelect(&b.cx, &turned, 0, &wrong, &out);
        assert_eq!(b.run(p).unwrap_err().code, 507_015);
        let many = b.tensor(I64, &[1, 2], &[1.0, 1.0]);
        let rows = b.empty(F16, &[1, 2, 3]);
        let p = Embedding(&b.cx, &x, &many, &rows);
        b.run(p).unwrap();
        assert_eq!(b.values(&rows), [4.0, 5.0, 6.0, 4.0, 5.0, 6.0]);
        assert_eq!(refusal(Embedding(&b.cx, &x, &out, &rows)), 161_002);
    }

    #[test]
    fn repeated_places_add_up_in_order() {
        let mut b = Bench::new();
        let x = b.tensor(F32, &[3], &[1.0, 2.0, 3.0]);
        let index = b.tensor(I64, &[3], &[1.0, 1.0, 0.0]);
        let src = b.tensor(F32, &[3], &[10.0, 20.0, 30.0]);
        let out = b.empty(F32, &[3]);
        let p = ScatterAdd(&b.cx, &x, 0, &index, &src, &out);
        b.run(p).unwrap();
        assert_eq!(b.values(&out), [31.0, 32.0, 3.0]);
        let p = IndexAdd(&b.cx, &x, 0, &index, &src, Scalar::float(F32, 0.5), &out);
        b.run(p).unwrap();
        assert_eq!(b.values(&out), [16.0, 17.0, 3.0]);
        let p = InplaceScatter(&b.cx, &x, 0, &index, &src, 0);
        b.run(p).unwrap();
        assert_eq!(b.values(&x), [30.0, 20.0, 3.0]);
    }

    #[test]
    fn gathering_reaches_along_one_dimension() {
        let mut b = Bench::new();
        let x = b.tensor(F32, &[2, 2], &[1.0, 2.0, 3.0, 4.0]);
        let index = b.tensor(I64, &[1, 3], &[1.0, 0.0, 1.0]);
        let out = b.empty(F32, &[1, 3]);
        let p = Gather(&b.cx, &x, 1, &index, &out);
        b.run(p).unwrap();
        assert_eq!(b.values(&out), [2.0, 1.0, 2.0]);
        let p = InplaceIndexFillTensor(&b.cx, &x, 1, &[-1], Scalar::float(F32, 9.0));
        b.run(p).unwrap();
        assert_eq!(b.values(&x), [1.0, 9.0, 3.0, 9.0]);
        let place = b.tensor(I64, &[1], &[0.0]);
        let row = b.tensor(F32, &[1, 2], &[7.0, 8.0]);
        let p = InplaceIndexCopy(&b.cx, &x, 0, &place, &row);
        b.run(p).unwrap();
        assert_eq!(b.values(&x), [7.0, 8.0, 3.0, 9.0]);
    }
}
