//! Dot products with 8- and 4-bit weights, converted to f32 in registers.

use super::{MAX_OUTPUTS, MAX_ROWS};
use crate::cpu_features::Isa;

/// Quantised weight rows of one task and the rows they are multiplied with.
pub(crate) struct Dot<'a> {
    pub data: &'a [u8],
    pub scales: &'a [f32],
    pub k: usize,
    pub group: usize,
    /// Two weights to a byte.
    pub four: bool,
    /// `m` rows of `k` f32, `x_stride` apart.
    pub x: &'a [f32],
    pub x_stride: usize,
    pub m: usize,
}

/// `out[i][j]` = row `i` of `x` times weight row `j`, for `n` weight rows.
pub(crate) fn dot(isa: Isa, dot: &Dot<'_>, n: usize, out: &mut [[f32; MAX_OUTPUTS]; MAX_ROWS]) {
    let row_bytes = if dot.four { dot.k / 2 } else { dot.k };
    assert!(dot.data.len() == n * row_bytes && dot.scales.len() == n * (dot.k / dot.group) && n <= MAX_OUTPUTS);
    assert!(dot.m <= MAX_ROWS && dot.x_stride >= dot.k && dot.x.len() >= dot.m * dot.x_stride);
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the lengths just checked cover every row; the features belong to the level.
        Isa::Avx512 | Isa::Avx512Bf16 | Isa::Amx => unsafe { x86::dot(dot, n, row_bytes, out) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the features belong to the level.
        Isa::Avx2 => unsafe { x86::plain_avx2(dot, n, row_bytes, out) },
        _ => plain(dot, n, row_bytes, out),
    }
}

#[inline(always)]
fn plain(dot: &Dot<'_>, n: usize, row_bytes: usize, out: &mut [[f32; MAX_OUTPUTS]; MAX_ROWS]) {
    const LANES: usize = 16;
    for j in 0..n {
        let row = &dot.data[j * row_bytes..][..row_bytes];
        let scales = &dot.scales[j * (dot.k / dot.group)..];
        for (i, out) in out.iter_mut().enumerate().take(dot.m) {
            let x = &dot.x[i * dot.x_stride..][..dot.k];
            let mut acc = [0_f32; LANES];
            for (b, x) in x.chunks_exact(32).enumerate() {
                let scale = scales[b * 32 / dot.group];
                let mut sum = [0_f32; LANES];
                if dot.four {
                    let q = &row[b * 16..][..16];
                    for (c, sum) in sum.iter_mut().enumerate() {
                        *sum = (f32::from(q[c] & 15) - 8.0) * x[c] + (f32::from(q[c] >> 4) - 8.0) * x[16 + c];
                    }
                } else {
                    let q = &row[b * 32..][..32];
                    for (c, sum) in sum.iter_mut().enumerate() {
                        *sum = f32::from(q[c] as i8) * x[c] + f32::from(q[16 + c] as i8) * x[16 + c];
                    }
                }
                acc.iter_mut().zip(sum).for_each(|(acc, sum)| *acc += sum * scale);
            }
            out[j] = acc.iter().sum();
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    #![allow(clippy::needless_range_loop, reason = "indices count registers of several arrays at once")]

    use super::{Dot, MAX_OUTPUTS, MAX_ROWS, plain};
    use std::arch::x86_64::*;

    /// Weight rows read side by side.
    const GROUP: usize = 4;

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn plain_avx2(dot: &Dot<'_>, n: usize, row_bytes: usize, out: &mut [[f32; MAX_OUTPUTS]; MAX_ROWS]) {
        plain(dot, n, row_bytes, out);
    }

    /// # Safety
    /// AVX-512 is available; lengths are as [`super::dot`] checks them.
    pub(super) unsafe fn dot(dot: &Dot<'_>, n: usize, row_bytes: usize, out: &mut [[f32; MAX_OUTPUTS]; MAX_ROWS]) {
        // One row of `x` at a time, or four: the second pass over the weights would come from the cache, not faster.
        let mut i = 0;
        while i < dot.m {
            // SAFETY: forwarded; rows i.. of `x` exist.
            unsafe {
                match (dot.m - i, dot.four) {
                    (1, false) => rows::<1, false>(dot, n, row_bytes, i, out),
                    (1, true) => rows::<1, true>(dot, n, row_bytes, i, out),
                    (2, false) => rows::<2, false>(dot, n, row_bytes, i, out),
                    (2, true) => rows::<2, true>(dot, n, row_bytes, i, out),
                    (3, false) => rows::<3, false>(dot, n, row_bytes, i, out),
                    (3, true) => rows::<3, true>(dot, n, row_bytes, i, out),
                    (_, false) => rows::<4, false>(dot, n, row_bytes, i, out),
                    (_, true) => rows::<4, true>(dot, n, row_bytes, i, out),
                }
            }
            i += 4;
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    unsafe fn rows<const M: usize, const FOUR: bool>(
        dot: &Dot<'_>,
        n: usize,
        row_bytes: usize,
        i0: usize,
        out: &mut [[f32; MAX_OUTPUTS]; MAX_ROWS],
    ) {
        let mut j = 0;
        // SAFETY: forwarded; rows j.. exist.
        unsafe {
            while j + GROUP <= n {
                group::<M, FOUR, GROUP>(dot, row_bytes, (i0, j), out);
                j += GROUP;
            }
            while j < n {
                group::<M, FOUR, 1>(dot, row_bytes, (i0, j), out);
                j += 1;
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    unsafe fn group<const M: usize, const FOUR: bool, const R: usize>(
        dot: &Dot<'_>,
        row_bytes: usize,
        (i0, j): (usize, usize),
        out: &mut [[f32; MAX_OUTPUTS]; MAX_ROWS],
    ) {
        let table =
            _mm512_setr_ps(-8.0, -7.0, -6.0, -5.0, -4.0, -3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0);
        let block_bytes = if FOUR { 16 } else { 32 };
        let shift = if dot.group == 64 { 1 } else { 0 };
        let groups = dot.k / dot.group;
        let w = dot.data.as_ptr().wrapping_add(j * row_bytes);
        let mut acc = [[_mm512_setzero_ps(); M]; R];
        for b in 0..dot.k / 32 {
            // SAFETY: block b of R weight rows from j on, its scales, and 32 elements of M rows of `x` from i0 on.
            unsafe {
                let mut x = [[_mm512_setzero_ps(); 2]; M];
                for (i, x) in x.iter_mut().enumerate() {
                    let at = dot.x.as_ptr().add((i0 + i) * dot.x_stride + b * 32);
                    *x = [_mm512_loadu_ps(at), _mm512_loadu_ps(at.add(16))];
                }
                for r in 0..R {
                    let here = w.add(r * row_bytes + b * block_bytes);
                    // Blocks are parts of a line; prefetching it again costs little.
                    _mm_prefetch::<_MM_HINT_T1>(here.wrapping_add(GROUP * row_bytes).cast());
                    let (w0, w1) = if FOUR {
                        // The table look-up takes the low four bits of each lane.
                        let q = _mm512_cvtepu8_epi32(_mm_loadu_si128(here.cast()));
                        (_mm512_permutexvar_ps(q, table), _mm512_permutexvar_ps(_mm512_srli_epi32::<4>(q), table))
                    } else {
                        (
                            _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(here.cast()))),
                            _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(here.add(16).cast()))),
                        )
                    };
                    let scale = _mm512_set1_ps(*dot.scales.as_ptr().add((j + r) * groups + (b >> shift)));
                    for i in 0..M {
                        let sum = _mm512_fmadd_ps(w1, x[i][1], _mm512_mul_ps(w0, x[i][0]));
                        acc[r][i] = _mm512_fmadd_ps(sum, scale, acc[r][i]);
                    }
                }
            }
        }
        for r in 0..R {
            for i in 0..M {
                out[i0 + i][j + r] = _mm512_reduce_add_ps(acc[r][i]);
            }
        }
    }
}
