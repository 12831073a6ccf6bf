//! Pairs of numbers: a tensor with a tensor or with a scalar.

#![allow(non_snake_case)] // Operations have the names of the interface.

use crate::ops::map::{Other, Pairs, of};
use crate::plan::{Cx, Planned};
use crate::types::{Scalar, Tensor};

/// `floor(a / b)`; 0 for a divisor of 0.
fn floor_div(a: i64, b: i64) -> i64 {
    if b == 0 {
        return 0;
    }
    let (q, r) = (a.wrapping_div(b), a.wrapping_rem(b));
    if r != 0 && (r < 0) != (b < 0) { q - 1 } else { q }
}

/// A power of whole numbers; 0 where it is none.
fn whole_power(a: i64, b: i64) -> i64 {
    u32::try_from(b).map_or(0, |b| a.wrapping_pow(b))
}

/// The larger one; NaN if either is.
fn larger(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}

/// The smaller one; NaN if either is.
fn smaller(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.min(b) }
}

pub(crate) fn Add(cx: &Cx, x: &Tensor, other: &Tensor, alpha: Scalar, out: &Tensor) -> Planned {
    let (k, m) = (alpha.f64(), alpha.i64());
    Pairs::new(cx, of(x), of(other))?.write(
        cx,
        out,
        move |a, b| a + k * b,
        move |a, b| a.wrapping_add(m.wrapping_mul(b)),
    )
}

pub(crate) fn InplaceAdd(cx: &Cx, x: &Tensor, other: &Tensor, alpha: Scalar) -> Planned {
    Add(cx, x, other, alpha, x)
}

pub(crate) fn Adds(cx: &Cx, x: &Tensor, other: Scalar, alpha: Scalar, out: &Tensor) -> Planned {
    let (k, m) = (alpha.f64(), alpha.i64());
    Pairs::new(cx, of(x), Other::Number(other))?.write(
        cx,
        out,
        move |a, b| a + k * b,
        move |a, b| a.wrapping_add(m.wrapping_mul(b)),
    )
}

pub(crate) fn InplaceAdds(cx: &Cx, x: &Tensor, other: Scalar, alpha: Scalar) -> Planned {
    Adds(cx, x, other, alpha, x)
}

pub(crate) fn Sub(cx: &Cx, x: &Tensor, other: &Tensor, alpha: Scalar, out: &Tensor) -> Planned {
    let (k, m) = (alpha.f64(), alpha.i64());
    Pairs::new(cx, of(x), of(other))?.write(
        cx,
        out,
        move |a, b| a - k * b,
        move |a, b| a.wrapping_sub(m.wrapping_mul(b)),
    )
}

pub(crate) fn InplaceSub(cx: &Cx, x: &Tensor, other: &Tensor, alpha: Scalar) -> Planned {
    Sub(cx, x, other, alpha, x)
}

pub(crate) fn Subs(cx: &Cx, x: &Tensor, other: Scalar, alpha: Scalar, out: &Tensor) -> Planned {
    let (k, m) = (alpha.f64(), alpha.i64());
    Pairs::new(cx, of(x), Other::Number(other))?.write(
        cx,
        out,
        move |a, b| a - k * b,
        move |a, b| a.wrapping_sub(m.wrapping_mul(b)),
    )
}

pub(crate) fn InplaceSubs(cx: &Cx, x: &Tensor, other: Scalar, alpha: Scalar) -> Planned {
    Subs(cx, x, other, alpha, x)
}

pub(crate) fn Mul(cx: &Cx, x: &Tensor, other: &Tensor, out: &Tensor) -> Planned {
    Pairs::new(cx, of(x), of(other))?.write(cx, out, |a, b| a * b, i64::wrapping_mul)
}

pub(crate) fn InplaceMul(cx: &Cx, x: &Tensor, other: &Tensor) -> Planned {
    Mul(cx, x, other, x)
}

pub(crate) fn Muls(cx: &Cx, x: &Tensor, other: Scalar, out: &Tensor) -> Planned {
    Pairs::new(cx, of(x), Other::Number(other))?.write(cx, out, |a, b| a * b, i64::wrapping_mul)
}

pub(crate) fn InplaceMuls(cx: &Cx, x: &Tensor, other: Scalar) -> Planned {
    Muls(cx, x, other, x)
}

pub(crate) fn Div(cx: &Cx, x: &Tensor, other: &Tensor, out: &Tensor) -> Planned {
    let mut pairs = Pairs::new(cx, of(x), of(other))?;
    // True division: integers become floats.
    pairs.float = true;
    pairs.write(cx, out, |a, b| a / b, |_, _| 0)
}

pub(crate) fn InplaceDiv(cx: &Cx, x: &Tensor, other: &Tensor) -> Planned {
    Div(cx, x, other, x)
}

pub(crate) fn Divs(cx: &Cx, x: &Tensor, other: Scalar, out: &Tensor) -> Planned {
    let mut pairs = Pairs::new(cx, of(x), Other::Number(other))?;
    // True division: integers become floats.
    pairs.float = true;
    pairs.write(cx, out, |a, b| a / b, |_, _| 0)
}

pub(crate) fn InplaceDivs(cx: &Cx, x: &Tensor, other: Scalar) -> Planned {
    Divs(cx, x, other, x)
}

pub(crate) fn FloorDivide(cx: &Cx, x: &Tensor, other: &Tensor, out: &Tensor) -> Planned {
    Pairs::new(cx, of(x), of(other))?.write(cx, out, |a, b| (a / b).floor(), floor_div)
}

pub(crate) fn RemainderTensorTensor(cx: &Cx, x: &Tensor, other: &Tensor, out: &Tensor) -> Planned {
    Pairs::new(cx, of(x), of(other))?.write(
        cx,
        out,
        |a, b| a - b * (a / b).floor(),
        |a, b| if b == 0 { 0 } else { a.wrapping_sub(b.wrapping_mul(floor_div(a, b))) },
    )
}

pub(crate) fn PowTensorTensor(cx: &Cx, x: &Tensor, exponent: &Tensor, out: &Tensor) -> Planned {
    Pairs::new(cx, of(x), of(exponent))?.write(cx, out, f64::powf, whole_power)
}

pub(crate) fn PowTensorScalar(cx: &Cx, x: &Tensor, exponent: Scalar, out: &Tensor) -> Planned {
    Pairs::new(cx, of(x), Other::Number(exponent))?.write(cx, out, f64::powf, whole_power)
}

pub(crate) fn PowScalarTensor(cx: &Cx, x: Scalar, exponent: &Tensor, out: &Tensor) -> Planned {
    Pairs::new(cx, Other::Number(x), of(exponent))?.write(cx, out, f64::powf, whole_power)
}

pub(crate) fn InplacePowTensorTensor(cx: &Cx, x: &Tensor, exponent: &Tensor) -> Planned {
    PowTensorTensor(cx, x, exponent, x)
}

pub(crate) fn Maximum(cx: &Cx, x: &Tensor, other: &Tensor, out: &Tensor) -> Planned {
    Pairs::new(cx, of(x), of(other))?.write(cx, out, larger, i64::max)
}

pub(crate) fn Minimum(cx: &Cx, x: &Tensor, other: &Tensor, out: &Tensor) -> Planned {
    Pairs::new(cx, of(x), of(other))?.write(cx, out, smaller, i64::min)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{Bench, refusal};
    use crate::types::DType::{BF16, F16, F32, I32, I64};

    #[test]
    fn sums_broadcast_and_scale_the_second_operand() {
        let mut b = Bench::new();
        let x = b.tensor(F32, &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let y = b.tensor(F32, &[3], &[10.0, 20.0, 30.0]);
        let out = b.empty(F32, &[2, 3]);
        let p = Add(&b.cx, &x, &y, Scalar::float(F32, 2.0), &out);
        b.run(p).unwrap();
        assert_eq!(b.values(&out), [21.0, 42.0, 63.0, 24.0, 45.0, 66.0]);
        let turned = x.with_view(vec![3, 2], vec![1, 3], 0);
        let short = b.tensor(F32, &[3, 1], &[1.0, 1.0, 1.0]);
        let other = b.empty(F32, &[3, 2]);
        let p = Sub(&b.cx, &turned, &short, Scalar::float(F32, 1.0), &other);
        b.run(p).unwrap();
        assert_eq!(b.values(&other), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        assert_eq!(refusal(Add(&b.cx, &x, &y, Scalar::float(F32, 1.0), &y)), 161_002);
    }

    #[test]
    fn halves_are_rounded_once_and_integers_wrap() {
        let mut b = Bench::new();
        let x = b.tensor(F16, &[2], &[2048.0, 0.1]);
        let y = b.tensor(F16, &[2], &[1.0, 0.2]);
        let out = b.empty(F16, &[2]);
        let p = Add(&b.cx, &x, &y, Scalar::float(F32, 1.0), &out);
        b.run(p).unwrap();
        let got = b.values(&out);
        assert_eq!(got[0], 2048.0);
        assert!((got[1] - 0.3).abs() < 2e-4);
        let big = b.tensor(I32, &[1], &[f64::from(i32::MAX)]);
        let p = InplaceAdds(&b.cx, &big, Scalar::int(I64, 1), Scalar::int(I64, 1));
        b.run(p).unwrap();
        assert_eq!(b.values(&big), [f64::from(i32::MIN)]);
        let old = Bench::on("Ascend310P3");
        let t = b.tensor(BF16, &[1], &[1.0]);
        assert_eq!(refusal(Mul(&old.cx, &t, &t, &t)), 161_002);
    }

    #[test]
    fn division_rounds_down_as_documented() {
        let mut b = Bench::new();
        let x = b.tensor(I64, &[3], &[7.0, -7.0, 5.0]);
        let y = b.tensor(I64, &[3], &[2.0, 2.0, -3.0]);
        let out = b.empty(I64, &[3]);
        let p = FloorDivide(&b.cx, &x, &y, &out);
        b.run(p).unwrap();
        assert_eq!(b.values(&out), [3.0, -4.0, -2.0]);
        let p = RemainderTensorTensor(&b.cx, &x, &y, &out);
        b.run(p).unwrap();
        assert_eq!(b.values(&out), [1.0, 1.0, -1.0]);
        let real = b.empty(F32, &[3]);
        let p = Div(&b.cx, &x, &y, &real);
        b.run(p).unwrap();
        assert_eq!(b.values(&real)[..2], [3.5, -3.5]);
    }
}
