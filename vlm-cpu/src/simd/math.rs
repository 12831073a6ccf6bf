//! Exponentials and their kin in `f32`, without branches, within a few units in the last place.
//!
//! Polynomials are those of Cephes (S. Moshier, single precision): `expf`, `tanhf`, `erff`, `erfcf`.

/// `e^x`, within 2 ulp; overflows to infinity, underflows gradually to 0, keeps NaN.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    const MAGIC: f32 = 12_582_912.0; // 1.5 * 2^23: adding it rounds to an integer that stands in the low bits.
    let x = if x < -104.0 { -104.0 } else { x };
    let x = if x > 89.0 { 89.0 } else { x };
    let shifted = x * std::f32::consts::LOG2_E + MAGIC;
    let n = shifted - MAGIC;
    let r = n.mul_add_fast(-0.693_359_4, x);
    let r = n.mul_add_fast(2.121_944_4e-4, r);
    let p = 1.987_569_1e-4f32;
    let p = p.mul_add_fast(r, 1.398_199_9e-3);
    let p = p.mul_add_fast(r, 8.333_452e-3);
    let p = p.mul_add_fast(r, 4.166_579_6e-2);
    let p = p.mul_add_fast(r, 1.666_666_5e-1);
    let p = p.mul_add_fast(r, 0.5);
    let y = p.mul_add_fast(r * r, r) + 1.0;
    // 2^n in two factors, so that neither over- nor underflows before the product does.
    let n = (shifted.to_bits() as i32).wrapping_sub(MAGIC.to_bits() as i32);
    let half = n >> 1;
    let power = |e: i32| f32::from_bits((e.wrapping_add(127) as u32) << 23);
    y * power(half) * power(n.wrapping_sub(half))
}

trait FastMulAdd {
    fn mul_add_fast(self, a: Self, b: Self) -> Self;
}

impl FastMulAdd for f32 {
    /// `self * a + b`, fused where the machine does it in one instruction. A call to the library's exact `fma` would
    /// cost more than the whole function.
    #[inline(always)]
    fn mul_add_fast(self, a: f32, b: f32) -> f32 {
        self * a + b
    }
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// Hyperbolic tangent.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    let a = x.abs();
    let far = (1.0 - 2.0 / (exp(2.0 * a) + 1.0)).copysign(x);
    let z = x * x;
    let p = -5.704_988_7e-3f32;
    let p = p.mul_add_fast(z, 2.063_909e-2);
    let p = p.mul_add_fast(z, -5.373_971_6e-2);
    let p = p.mul_add_fast(z, 1.333_144_2e-1);
    let p = p.mul_add_fast(z, -3.333_328e-1);
    let near = (p * z).mul_add_fast(x, x);
    if a < 0.625 { near } else { far }
}

/// The error function.
#[inline(always)]
#[allow(clippy::approx_constant)] // The fit's own coefficient, which only comes near 2/sqrt(pi).
pub(crate) fn erf(x: f32) -> f32 {
    let a = x.abs();
    let z = x * x;
    let t = 7.853_861_4e-5f32;
    let t = t.mul_add_fast(z, -8.010_194e-4);
    let t = t.mul_add_fast(z, 5.188_327_7e-3);
    let t = t.mul_add_fast(z, -2.685_381_2e-2);
    let t = t.mul_add_fast(z, 1.128_358_5e-1);
    let t = t.mul_add_fast(z, -3.761_262_6e-1);
    let near = x * t.mul_add_fast(z, 1.128_379_1);
    let far = (1.0 - erfc_far(a)).copysign(x);
    if a < 1.0 { near } else { far }
}

/// `1 - erf(a)` for `a >= 1`, without cancellation.
#[inline(always)]
fn erfc_far(a: f32) -> f32 {
    let a = if a > 10.5 { 10.5 } else { a };
    let (q, z) = (1.0 / a, exp(-a * a));
    let y = q * q;
    let p = 2.326_82e-2f32;
    let p = p.mul_add_fast(y, -1.387_039_4e-1);
    let p = p.mul_add_fast(y, 3.687_424_7e-1);
    let p = p.mul_add_fast(y, -5.824_733e-1);
    let p = p.mul_add_fast(y, 6.210_004_6e-1);
    let p = p.mul_add_fast(y, -4.944_515_3e-1);
    let p = p.mul_add_fast(y, 3.404_88e-1);
    let p = p.mul_add_fast(y, -2.741_127e-1);
    let p = p.mul_add_fast(y, 5.638_259_4e-1);
    let r = -10.477_664f32;
    let r = r.mul_add_fast(y, 12.977_2);
    let r = r.mul_add_fast(y, -7.495_518_7);
    let r = r.mul_add_fast(y, 2.921_019);
    let r = r.mul_add_fast(y, -1.015_265_3);
    let r = r.mul_add_fast(y, 4.218_463_4e-1);
    let r = r.mul_add_fast(y, -2.820_767_4e-1);
    let r = r.mul_add_fast(y, 5.641_895e-1);
    z * q * if a < 2.0 { p } else { r }
}

/// `Φ(x)`, the normal distribution function, without cancellation in its lower tail.
#[inline(always)]
fn normal_cdf(x: f32) -> f32 {
    let s = x * std::f32::consts::FRAC_1_SQRT_2;
    let a = s.abs();
    let tail = 0.5 * erfc_far(if a < 1.0 { 1.0 } else { a });
    let far = if s < 0.0 { tail } else { 1.0 - tail };
    if a < 1.0 { 0.5 + 0.5 * erf(s) } else { far }
}

/// `x Φ(x)`.
#[inline(always)]
pub(crate) fn gelu(x: f32) -> f32 {
    // At minus infinity 0 times infinity would be NaN.
    let bounded = if x < -40.0 { -40.0 } else { x };
    bounded * normal_cdf(x)
}

/// The derivative of [`gelu`]: `Φ(x) + x φ(x)`.
#[inline(always)]
pub(crate) fn gelu_slope(x: f32) -> f32 {
    let bounded = if x < -40.0 { -40.0 } else { x };
    let bounded = if bounded > 40.0 { 40.0 } else { bounded };
    normal_cdf(x) + bounded * exp(-0.5 * bounded * bounded) * 0.398_942_3
}

const SQRT_2_OVER_PI: f32 = 0.797_884_6;
const CUBIC: f32 = 0.044_715;

/// The tanh approximation of [`gelu`], as `x sigmoid(2 z)`, which keeps its precision for negative `x`.
#[inline(always)]
pub(crate) fn gelu_tanh(x: f32) -> f32 {
    let bounded = if x < -40.0 { -40.0 } else { x };
    bounded * sigmoid(2.0 * SQRT_2_OVER_PI * (bounded + CUBIC * bounded * bounded * bounded))
}

/// The derivative of [`gelu_tanh`].
#[inline(always)]
pub(crate) fn gelu_tanh_slope(x: f32) -> f32 {
    let bounded = if x < -40.0 { -40.0 } else { x };
    let bounded = if bounded > 40.0 { 40.0 } else { bounded };
    let xx = bounded * bounded;
    let s = sigmoid(2.0 * SQRT_2_OVER_PI * bounded * (1.0 + CUBIC * xx));
    s + bounded * s * (1.0 - s) * 2.0 * SQRT_2_OVER_PI * (1.0 + 3.0 * CUBIC * xx)
}

#[cfg(test)]
mod tests {
    use super::*;
    use vlm_core::backend::reference::math;

    fn worst(f: impl Fn(f32) -> f32, want: impl Fn(f64) -> f64, floor: f64) -> (f64, f32) {
        let mut worst = (0.0, 0.0);
        for i in -200_000..=200_000 {
            let x = i as f32 * 1.01e-4 * (1.0 + (i % 7) as f32);
            let (got, want) = (f64::from(f(x)), want(f64::from(x)));
            if want > f64::from(f32::MAX) {
                assert!(got.is_infinite(), "{got} at {x}");
                continue;
            }
            let error = (got - want).abs() / (want.abs() + floor);
            if error > worst.0 {
                worst = (error, x);
            }
        }
        worst
    }

    #[test]
    fn functions_are_within_a_few_units_in_the_last_place() {
        let ulp = f64::from(f32::EPSILON);
        for (name, worst, limit) in [
            ("exp", worst(exp, f64::exp, 1e-37), 2.0),
            ("sigmoid", worst(sigmoid, math::sigmoid, 1e-30), 4.0),
            ("tanh", worst(tanh, f64::tanh, 1e-30), 4.0),
            ("erf", worst(erf, math::erf, 1e-30), 4.0),
            ("gelu", worst(gelu, math::gelu, 1e-4), 8.0),
            ("gelu_tanh", worst(gelu_tanh, math::gelu_tanh, 1e-4), 8.0),
        ] {
            assert!(worst.0 <= limit * ulp, "{name}: {:.1} ulp at {}", worst.0 / ulp, worst.1);
        }
    }

    #[test]
    fn special_values() {
        assert_eq!((exp(f32::INFINITY), exp(f32::NEG_INFINITY), exp(0.0)), (f32::INFINITY, 0.0, 1.0));
        assert!([exp, tanh, erf, gelu, sigmoid, gelu_tanh].iter().all(|f| f(f32::NAN).is_nan()));
        assert_eq!((tanh(f32::INFINITY), tanh(f32::NEG_INFINITY)), (1.0, -1.0));
        assert_eq!((erf(f32::INFINITY), erf(f32::NEG_INFINITY)), (1.0, -1.0));
        assert_eq!((gelu(f32::INFINITY), gelu(f32::NEG_INFINITY)), (f32::INFINITY, 0.0));
        assert_eq!(exp(-103.9), 0.0f32.max((-103.9f64).exp() as f32));
    }
}
