//! How far a result may be from the exact one.

use crate::DType;

/// A class of operations with one way to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tolerance {
    /// Bit for bit (NaN equals NaN): nothing is computed that could be rounded twice.
    Exact,
    /// Each element is one function of few numbers: near its own exact value.
    Rounded,
    /// Sums of many terms, whose order is free: near on the scale of the whole result.
    Accumulated,
    /// Several rounded steps one after the other: softmax, norms, attention, gradients.
    Composite,
}

impl Tolerance {
    /// The share of an element's own size, and of the largest element's size, by which it may be off.
    pub fn limits(self, dtype: DType) -> (f64, f64) {
        let row = table().iter().find(|r| r.class == self && r.dtype == dtype);
        row.map_or((0.0, 0.0), |r| (r.relative, r.of_scale))
    }
}

/// One line of the table.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Row {
    /// The class of operations.
    pub class: Tolerance,
    /// The element type of the result.
    pub dtype: DType,
    /// Accepted share of the element's own size.
    pub relative: f64,
    /// Accepted share of the largest element's size.
    pub of_scale: f64,
    /// Why so much.
    pub reason: &'static str,
}

const fn row(class: Tolerance, dtype: DType, relative: f64, of_scale: f64, reason: &'static str) -> Row {
    Row { class, dtype, relative, of_scale, reason }
}

/// The whole table. [`Tolerance::Exact`] and types without rounding are not in it: they must be equal.
pub fn table() -> &'static [Row] {
    use DType::{BF16, F16, F32, F64};
    use Tolerance::{Accumulated, Composite, Rounded};
    static TABLE: [Row; 12] = [
        row(Rounded, F64, 1e-12, 1e-14, "libraries differ in the last bits of erf and pow"),
        row(Rounded, F32, 4e-6, 3e-7, "polynomials of exp and erf are good to a few units in the last place"),
        row(Rounded, F16, 1.1e-3, 6e-8, "one rounding to 11 bits, computed in f32"),
        row(Rounded, BF16, 8.5e-3, 1e-8, "one rounding to 8 bits, computed in f32"),
        row(Accumulated, F64, 0.0, 3e-13, "order of summation"),
        row(Accumulated, F32, 0.0, 4e-6, "order of summation, kept in f32"),
        row(Accumulated, F16, 1.1e-3, 4e-6, "summed in f32, one rounding to 11 bits"),
        row(Accumulated, BF16, 8.5e-3, 4e-6, "summed in f32, one rounding to 8 bits"),
        row(Composite, F64, 0.0, 1e-11, "several steps"),
        row(Composite, F32, 0.0, 2e-5, "several steps in f32"),
        row(Composite, F16, 2e-3, 4e-3, "intermediate results may be stored in 11 bits"),
        row(Composite, BF16, 1.6e-2, 2.5e-2, "intermediate results may be stored in 8 bits"),
    ];
    &TABLE
}

/// Compares `got` with the exact values; `None` if they agree, else what to say.
pub(super) fn compare(got: &[f64], want: &[f64], class: Tolerance, dtype: DType) -> Option<String> {
    let (relative, of_scale) = class.limits(dtype);
    let scale = want.iter().filter(|w| w.is_finite()).fold(0.0f64, |m, w| m.max(w.abs()));
    let wrong = |(g, w): (&f64, &f64)| {
        let equal = g == w || (g.is_nan() && w.is_nan());
        // Where one side is infinite or not a number the other has to be the same.
        !equal && (!(g - w).is_finite() || (g - w).abs() > relative * w.abs() + of_scale * scale)
    };
    let bad = got.iter().zip(want).filter(|&p| wrong(p)).count();
    let at = got.iter().zip(want).position(wrong)?;
    Some(format!(
        "{bad} of {} elements are wrong; element {at} is {:e}, expected {:e} ({class:?}: {relative:e} of itself, {of_scale:e} of {scale:e})",
        got.len(),
        got[at],
        want[at]
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_close_is_wrong() {
        let wrong = |g: f64, w: f64, class| compare(&[1.0, g], &[1.0, w], class, DType::F32).is_some();
        assert!(!wrong(2.0, 2.000_001, Tolerance::Rounded));
        assert!(wrong(2.0, 2.001, Tolerance::Rounded));
        assert!(wrong(2.0, 2.000_001, Tolerance::Exact));
        assert!(wrong(f64::NAN, 1.0, Tolerance::Composite));
        assert!(wrong(1.0, f64::NAN, Tolerance::Composite));
        assert!(wrong(f64::INFINITY, 1.0, Tolerance::Composite));
        assert!(wrong(1.0, f64::INFINITY, Tolerance::Composite));
        assert!(!wrong(f64::NAN, f64::NAN, Tolerance::Exact));
        assert!(!wrong(f64::INFINITY, f64::INFINITY, Tolerance::Exact));
        assert!(wrong(f64::INFINITY, f64::NEG_INFINITY, Tolerance::Composite));
    }
}
