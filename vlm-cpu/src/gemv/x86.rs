//! Dot products at the speed of memory, AVX-512 and AVX2.

#![allow(clippy::needless_range_loop, reason = "indices count registers of several arrays at once")]

use super::{Dot, MAX_OUTPUTS, MAX_ROWS, portable};
use crate::gemm::Gemm;
use std::arch::x86_64::*;
use vlm_core::DType;

const F32: u8 = 0;
const F16: u8 = 1;
const BF16: u8 = 2;

/// Weight rows read side by side. While a group is multiplied, the next one is prefetched, line by line: several
/// streams at once keep more of the memory's banks busy than one does (measured 30 to 40 GB/s against 25 to 30).
const GROUP: usize = 4;

macro_rules! dot {
    ($dot:ident, $run:ident, $group:ident, $features:literal, $lanes:literal, $vec:ty, $zero:ident, $load_ps:ident, $fma:ident,
     $halves:ident, $reduce:expr) => {
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
            let mut j = 0;
            // SAFETY: forwarded; rows j.. exist.
            unsafe {
                // More rows of `x` leave registers for fewer rows of weights.
                if M <= 4 {
                    while j + GROUP <= n {
                        $group::<M, T, GROUP>(dot, j, out);
                        j += GROUP;
                    }
                }
                while j + 2 <= n {
                    $group::<M, T, 2>(dot, j, out);
                    j += 2;
                }
                while j < n {
                    $group::<M, T, 1>(dot, j, out);
                    j += 1;
                }
            }
        }

        /// `R` weight rows from `j` on. The order of each row's sum does not depend on `R`.
        #[inline]
        #[target_feature(enable = $features)]
        unsafe fn $group<const M: usize, const T: u8, const R: usize>(
            dot: &Dot,
            j: usize,
            out: &mut [[f32; MAX_OUTPUTS]; MAX_ROWS],
        ) {
            const BLOCK: usize = 2 * $lanes;
            let size = if T == F32 { 4 } else { 2 };
            let blocks = dot.k / BLOCK;
            let tail = dot.k % BLOCK;
            let w = dot.w.wrapping_offset(j as isize * dot.row_bytes);
            let row = |r: usize, at: usize| w.wrapping_offset(r as isize * dot.row_bytes).wrapping_add(at);
            let next = dot.row_bytes * GROUP as isize;
            let mut acc = [[$zero(); M]; R];
            // SAFETY: `k` elements of R weight rows; rows of `x` are padded to whole blocks. Prefetches touch no memory
            // architecturally.
            unsafe {
                for b in 0..blocks {
                    let mut x = [[$zero(); 2]; M];
                    for i in 0..M {
                        let at = dot.x.add(i * dot.x_stride + b * BLOCK);
                        x[i] = [$load_ps(at), $load_ps(at.add($lanes))];
                    }
                    for r in 0..R {
                        let here = row(r, b * BLOCK * size);
                        for line in (0..BLOCK * size).step_by(64) {
                            _mm_prefetch::<_MM_HINT_T1>(here.wrapping_offset(next).wrapping_add(line).cast());
                        }
                        let (w0, w1) = $halves::<T>(here);
                        for i in 0..M {
                            acc[r][i] = $fma(w1, x[i][1], $fma(w0, x[i][0], acc[r][i]));
                        }
                    }
                }
                if tail > 0 {
                    for r in 0..R {
                        let mut rest = [0_u8; BLOCK * 4];
                        std::ptr::copy_nonoverlapping(row(r, blocks * BLOCK * size), rest.as_mut_ptr(), tail * size);
                        let (w0, w1) = $halves::<T>(rest.as_ptr());
                        for i in 0..M {
                            let at = dot.x.add(i * dot.x_stride + blocks * BLOCK);
                            acc[r][i] = $fma(w1, $load_ps(at.add($lanes)), $fma(w0, $load_ps(at), acc[r][i]));
                        }
                    }
                }
            }
            for r in 0..R {
                for i in 0..M {
                    out[i][j + r] = $reduce(acc[r][i]);
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
    group_avx512,
    "avx512f,avx512bw,avx512dq,avx512vl,f16c",
    16,
    __m512,
    _mm512_setzero_ps,
    _mm512_loadu_ps,
    _mm512_fmadd_ps,
    halves_avx512,
    |v| _mm512_reduce_add_ps(v)
);
dot!(
    dot_avx2,
    run_avx2,
    group_avx2,
    "avx2,fma,f16c",
    8,
    __m256,
    _mm256_setzero_ps,
    _mm256_loadu_ps,
    _mm256_fmadd_ps,
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
