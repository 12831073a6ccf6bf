//! Dot products at the speed of memory, AVX-512 and AVX2.

use super::{Dot, MAX_OUTPUTS, MAX_ROWS, portable};
use crate::gemm::Gemm;
use std::arch::x86_64::*;
use vlm_core::DType;

const F32: u8 = 0;
const F16: u8 = 1;
const BF16: u8 = 2;

/// Bytes between what is multiplied and what is prefetched.
const AHEAD: usize = 1024;

macro_rules! dot {
    ($dot:ident, $run:ident, $features:literal, $lanes:literal, $vec:ty, $zero:ident, $load_ps:ident, $fma:ident,
     $add:ident, $halves:ident, $reduce:expr) => {
        /// # Safety
        /// The features are available; pointers are valid as [`Dot`] says.
        pub(super) unsafe fn $dot(dot: &Dot, n: usize, out: &mut [[f32; MAX_OUTPUTS]; MAX_ROWS]) {
            macro_rules! rows {
                ($t:ident) => {
                    match dot.m {
                        1 => $run::<1, $t>(dot, n, out),
                        2 => $run::<2, $t>(dot, n, out),
                        3 => $run::<3, $t>(dot, n, out),
                        4 => $run::<4, $t>(dot, n, out),
                        5 => $run::<5, $t>(dot, n, out),
                        6 => $run::<6, $t>(dot, n, out),
                        7 => $run::<7, $t>(dot, n, out),
                        _ => $run::<8, $t>(dot, n, out),
                    }
                };
            }
            // SAFETY: forwarded.
            unsafe {
                match dot.dtype {
                    DType::F32 => rows!(F32),
                    DType::F16 => rows!(F16),
                    _ => rows!(BF16),
                }
            }
        }

        #[target_feature(enable = $features)]
        unsafe fn $run<const M: usize, const T: u8>(dot: &Dot, n: usize, out: &mut [[f32; MAX_OUTPUTS]; MAX_ROWS]) {
            const BLOCK: usize = 2 * $lanes;
            let size = if T == F32 { 4 } else { 2 };
            let blocks = dot.k / BLOCK;
            let tail = dot.k % BLOCK;
            for j in 0..n {
                let w = dot.w.wrapping_offset(j as isize * dot.row_bytes);
                let mut acc = [[$zero(); 4]; M];
                // SAFETY: `k` elements of the weight row; rows of `x` are padded to whole blocks. Prefetches touch no
                // memory architecturally.
                unsafe {
                    let step = |w: *const u8, at: usize, pair: usize, acc: &mut [[$vec; 4]; M]| {
                        let (w0, w1) = $halves::<T>(w);
                        for i in 0..M {
                            let x = dot.x.add(i * dot.x_stride + at);
                            acc[i][pair] = $fma(w0, $load_ps(x), acc[i][pair]);
                            acc[i][pair + 1] = $fma(w1, $load_ps(x.add($lanes)), acc[i][pair + 1]);
                        }
                    };
                    let mut b = 0;
                    while b + 2 <= blocks {
                        let here = w.add(b * BLOCK * size);
                        for line in (0..2 * BLOCK * size).step_by(64) {
                            _mm_prefetch::<_MM_HINT_T0>(here.wrapping_add(AHEAD + line).cast());
                        }
                        step(here, b * BLOCK, 0, &mut acc);
                        step(here.add(BLOCK * size), (b + 1) * BLOCK, 2, &mut acc);
                        b += 2;
                    }
                    if b < blocks {
                        step(w.add(b * BLOCK * size), b * BLOCK, 0, &mut acc);
                    }
                    if tail > 0 {
                        let mut rest = [0_u8; BLOCK * 4];
                        std::ptr::copy_nonoverlapping(w.add(blocks * BLOCK * size), rest.as_mut_ptr(), tail * size);
                        step(rest.as_ptr(), blocks * BLOCK, 2, &mut acc);
                    }
                }
                for i in 0..M {
                    let sum = $add($add(acc[i][0], acc[i][2]), $add(acc[i][1], acc[i][3]));
                    out[i][j] = $reduce(sum);
                }
            }
        }
    };
}

/// 32 weights as two vectors: bf16 even and odd elements, other types in order.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,f16c")]
unsafe fn halves_avx512<const T: u8>(w: *const u8) -> (__m512, __m512) {
    // SAFETY: 32 elements are readable (caller).
    unsafe {
        match T {
            F32 => (_mm512_loadu_ps(w.cast()), _mm512_loadu_ps(w.add(64).cast())),
            F16 => {
                (_mm512_cvtph_ps(_mm256_loadu_si256(w.cast())), _mm512_cvtph_ps(_mm256_loadu_si256(w.add(32).cast())))
            }
            _ => {
                let both = _mm512_loadu_si512(w.cast());
                (
                    _mm512_castsi512_ps(_mm512_slli_epi32::<16>(both)),
                    _mm512_castsi512_ps(_mm512_and_si512(both, _mm512_set1_epi32(0xffff_0000_u32 as i32))),
                )
            }
        }
    }
}

/// 16 weights as two vectors, as [`halves_avx512`].
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn halves_avx2<const T: u8>(w: *const u8) -> (__m256, __m256) {
    // SAFETY: 16 elements are readable (caller).
    unsafe {
        match T {
            F32 => (_mm256_loadu_ps(w.cast()), _mm256_loadu_ps(w.add(32).cast())),
            F16 => (_mm256_cvtph_ps(_mm_loadu_si128(w.cast())), _mm256_cvtph_ps(_mm_loadu_si128(w.add(16).cast()))),
            _ => {
                let both = _mm256_loadu_si256(w.cast());
                (
                    _mm256_castsi256_ps(_mm256_slli_epi32::<16>(both)),
                    _mm256_castsi256_ps(_mm256_and_si256(both, _mm256_set1_epi32(0xffff_0000_u32 as i32))),
                )
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn reduce_avx2(v: __m256) -> f32 {
    let v = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
    let v = _mm_add_ps(v, _mm_movehl_ps(v, v));
    _mm_cvtss_f32(_mm_add_ss(v, _mm_shuffle_ps::<1>(v, v)))
}

dot!(
    dot_avx512,
    run_avx512,
    "avx512f,avx512bw,avx512dq,avx512vl,f16c",
    16,
    __m512,
    _mm512_setzero_ps,
    _mm512_loadu_ps,
    _mm512_fmadd_ps,
    _mm512_add_ps,
    halves_avx512,
    |v| _mm512_reduce_add_ps(v)
);
dot!(
    dot_avx2,
    run_avx2,
    "avx2,fma,f16c",
    8,
    __m256,
    _mm256_setzero_ps,
    _mm256_loadu_ps,
    _mm256_fmadd_ps,
    _mm256_add_ps,
    halves_avx2,
    |v| reduce_avx2(v)
);

/// # Safety
/// As [`super::weighted`]; the features are available.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
pub(super) unsafe fn weighted_avx512(g: &Gemm<'_>, j0: usize, row: &mut [f32]) {
    // SAFETY: forwarded.
    unsafe { portable::weighted(g, j0, row) }
}

/// # Safety
/// As [`super::weighted`]; the features are available.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn weighted_avx2(g: &Gemm<'_>, j0: usize, row: &mut [f32]) {
    // SAFETY: forwarded.
    unsafe { portable::weighted(g, j0, row) }
}
