//! Functions that the standard library lacks, in `f64`.

/// `1 / (1 + e^-x)`, without overflow.
pub fn sigmoid(x: f64) -> f64 {
    if x >= 0.0 {
        1.0 / (1.0 + (-x).exp())
    } else {
        let e = x.exp();
        e / (1.0 + e)
    }
}

/// `ln(1 + e^x)`, without overflow.
pub fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p() + if x.is_nan() { x } else { 0.0 }
}

/// `x Φ(x)`.
pub fn gelu(x: f64) -> f64 {
    if x == f64::NEG_INFINITY {
        return -0.0;
    }
    0.5 * x * erfc(-x * std::f64::consts::FRAC_1_SQRT_2)
}

/// `sqrt(2 / π)`.
pub const SQRT_2_OVER_PI: f64 = 0.797_884_560_802_865_4;
/// The cubic coefficient of the tanh approximation of gelu.
pub const GELU_CUBIC: f64 = 0.044_715;

/// `x / 2 (1 + tanh(sqrt(2/π) (x + 0.044715 x³)))`.
pub fn gelu_tanh(x: f64) -> f64 {
    if x == f64::NEG_INFINITY {
        return -0.0;
    }
    // 0.5 (1 + tanh z) = sigmoid(2 z), which keeps its precision for negative z.
    x * sigmoid(2.0 * SQRT_2_OVER_PI * (x + GELU_CUBIC * x * x * x))
}

/// The larger one; NaN if either is.
pub fn maximum(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}

/// The smaller one; NaN if either is.
pub fn minimum(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.min(b) }
}

/// The error function `2/√π ∫₀ˣ e^-t² dt`, to about 1e-15.
///
/// Below 2.5 by its Maclaurin series in the form with positive terms (Abramowitz and Stegun 7.1.6), above by
/// [`erfc`].
pub fn erf(x: f64) -> f64 {
    if x.is_nan() {
        return x;
    }
    if x.abs() >= 2.5 {
        return (1.0 - erfc(x.abs())).copysign(x);
    }
    let (xx, mut term, mut sum, mut n) = (x * x, x, x, 0.0);
    while term.abs() > sum.abs() * 1e-17 {
        n += 1.0;
        term *= 2.0 * xx / (2.0 * n + 1.0);
        sum += term;
    }
    std::f64::consts::FRAC_2_SQRT_PI * (-xx).exp() * sum
}

/// `1 - erf(x)`, without cancellation for large `x`: the continued fraction of Abramowitz and Stegun 7.1.14, evaluated
/// backwards.
pub fn erfc(x: f64) -> f64 {
    if x.is_nan() {
        return x;
    }
    if x < 2.5 {
        return if x < -2.5 { 2.0 - erfc(-x) } else { 1.0 - erf(x) };
    }
    if x > 27.3 {
        return 0.0;
    }
    let mut fraction = x;
    for k in (1..=60).rev() {
        fraction = x + f64::from(k) / 2.0 / fraction;
    }
    (-x * x).exp() / (fraction * std::f64::consts::PI.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn erf_and_erfc_match_tables() {
        // Abramowitz and Stegun table 7.1; mpmath to 17 digits.
        for (x, want) in [
            (0.0, 0.0),
            (1e-8, 1.128_379_167_095_512_5e-8),
            (0.5, 0.520_499_877_813_046_5),
            (1.0, 0.842_700_792_949_714_9),
            (2.0, 0.995_322_265_018_952_7),
            (2.5, 0.999_593_047_982_555),
            (3.5, 0.999_999_256_901_627_7),
        ] {
            assert!((erf(x) - want).abs() <= 4e-16 + 1e-14 * want, "erf({x}) = {}", erf(x));
            assert_eq!(erf(-x), -erf(x));
        }
        for (x, want) in
            [(1.0, 0.157_299_207_050_285_13), (3.0, 2.209_049_699_858_544e-5), (10.0, 2.088_487_583_762_545e-45)]
        {
            assert!((erfc(x) / want - 1.0).abs() < 1e-12, "erfc({x}) = {}", erfc(x));
        }
        assert_eq!(erf(f64::INFINITY), 1.0);
        assert!(erf(f64::NAN).is_nan());
    }

    #[test]
    fn gates_have_the_right_limits() {
        assert_eq!(gelu(f64::INFINITY), f64::INFINITY);
        assert_eq!((gelu(f64::NEG_INFINITY), gelu_tanh(f64::NEG_INFINITY)), (0.0, 0.0));
        assert!((gelu(1.0) - 0.841_344_746_068_542_9).abs() < 1e-15);
        assert!((gelu_tanh(1.0) - 0.8411919906082768).abs() < 1e-15);
        assert_eq!(softplus(1000.0), 1000.0);
        assert_eq!(softplus(-1000.0), 0.0);
    }
}
