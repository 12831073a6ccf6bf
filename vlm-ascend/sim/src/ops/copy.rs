//! Copies: other types, other shapes, tensors put together and cut apart.

#![allow(non_snake_case)] // Operations have the names of the interface.

use super::map::NUMBERS;
use crate::plan::{Cx, Fault, Planned, dimension, invalid, of_shape, of_types, plan, same_type};
use crate::run::Run;
use crate::types::{DType, Scalar, Tensor};

/// Every type that is copied.
const ALL: &[DType] = &[
    DType::F32,
    DType::F16,
    DType::BF16,
    DType::F64,
    DType::I64,
    DType::I32,
    DType::I16,
    DType::I8,
    DType::U8,
    DType::U16,
    DType::U32,
    DType::U64,
    DType::Bool,
];

/// Elements of `from` to `to`, which has as many, converted.
pub(super) fn convert(run: &mut Run<'_>, from: &Tensor, to: &Tensor) -> Result<(), Fault> {
    if from.dtype == to.dtype {
        return run.move_elements(from, to);
    }
    if from.dtype.is_float() {
        let v = run.f64s(from)?;
        return run.put_f64(to, &v);
    }
    let v = run.i64s(from)?;
    if from.dtype == DType::U64 && to.dtype.is_float() {
        return run.put_f64(to, &v.iter().map(|&v| v as u64 as f64).collect::<Vec<_>>());
    }
    run.put_i64(to, &v)
}

/// Moves elements between views of one type and shape, both given as they are.
fn moved(from: Tensor, to: Tensor) -> Planned {
    plan(move |run| run.move_elements(&from, &to))
}

pub(crate) fn Cast(cx: &Cx, x: &Tensor, dtype: DType, out: &Tensor) -> Planned {
    of_types(cx, "self", x, ALL)?;
    of_types(cx, "out", out, ALL)?;
    if out.dtype != dtype {
        return Err(invalid(format!("out has type {:?}, expected {dtype:?}", out.dtype)));
    }
    of_shape("out", out, &x.dims)?;
    let (x, out) = (x.clone(), out.clone());
    plan(move |run| convert(run, &x, &out))
}

/// `src`, broadcast and converted, into `self`.
pub(crate) fn InplaceCopy(cx: &Cx, x: &Tensor, src: &Tensor) -> Planned {
    of_types(cx, "selfRef", x, ALL)?;
    of_types(cx, "src", src, ALL)?;
    let Some(from) = src.broadcast(&x.dims) else {
        return Err(invalid(format!("src of shape {:?} does not broadcast to {:?}", src.dims, x.dims)));
    };
    let to = x.clone();
    plan(move |run| convert(run, &from, &to))
}

pub(crate) fn Permute(cx: &Cx, x: &Tensor, dims: &[i64], out: &Tensor) -> Planned {
    of_types(cx, "self", x, ALL)?;
    same_type("self and out", x, out)?;
    let order = dims.iter().map(|&d| dimension(x, d)).collect::<Result<Vec<_>, _>>()?;
    let mut seen = order.clone();
    seen.sort_unstable();
    if seen != (0..x.rank()).collect::<Vec<_>>() {
        return Err(invalid(format!("dims {dims:?} are no order of {} dimensions", x.rank())));
    }
    let pick = |v: &[usize]| order.iter().map(|&d| v[d]).collect::<Vec<_>>();
    let from = x.with_view(pick(&x.dims), pick(&x.strides), x.offset);
    of_shape("out", out, &from.dims)?;
    moved(from, out.clone())
}

/// A part of a view along a dimension.
fn part(t: &Tensor, dim: usize, start: usize, len: usize) -> Tensor {
    let mut dims = t.dims.clone();
    dims[dim] = len;
    t.with_view(dims, t.strides.clone(), t.offset + start * t.strides[dim])
}

pub(crate) fn Cat(cx: &Cx, tensors: &[Tensor], dim: i64, out: &Tensor) -> Planned {
    // One row without elements is left out, whatever else the others are.
    let parts: Vec<&Tensor> = tensors.iter().filter(|t| t.dims != [0]).collect();
    let Some(first) = parts.first() else {
        return if out.is_empty() { plan(|_| Ok(())) } else { Err(invalid("there is nothing to put together")) };
    };
    let at = dimension(first, dim)?;
    let (mut pairs, mut start) = (Vec::new(), 0);
    for t in &parts {
        of_types(cx, "tensors", t, ALL)?;
        let others =
            |t: &Tensor| t.dims.iter().enumerate().filter(|(d, _)| *d != at).map(|(_, &n)| n).collect::<Vec<_>>();
        if t.rank() != first.rank() || others(t) != others(first) {
            return Err(invalid(format!(
                "shapes {:?} and {:?} differ in more than dimension {at}",
                first.dims, t.dims
            )));
        }
        start += t.dims[at];
    }
    let mut dims = first.dims.clone();
    dims[at] = start;
    of_shape("out", out, &dims)?;
    start = 0;
    for t in parts {
        pairs.push((t.clone(), part(out, at, start, t.dims[at])));
        start += t.dims[at];
    }
    plan(move |run| pairs.iter().try_for_each(|(from, to)| convert(run, from, to)))
}

/// A bound of a slice, which may count from the end.
fn bound(n: usize, at: i64) -> usize {
    let at = if at < 0 { at + n as i64 } else { at };
    at.clamp(0, n as i64) as usize
}

pub(crate) fn Slice(cx: &Cx, x: &Tensor, dim: i64, start: i64, end: i64, step: i64, out: &Tensor) -> Planned {
    of_types(cx, "self", x, ALL)?;
    let at = dimension(x, dim)?;
    let Some(step) = usize::try_from(step).ok().filter(|&s| s > 0) else {
        return Err(invalid(format!("step {step} is not positive")));
    };
    let (start, end) = (bound(x.dims[at], start), bound(x.dims[at], end));
    let mut from = part(x, at, start, end.saturating_sub(start).div_ceil(step));
    from.strides[at] *= step;
    of_shape("out", out, &from.dims)?;
    let out = out.clone();
    plan(move |run| convert(run, &from, &out))
}

/// The whole tensor, as often as `repeats` says along each dimension.
pub(crate) fn Repeat(cx: &Cx, x: &Tensor, repeats: &[i64], out: &Tensor) -> Planned {
    of_types(cx, "self", x, ALL)?;
    same_type("self and out", x, out)?;
    let Some(lead) = repeats.len().checked_sub(x.rank()) else {
        return Err(invalid(format!("{} repeats for {} dimensions", repeats.len(), x.rank())));
    };
    let (mut dims, mut from, mut to) = (Vec::new(), (Vec::new(), Vec::new()), Vec::new());
    for (i, &r) in repeats.iter().enumerate() {
        let r = usize::try_from(r).map_err(|_| invalid(format!("repeats {repeats:?} are negative")))?;
        let (n, s) = i.checked_sub(lead).map_or((1, 0), |d| (x.dims[d], x.strides[d]));
        dims.push(r * n);
        from.0.extend([r, n]);
        from.1.extend([0, s]);
        to.push(n);
    }
    of_shape("out", out, &dims)?;
    let place = out.with_view(
        from.0.clone(),
        out.strides.iter().zip(&to).flat_map(|(&s, &n)| [s * n, s]).collect(),
        out.offset,
    );
    moved(x.with_view(from.0, from.1, x.offset), place)
}

/// Every element along `dim`, `repeats` times in a row.
pub(crate) fn RepeatInterleaveIntWithDim(
    cx: &Cx,
    x: &Tensor,
    repeats: i64,
    dim: i64,
    output_size: i64,
    out: &Tensor,
) -> Planned {
    of_types(cx, "self", x, ALL)?;
    same_type("self and out", x, out)?;
    let at = dimension(x, dim)?;
    let r = usize::try_from(repeats).map_err(|_| invalid(format!("repeats {repeats} is negative")))?;
    let mut dims = x.dims.clone();
    dims[at] *= r;
    if output_size != dims[at] as i64 {
        return Err(invalid(format!("outputSize {output_size} is not {}", dims[at])));
    }
    of_shape("out", out, &dims)?;
    let wide = |t: &Tensor, inner: (usize, usize), outer: usize| {
        let (mut dims, mut strides) = (t.dims.clone(), t.strides.clone());
        (dims[at], strides[at]) = (x.dims[at], outer);
        dims.insert(at + 1, inner.0);
        strides.insert(at + 1, inner.1);
        t.with_view(dims, strides, t.offset)
    };
    moved(wide(x, (r, 0), x.strides[at]), wide(out, (r, out.strides[at]), r * out.strides[at]))
}

/// `pad` has pairs, the last dimension's first: how many elements come before and after. Negative ones cut.
pub(crate) fn ConstantPadNd(cx: &Cx, x: &Tensor, pad: &[i64], value: Scalar, out: &Tensor) -> Planned {
    of_types(cx, "self", x, ALL)?;
    same_type("self and out", x, out)?;
    if pad.len() % 2 == 1 || pad.len() / 2 > x.rank() {
        return Err(invalid(format!("{} numbers of padding for {} dimensions", pad.len(), x.rank())));
    }
    let (mut dims, mut from, mut to) = (x.dims.clone(), x.clone(), out.clone());
    for (i, both) in pad.chunks_exact(2).enumerate() {
        let d = x.rank() - 1 - i;
        let size = x.dims[d] as i64 + both[0] + both[1];
        dims[d] = usize::try_from(size).map_err(|_| invalid(format!("padding {pad:?} leaves nothing")))?;
        let (cut_before, cut_after) = ((-both[0]).max(0) as usize, (-both[1]).max(0) as usize);
        let kept = x.dims[d].saturating_sub(cut_before + cut_after);
        from = part(&from, d, cut_before, kept);
        to = part(&to, d, both[0].max(0) as usize, kept);
    }
    of_shape("out", out, &dims)?;
    let out = out.clone();
    plan(move |run| {
        if out.dtype.is_float() {
            run.put_f64(&out, &vec![value.f64(); out.count()])?;
        } else {
            run.put_i64(&out, &vec![value.i64(); out.count()])?;
        }
        run.move_elements(&from, &to)
    })
}

/// The last dimension with its ends mirrored, without the edge itself.
pub(crate) fn ReflectionPad1d(cx: &Cx, x: &Tensor, padding: &[i64], out: &Tensor) -> Planned {
    of_types(cx, "self", x, NUMBERS)?;
    same_type("self and out", x, out)?;
    let (&[before, after], Some(&n)) = (padding, x.dims.last()) else {
        return Err(invalid(format!("padding {padding:?} is not two numbers")));
    };
    let fits = |p: i64| (0..n as i64).contains(&p);
    if !(2..=3).contains(&x.rank()) || !fits(before) || !fits(after) {
        return Err(invalid(format!("padding {padding:?} for shape {:?}", x.dims)));
    }
    let mut dims = x.dims.clone();
    let last = dims.len() - 1;
    dims[last] = n + (before + after) as usize;
    of_shape("out", out, &dims)?;
    let (x, out, width) = (x.clone(), out.clone(), dims[last]);
    plan(move |run| {
        let v = run.f64s(&x)?;
        let mirror = |i: usize| {
            let at = (i as i64 - before).abs();
            if at < n as i64 { at as usize } else { 2 * (n - 1) - at as usize }
        };
        let all: Vec<f64> = v.chunks_exact(n).flat_map(|row| (0..width).map(|i| row[mirror(i)])).collect();
        run.put_f64(&out, &all)
    })
}

/// Elements shifted along dimensions, those that leave at one end coming in at the other.
pub(crate) fn Roll(cx: &Cx, x: &Tensor, shifts: &[i64], dims: &[i64], out: &Tensor) -> Planned {
    of_types(cx, "x", x, ALL)?;
    same_type("x and out", x, out)?;
    of_shape("out", out, &x.dims)?;
    if x.is_empty() {
        return plan(|_| Ok(()));
    }
    if dims.is_empty() && shifts.len() == 1 {
        let (x, out, shift) = (x.clone(), out.clone(), shifts[0]);
        return plan(move |run| {
            let mut v = run.f64s(&x)?;
            let n = v.len() as i64;
            v.rotate_right(shift.rem_euclid(n) as usize);
            run.put_f64(&out, &v)
        });
    }
    if dims.len() != shifts.len() {
        return Err(invalid(format!("{} shifts for {} dimensions", shifts.len(), dims.len())));
    }
    let mut by = vec![0usize; x.rank()];
    for (&d, &s) in dims.iter().zip(shifts) {
        let d = dimension(x, d)?;
        by[d] = (by[d] as i64 + s).rem_euclid(x.dims[d] as i64) as usize;
    }
    // Every block that stays together: each shifted dimension falls into two.
    let mut pairs = vec![(x.clone(), out.clone())];
    for (d, &s) in by.iter().enumerate().filter(|(_, s)| **s > 0) {
        let n = x.dims[d];
        pairs = pairs
            .into_iter()
            .flat_map(|(a, b)| {
                [(part(&a, d, 0, n - s), part(&b, d, s, n - s)), (part(&a, d, n - s, s), part(&b, d, 0, s))]
            })
            .collect();
    }
    plan(move |run| pairs.iter().try_for_each(|(from, to)| run.move_elements(from, to)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{Bench, refusal};
    use crate::types::DType::{BF16, Bool, F16, F32, I32, I64, U8};

    fn range(b: &mut Bench, dtype: DType, dims: &[usize]) -> Tensor {
        let values: Vec<f64> = (0..dims.iter().product::<usize>()).map(|i| i as f64).collect();
        b.tensor(dtype, dims, &values)
    }

    #[test]
    fn casts_truncate_saturate_and_wrap() {
        let mut b = Bench::new();
        let x = b.tensor(F32, &[4], &[-1.7, 2.5, 3e9, f64::NAN]);
        let out = b.empty(I32, &[4]);
        let p = Cast(&b.cx, &x, I32, &out);
        b.run(p).unwrap();
        assert_eq!(b.values(&out), [-1.0, 2.0, f64::from(i32::MAX), 0.0]);
        let truth = b.empty(Bool, &[4]);
        let p = Cast(&b.cx, &x, Bool, &truth);
        b.run(p).unwrap();
        assert_eq!(b.values(&truth), [1.0; 4]);
        let wide = b.tensor(I64, &[1], &[258.0]);
        let byte = b.empty(U8, &[1]);
        let p = Cast(&b.cx, &wide, U8, &byte);
        b.run(p).unwrap();
        assert_eq!(b.values(&byte), [2.0]);
        assert_eq!(refusal(Cast(&b.cx, &wide, F32, &byte)), 161_002);
    }

    #[test]
    fn copies_broadcast_convert_and_turn() {
        let mut b = Bench::new();
        let src = b.tensor(F16, &[3, 1], &[1.0, 2.0, 3.0]);
        let to = b.empty(BF16, &[2, 3]);
        let turned = to.with_view(vec![3, 2], vec![1, 3], 0);
        let p = InplaceCopy(&b.cx, &turned, &src);
        b.run(p).unwrap();
        assert_eq!(b.values(&to), [1.0, 2.0, 3.0, 1.0, 2.0, 3.0]);
        let x = range(&mut b, F32, &[2, 3]);
        let out = b.empty(F32, &[3, 2]);
        let p = Permute(&b.cx, &x, &[1, 0], &out);
        b.run(p).unwrap();
        assert_eq!(b.values(&out), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
    }

    #[test]
    fn tensors_are_joined_cut_and_repeated() {
        let mut b = Bench::new();
        let (x, y) = (range(&mut b, F32, &[2, 2]), range(&mut b, F32, &[2, 1]));
        let out = b.empty(F32, &[2, 3]);
        let p = Cat(&b.cx, &[x.clone(), y], -1, &out);
        b.run(p).unwrap();
        assert_eq!(b.values(&out), [0.0, 1.0, 0.0, 2.0, 3.0, 1.0]);
        let cut = b.empty(F32, &[2, 2]);
        let p = Slice(&b.cx, &out, 1, 0, 3, 2, &cut);
        b.run(p).unwrap();
        assert_eq!(b.values(&cut), [0.0, 0.0, 2.0, 1.0]);
        let many = b.empty(F32, &[4, 2]);
        let p = Repeat(&b.cx, &x, &[2, 1], &many);
        b.run(p).unwrap();
        assert_eq!(b.values(&many), [0.0, 1.0, 2.0, 3.0, 0.0, 1.0, 2.0, 3.0]);
        let p = RepeatInterleaveIntWithDim(&b.cx, &x, 2, 0, 4, &many);
        b.run(p).unwrap();
        assert_eq!(b.values(&many), [0.0, 1.0, 0.0, 1.0, 2.0, 3.0, 2.0, 3.0]);
        assert_eq!(refusal(RepeatInterleaveIntWithDim(&b.cx, &x, 2, 0, 5, &many)), 161_002);
    }

    #[test]
    fn paddings_are_pytorchs() {
        let mut b = Bench::new();
        let x = range(&mut b, F32, &[1, 3]);
        let out = b.empty(F32, &[2, 4]);
        let p = ConstantPadNd(&b.cx, &x, &[2, -1, 0, 1], Scalar::float(F32, 9.0), &out);
        b.run(p).unwrap();
        assert_eq!(b.values(&out), [9.0, 9.0, 0.0, 1.0, 9.0, 9.0, 9.0, 9.0]);
        let wide = b.empty(F32, &[1, 6]);
        let p = ReflectionPad1d(&b.cx, &x, &[2, 1], &wide);
        b.run(p).unwrap();
        assert_eq!(b.values(&wide), [2.0, 1.0, 0.0, 1.0, 2.0, 1.0]);
        let square = range(&mut b, F32, &[2, 2]);
        let rolled = b.empty(F32, &[2, 2]);
        let p = Roll(&b.cx, &square, &[1, 1], &[0, 1], &rolled);
        b.run(p).unwrap();
        assert_eq!(b.values(&rolled), [3.0, 2.0, 1.0, 0.0]);
    }
}
