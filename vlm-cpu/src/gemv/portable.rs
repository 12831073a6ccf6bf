//! Plain-Rust dot products and weighted sums, which the compiler vectorises for the features of the caller.

use super::{Dot, MAX_OUTPUTS, MAX_ROWS};
use crate::gemm::{Gemm, load};
use half::{bf16, f16};
use vlm_core::DType;

/// # Safety
/// As [`super::dot_rows`].
pub(super) unsafe fn dot(dot: &Dot, n: usize, out: &mut [[f32; MAX_OUTPUTS]; MAX_ROWS]) {
    const LANES: usize = 16;
    for j in 0..n {
        let w = dot.w.wrapping_offset(j as isize * dot.row_bytes);
        for (i, out) in out.iter_mut().enumerate().take(dot.m) {
            let x = dot.x.wrapping_add(i * dot.x_stride);
            let mut acc = [0_f32; LANES];
            let mut l = 0;
            // SAFETY: `k` elements of the weight row and of `x`.
            unsafe {
                while l + LANES <= dot.k {
                    for (c, acc) in acc.iter_mut().enumerate() {
                        *acc += load(w, dot.dtype, (l + c) as isize) * *x.add(l + c);
                    }
                    l += LANES;
                }
                for (c, l) in (l..dot.k).enumerate() {
                    acc[c] += load(w, dot.dtype, l as isize) * *x.add(l);
                }
            }
            let mut width = LANES;
            while width > 1 {
                width /= 2;
                for c in 0..width {
                    acc[c] += acc[c + width];
                }
            }
            out[j] = acc[0];
        }
    }
}

/// # Safety
/// As [`super::weighted`].
#[inline(always)]
pub(super) unsafe fn weighted(g: &Gemm<'_>, j0: usize, row: &mut [f32]) {
    for l in 0..g.k {
        // SAFETY: element l of the only row of `a`, and row l of `b` from column j0 on.
        unsafe {
            let x = load(g.a.ptr, g.a.dtype, l as isize * g.a.col_stride);
            let at = l as isize * g.b.row_stride + j0 as isize;
            match g.b.dtype {
                DType::F32 => {
                    let b = g.b.ptr.cast::<f32>().offset(at);
                    for (j, sum) in row.iter_mut().enumerate() {
                        *sum += x * b.add(j).read_unaligned();
                    }
                }
                DType::BF16 => {
                    let b = g.b.ptr.cast::<bf16>().offset(at);
                    for (j, sum) in row.iter_mut().enumerate() {
                        *sum += x * f32::from_bits(u32::from(b.add(j).read_unaligned().to_bits()) << 16);
                    }
                }
                _ => {
                    let b = g.b.ptr.cast::<f16>().offset(at);
                    for (j, sum) in row.iter_mut().enumerate() {
                        *sum += x * b.add(j).read_unaligned().to_f32();
                    }
                }
            }
        }
    }
}
