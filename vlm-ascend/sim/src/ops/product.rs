//! What the matrix products share: how operands are rounded before, how they are read, and the product itself.

use crate::plan::{Cx, Fault, Refusal, invalid};
use crate::run::Run;
use crate::types::{DType, Tensor};
use gemm::Parallelism;
use half::f16;

/// What becomes of the operands of a product before they are multiplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rounding {
    Keep,
    F16,
    /// `F32` with the eleven bits of mantissa that the vendor gives for HFLOAT32.
    Hf32,
}

impl Rounding {
    pub(super) fn apply(self, values: &mut [f32]) {
        match self {
            Rounding::Keep => {}
            Rounding::F16 => values.iter_mut().for_each(|v| *v = f16::from_f32(*v).to_f32()),
            Rounding::Hf32 => values.iter_mut().for_each(|v| *v = hf32(*v)),
        }
    }
}

/// Bits of the mantissa that HFLOAT32 has not.
const HF32_CUT: u32 = 23 - 11;

/// Rounded to HFLOAT32, ties to even.
fn hf32(x: f32) -> f32 {
    if !x.is_finite() {
        return x;
    }
    let bits = x.to_bits();
    let below_half = (1 << (HF32_CUT - 1)) - 1;
    f32::from_bits((bits + below_half + (bits >> HF32_CUT & 1)) >> HF32_CUT << HF32_CUT)
}

/// Where operations differ in what they take as `cubeMathType`.
#[derive(Clone, Copy, Debug)]
pub(super) struct CubeRules {
    /// The largest value.
    pub(super) last: i8,
    /// Whether `USE_FP16` is refused for `BF16`, rather than ignored.
    pub(super) no_bf16_as_f16: bool,
    /// Whether `USE_HF32` is refused for all but `F32`, rather than ignored.
    pub(super) hf32_of_f32_only: bool,
}

/// How operands that were promoted to `dtype` are rounded under `cubeMathType`.
pub(super) fn cube_rounding(cx: &Cx, rules: CubeRules, dtype: DType, cube_math_type: i8) -> Result<Rounding, Refusal> {
    let refused = |why: &str| Err(invalid(format!("cubeMathType {cube_math_type} {why}")));
    if !(0..=rules.last).contains(&cube_math_type) {
        return refused("is not one that this operation has");
    }
    let f32 = dtype == DType::F32;
    if cx.chip.f32_products_as_f16 {
        return match cube_math_type {
            3 => refused("is not supported by this chip"),
            0 if f32 => refused("is not supported by this chip for F32"),
            _ if f32 => Ok(Rounding::F16),
            _ => Ok(Rounding::Keep),
        };
    }
    match cube_math_type {
        1 if f32 => Ok(Rounding::Hf32),
        2 if f32 => Ok(Rounding::F16),
        2 if dtype == DType::BF16 && rules.no_bf16_as_f16 => refused("is not supported for BF16"),
        3 if f32 => Ok(Rounding::Hf32),
        3 if rules.hf32_of_f32_only => refused("is for F32 only"),
        _ => Ok(Rounding::Keep),
    }
}

/// The type that operands of a product are promoted to. The two half types have none in common.
pub(super) fn promoted(a: &Tensor, b: &Tensor) -> Result<DType, Refusal> {
    match (a.dtype, b.dtype) {
        (a, b) if a == b => Ok(a),
        (DType::F32, _) | (_, DType::F32) => Ok(DType::F32),
        (a, b) => Err(invalid(format!("{a:?} and {b:?} have no type in common for a product"))),
    }
}

/// A matrix in memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Matrix<'a> {
    values: &'a [f32],
    pub(super) rows: usize,
    pub(super) cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a> Matrix<'a> {
    /// In row-major order.
    pub(super) fn new(values: &'a [f32], rows: usize, cols: usize) -> Self {
        Matrix { values, rows, cols, row_stride: cols, col_stride: 1 }
    }

    pub(super) fn transposed(self) -> Self {
        Matrix {
            values: self.values,
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
        }
    }

    fn fits(&self) -> bool {
        let last = self.rows.saturating_sub(1) * self.row_stride + self.cols.saturating_sub(1) * self.col_stride;
        last < self.values.len()
    }
}

/// `c = a b`, or `c += a b`, with `c` in row-major order.
pub(super) fn multiply(a: Matrix<'_>, b: Matrix<'_>, c: &mut [f32], add: bool) {
    let (m, k, n) = (a.rows, a.cols, b.cols);
    assert_eq!((k, m * n), (b.rows, c.len()), "the shapes of a product fit");
    if m * n * k == 0 {
        if !add {
            c.fill(0.0);
        }
        return;
    }
    assert!(a.fits() && b.fits(), "matrices lie in their memory");
    let stride = |s: usize| s as isize;
    // SAFETY: the assertions above: each element of `a`, `b` and `c` that the shapes and strides name lies in its slice,
    // and `c` is borrowed exclusively, so it overlaps neither operand.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
            1,
            stride(n),
            add,
            a.values.as_ptr(),
            stride(a.col_stride),
            stride(a.row_stride),
            b.values.as_ptr(),
            stride(b.col_stride),
            stride(b.row_stride),
            1.0,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

/// The matrices in the last two dimensions of a tensor, for all the others in row-major order.
#[derive(Debug)]
pub(super) struct Matrices {
    values: Vec<f32>,
    rows: usize,
    cols: usize,
    /// Whether each lies column by column, as those of a transposed view do.
    by_columns: bool,
}

impl Matrices {
    /// Reads a tensor of two dimensions or more.
    pub(super) fn read(run: &Run<'_>, t: &Tensor, rounding: Rounding) -> Result<Self, Fault> {
        let last = t.rank() - 1;
        let (mut dims, mut strides) = (t.dims.clone(), t.strides.clone());
        dims.swap(last - 1, last);
        strides.swap(last - 1, last);
        let swapped = t.with_view(dims, strides, t.offset);
        let by_columns = !t.is_contiguous() && swapped.is_contiguous();
        let mut values = run.f32s(if by_columns { &swapped } else { t })?;
        rounding.apply(&mut values);
        Ok(Matrices { values, rows: t.dims[last - 1], cols: t.dims[last], by_columns })
    }

    pub(super) fn get(&self, i: usize) -> Matrix<'_> {
        let size = self.rows * self.cols;
        let values = &self.values[i * size..][..size];
        if self.by_columns {
            Matrix::new(values, self.cols, self.rows).transposed()
        } else {
            Matrix::new(values, self.rows, self.cols)
        }
    }

    /// All as one, below each other, where memory allows.
    pub(super) fn stacked(&self) -> Option<Matrix<'_>> {
        (!self.by_columns && self.cols > 0).then(|| Matrix::new(&self.values, self.values.len() / self.cols, self.cols))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_to_eleven_bits() {
        assert_eq!(hf32(1.0), 1.0);
        assert_eq!(hf32(1.0 + 1.0 / 2048.0), 1.0 + 1.0 / 2048.0);
        // Ties go to the even neighbour.
        assert_eq!(hf32(1.0 + 1.0 / 4096.0), 1.0);
        assert_eq!(hf32(1.0 + 3.0 / 4096.0), 1.0 + 2.0 / 2048.0);
        assert_eq!(hf32(-1.0 - 1.01 / 4096.0), -1.0 - 1.0 / 2048.0);
        assert!(hf32(f32::NAN).is_nan());
        assert_eq!(hf32(f32::INFINITY), f32::INFINITY);
    }

    #[test]
    fn multiplies_views_and_adds() {
        let (a, b) = ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1.0, 0.0, -1.0, 2.0, 1.0, 1.0]);
        let mut c = [f32::NAN; 4];
        multiply(Matrix::new(&a, 2, 3), Matrix::new(&b, 2, 3).transposed(), &mut c, false);
        assert_eq!(c, [-2.0, 7.0, -2.0, 19.0]);
        multiply(Matrix::new(&a, 3, 2).transposed(), Matrix::new(&b, 3, 2), &mut c, true);
        assert_eq!(c, [1.0 - 3.0 + 5.0 - 2.0, 6.0 + 5.0 + 7.0, 2.0 - 4.0 + 6.0 - 2.0, 8.0 + 6.0 + 19.0]);
        multiply(Matrix::new(&[], 2, 0), Matrix::new(&[], 0, 2), &mut c, false);
        assert_eq!(c, [0.0; 4]);
    }
}
