//! Products that need no kernel: f64 and integers, and tiny ones of any float type.

use super::{Gemm, epilogue, pack};
use crate::cpu_features::Isa;
use crate::threads::{SendPtr, parallel_for};
use vlm_core::{DType, Error, ErrorKind, Result};

/// A type with wrapping (or floating) multiply-add.
trait Number: Copy {
    const ZERO: Self;
    fn mul_add(self, a: Self, b: Self) -> Self;
    fn plus(self, other: Self) -> Self;
}

macro_rules! integer {
    ($($t:ty),*) => {$(
        impl Number for $t {
            const ZERO: Self = 0;
            #[inline(always)]
            fn mul_add(self, a: Self, b: Self) -> Self { self.wrapping_add(a.wrapping_mul(b)) }
            #[inline(always)]
            fn plus(self, other: Self) -> Self { self.wrapping_add(other) }
        }
    )*};
}
integer!(i64, i32, u32, u8);

impl Number for f64 {
    const ZERO: Self = 0.0;
    #[inline(always)]
    fn mul_add(self, a: Self, b: Self) -> Self {
        self + a * b
    }
    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        self + other
    }
}

/// f64 and integer products.
///
/// # Safety
/// As [`super::gemm`].
pub(super) unsafe fn product(g: &Gemm<'_>) -> Result<()> {
    let (a, b, c) = (g.a.dtype, g.b.dtype, g.c.dtype);
    if a == b && a == c && g.bias.is_none() && g.map.is_none() {
        // SAFETY: forwarded; the element types are the operands'.
        unsafe {
            match a {
                DType::F64 => return loops::<f64>(g),
                DType::I64 => return loops::<i64>(g),
                DType::I32 => return loops::<i32>(g),
                DType::U32 => return loops::<u32>(g),
                DType::U8 => return loops::<u8>(g),
                _ => {}
            }
        }
    }
    Err(Error::new(ErrorKind::DType, "matmul", format!("no product of {a} by {b} into {c}"))
        .hint("convert both operands to one numeric type; bias and map need f32, f16 or bf16"))
}

/// Columns per inner run: the sums stay in the first-level cache.
const RUN: usize = 256;

unsafe fn loops<T: Number>(g: &Gemm<'_>) -> Result<()> {
    let Gemm { m, n, k, a, b, c, accumulate, .. } = *g;
    let (ap, bp, cp) =
        (SendPtr(a.ptr.cast_mut().cast::<T>()), SendPtr(b.ptr.cast_mut().cast::<T>()), SendPtr(c.ptr.cast::<T>()));
    let rows = (1_usize << 18).div_ceil(n.saturating_mul(k).max(1));
    parallel_for(m.div_ceil(rows), |t| {
        for i in t * rows..m.min((t + 1) * rows) {
            for j0 in (0..n).step_by(RUN) {
                let width = RUN.min(n - j0);
                let mut sums = [T::ZERO; RUN];
                for l in 0..k {
                    // SAFETY: in-range elements of `a` and `b` (caller).
                    unsafe {
                        let x = ap.get().offset(i as isize * a.row_stride + l as isize * a.col_stride).read_unaligned();
                        let row = bp.get().offset(l as isize * b.row_stride + j0 as isize * b.col_stride);
                        if b.col_stride == 1 {
                            for (j, sum) in sums[..width].iter_mut().enumerate() {
                                *sum = sum.mul_add(x, row.add(j).read_unaligned());
                            }
                        } else {
                            for (j, sum) in sums[..width].iter_mut().enumerate() {
                                *sum = sum.mul_add(x, row.offset(j as isize * b.col_stride).read_unaligned());
                            }
                        }
                    }
                }
                for (j, &sum) in sums[..width].iter().enumerate() {
                    // SAFETY: in-range elements of `c`, each written by this task alone (caller).
                    unsafe {
                        let dst = cp.get().offset(i as isize * c.row_stride + (j0 + j) as isize * c.col_stride);
                        dst.write_unaligned(if accumulate { dst.read_unaligned().plus(sum) } else { sum });
                    }
                }
            }
        }
    });
    Ok(())
}

/// A product so small that packing and handing out would dominate. f32, f16, bf16.
///
/// # Safety
/// As [`super::gemm`].
pub(super) unsafe fn tiny(isa: Isa, g: &Gemm<'_>) {
    let Gemm { m, n, k, a, b, .. } = *g;
    for j0 in (0..n).step_by(RUN) {
        let width = RUN.min(n - j0);
        let mut bias = [0_f32; RUN];
        if let Some((ptr, dtype)) = g.bias {
            for (j, x) in bias[..width].iter_mut().enumerate() {
                // SAFETY: the bias has n values (caller).
                *x = unsafe { pack::load(ptr, dtype, (j0 + j) as isize) };
            }
        }
        for i in 0..m {
            let mut sums = [0_f32; RUN];
            // SAFETY: in-range elements (caller).
            unsafe {
                if a.dtype == DType::F32 && b.dtype == DType::F32 {
                    for l in 0..k {
                        let at = |j: usize| l as isize * b.row_stride + (j0 + j) as isize * b.col_stride;
                        let x = a.ptr.cast::<f32>().offset(i as isize * a.row_stride + l as isize * a.col_stride);
                        let x = x.read_unaligned();
                        for (j, sum) in sums[..width].iter_mut().enumerate() {
                            *sum += x * b.ptr.cast::<f32>().offset(at(j)).read_unaligned();
                        }
                    }
                } else {
                    for l in 0..k {
                        let x = pack::load(a.ptr, a.dtype, i as isize * a.row_stride + l as isize * a.col_stride);
                        for (j, sum) in sums[..width].iter_mut().enumerate() {
                            let at = l as isize * b.row_stride + (j0 + j) as isize * b.col_stride;
                            *sum += x * pack::load(b.ptr, b.dtype, at);
                        }
                    }
                }
                let has_bias = g.bias.map_or(std::ptr::null(), |_| bias.as_ptr());
                epilogue::finish_row(isa, g, &mut sums[..width], i, j0, has_bias);
            }
        }
    }
}
