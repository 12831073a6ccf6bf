//! Functions of one element.

#![allow(non_snake_case)] // Operations have the names of the interface.

use crate::ops::map::{float_map, number_map};
use crate::plan::{Cx, Planned};
use crate::types::{Scalar, Tensor};

/// `1 / (1 + e^-x)`, without overflow.
pub(in crate::ops) fn sigmoid(x: f64) -> f64 {
    if x >= 0.0 {
        return 1.0 / (1.0 + (-x).exp());
    }
    let e = x.exp();
    e / (1.0 + e)
}

/// -1, 0 or 1; NaN stays.
fn sign(x: f64) -> f64 {
    if x == 0.0 || x.is_nan() { x } else { x.signum() }
}

/// The error function, by its Maclaurin series near 0 and by the continued fraction of its complement farther out (Abramowitz and
/// Stegun 7.1.6 and 7.1.14).
pub(crate) fn erf(x: f64) -> f64 {
    let a = x.abs();
    if x.is_nan() {
        return x;
    }
    if a < 2.5 {
        let (mut term, mut sum, mut n) = (x, x, 0.0);
        while term.abs() > 1e-17 * sum.abs() {
            n += 1.0;
            term *= 2.0 * x * x / (2.0 * n + 1.0);
            sum += term;
        }
        return std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp() * sum;
    }
    if a > 6.0 {
        return x.signum();
    }
    let fraction = (1..=60).rev().fold(a, |f, k| a + f64::from(k) / 2.0 / f);
    (1.0 - (-a * a).exp() / (fraction * std::f64::consts::PI.sqrt())).copysign(x)
}

/// Within bounds; NaN stays.
fn between(cx: &Cx, x: &Tensor, low: Option<Scalar>, high: Option<Scalar>, out: &Tensor) -> Planned {
    let (l, h) = (low.map_or(f64::NEG_INFINITY, Scalar::f64), high.map_or(f64::INFINITY, Scalar::f64));
    let (li, hi) = (low.map_or(i64::MIN, Scalar::i64), high.map_or(i64::MAX, Scalar::i64));
    number_map(cx, x, out, move |x| if x.is_nan() { x } else { x.max(l).min(h) }, move |x| x.max(li).min(hi))
}

pub(crate) fn Neg(cx: &Cx, x: &Tensor, out: &Tensor) -> Planned {
    number_map(cx, x, out, |x| -x, i64::wrapping_neg)
}

pub(crate) fn Abs(cx: &Cx, x: &Tensor, out: &Tensor) -> Planned {
    number_map(cx, x, out, f64::abs, i64::wrapping_abs)
}

pub(crate) fn Sign(cx: &Cx, x: &Tensor, result: &Tensor) -> Planned {
    number_map(cx, x, result, sign, i64::signum)
}

pub(crate) fn Exp(cx: &Cx, x: &Tensor, out: &Tensor) -> Planned {
    float_map(cx, x, out, f64::exp)
}

pub(crate) fn Expm1(cx: &Cx, x: &Tensor, out: &Tensor) -> Planned {
    float_map(cx, x, out, f64::exp_m1)
}

pub(crate) fn Log(cx: &Cx, x: &Tensor, out: &Tensor) -> Planned {
    float_map(cx, x, out, f64::ln)
}

pub(crate) fn Log1p(cx: &Cx, x: &Tensor, out: &Tensor) -> Planned {
    float_map(cx, x, out, f64::ln_1p)
}

pub(crate) fn Sqrt(cx: &Cx, x: &Tensor, out: &Tensor) -> Planned {
    float_map(cx, x, out, f64::sqrt)
}

pub(crate) fn Rsqrt(cx: &Cx, x: &Tensor, out: &Tensor) -> Planned {
    float_map(cx, x, out, |x| 1.0 / x.sqrt())
}

pub(crate) fn Reciprocal(cx: &Cx, x: &Tensor, out: &Tensor) -> Planned {
    float_map(cx, x, out, |x| 1.0 / x)
}

pub(crate) fn Sin(cx: &Cx, x: &Tensor, out: &Tensor) -> Planned {
    float_map(cx, x, out, f64::sin)
}

pub(crate) fn Cos(cx: &Cx, input: &Tensor, out: &Tensor) -> Planned {
    float_map(cx, input, out, f64::cos)
}

pub(crate) fn Tanh(cx: &Cx, x: &Tensor, out: &Tensor) -> Planned {
    float_map(cx, x, out, f64::tanh)
}

pub(crate) fn Sigmoid(cx: &Cx, x: &Tensor, out: &Tensor) -> Planned {
    float_map(cx, x, out, sigmoid)
}

pub(crate) fn Erf(cx: &Cx, x: &Tensor, out: &Tensor) -> Planned {
    float_map(cx, x, out, erf)
}

pub(crate) fn InplaceExp(cx: &Cx, x: &Tensor) -> Planned {
    Exp(cx, x, x)
}

pub(crate) fn InplaceSin(cx: &Cx, x: &Tensor) -> Planned {
    Sin(cx, x, x)
}

pub(crate) fn InplaceCos(cx: &Cx, x: &Tensor) -> Planned {
    Cos(cx, x, x)
}

pub(crate) fn Floor(cx: &Cx, x: &Tensor, out: &Tensor) -> Planned {
    number_map(cx, x, out, f64::floor, |x| x)
}

pub(crate) fn Ceil(cx: &Cx, x: &Tensor, out: &Tensor) -> Planned {
    number_map(cx, x, out, f64::ceil, |x| x)
}

pub(crate) fn Round(cx: &Cx, x: &Tensor, out: &Tensor) -> Planned {
    number_map(cx, x, out, f64::round_ties_even, |x| x)
}

pub(crate) fn Clamp(cx: &Cx, x: &Tensor, clip_value_min: Scalar, clip_value_max: Scalar, out: &Tensor) -> Planned {
    between(cx, x, Some(clip_value_min), Some(clip_value_max), out)
}

pub(crate) fn ClampMin(cx: &Cx, x: &Tensor, clip_value_min: Scalar, out: &Tensor) -> Planned {
    between(cx, x, Some(clip_value_min), None, out)
}

pub(crate) fn InplaceClampMax(cx: &Cx, x: &Tensor, clip_value_max: Scalar) -> Planned {
    between(cx, x, None, Some(clip_value_max), x)
}

/// Values that are not above the threshold become another.
pub(crate) fn InplaceThreshold(cx: &Cx, x: &Tensor, threshold: Scalar, value: Scalar) -> Planned {
    let (t, v, ti, vi) = (threshold.f64(), value.f64(), threshold.i64(), value.i64());
    number_map(cx, x, x, move |x| if x <= t { v } else { x }, move |x| if x <= ti { vi } else { x })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{Bench, assert_close, refusal};
    use crate::types::DType::{F16, F32, I32};

    #[test]
    fn functions_have_their_values() {
        let mut b = Bench::new();
        let x = b.tensor(F32, &[4], &[-1.0, 0.0, 0.5, 2.0]);
        let out = b.empty(F32, &[4]);
        let p = Erf(&b.cx, &x, &out);
        b.run(p).unwrap();
        assert_close(&b.values(&out), &[-0.842_700_8, 0.0, 0.520_499_9, 0.995_322_3], 1e-6);
        let p = Sigmoid(&b.cx, &x, &out);
        b.run(p).unwrap();
        assert_close(&b.values(&out), &[0.268_941_4, 0.5, 0.622_459_3, 0.880_797_1], 1e-6);
        let p = Sign(&b.cx, &x, &out);
        b.run(p).unwrap();
        assert_eq!(b.values(&out), [-1.0, 0.0, 1.0, 1.0]);
        let small = b.empty(I32, &[4]);
        assert_eq!(refusal(Exp(&b.cx, &x, &small)), 161_002);
    }

    #[test]
    fn halves_round_to_even_and_bounds_keep_nan() {
        let mut b = Bench::new();
        let x = b.tensor(F16, &[4], &[0.5, 1.5, 2.5, f64::NAN]);
        let out = b.empty(F16, &[4]);
        let p = Round(&b.cx, &x, &out);
        b.run(p).unwrap();
        assert_close(&b.values(&out), &[0.0, 2.0, 2.0, f64::NAN], 0.0);
        let p = Clamp(&b.cx, &x, Scalar::float(F32, 1.0), Scalar::float(F32, 2.0), &out);
        b.run(p).unwrap();
        assert_close(&b.values(&out), &[1.0, 1.5, 2.0, f64::NAN], 0.0);
        let p = InplaceThreshold(&b.cx, &x, Scalar::float(F32, 1.5), Scalar::float(F32, 9.0));
        b.run(p).unwrap();
        assert_close(&b.values(&x), &[9.0, 9.0, 2.5, f64::NAN], 0.0);
    }
}
