//! Packing by blocks of 16 outputs × 16 units in registers.

use std::arch::x86_64::*;
use vlm_core::DType;

/// Up to 16 outputs × 16 units of an operand, one of whose strides is 1.
pub(super) struct Block {
    pub src: *const u8,
    pub dtype: DType,
    /// Elements between outputs.
    pub stride: isize,
    /// Elements along the reduction.
    pub k_stride: isize,
    /// Outputs that exist.
    pub outputs: usize,
    /// Elements along the reduction that exist: up to 16, or 32 when a unit is a pair.
    pub elements: usize,
    /// Units between lines of the destination.
    pub ld: usize,
    /// Lines to write.
    pub lines: usize,
}

/// Elements along a row between what is packed and what is prefetched: rows are too many for the hardware to follow.
const AHEAD: usize = 128;

/// Writes a block to `dst`, lines of 16 units: one line per unit (`by_unit`, for panels) or per output (for rows).
///
/// # Safety
/// AVX-512 F, BW, DQ and VL are available; existing elements are readable; `lines` lines of 16 fit `dst`.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,f16c")]
pub(super) unsafe fn block(b: &Block, compute: DType, by_unit: bool, dst: *mut u32) {
    let mut v = [_mm512_setzero_si512(); 16];
    let at = |o: usize, k: usize| {
        b.src.wrapping_offset((o as isize * b.stride + k as isize * b.k_stride) * b.dtype.size() as isize)
    };
    let along_k = b.k_stride == 1;
    // SAFETY: masks and loop bounds keep every load to existing elements.
    unsafe {
        match (compute, b.dtype, along_k) {
            (DType::BF16, _, true) => {
                let mask = low_bits32(b.elements);
                for o in 0..b.outputs {
                    _mm_prefetch::<_MM_HINT_T0>(at(o, AHEAD).cast());
                    v[o] = _mm512_maskz_loadu_epi16(mask, at(o, 0).cast());
                }
            }
            (DType::BF16, _, false) => {
                let mask = low_bits16(b.outputs);
                for u in 0..b.elements.div_ceil(2) {
                    let low = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, at(0, 2 * u).cast()));
                    v[u] = if 2 * u + 1 < b.elements {
                        let high = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, at(0, 2 * u + 1).cast()));
                        _mm512_or_si512(low, _mm512_slli_epi32::<16>(high))
                    } else {
                        low
                    };
                }
            }
            (_, dtype, true) => {
                let mask = low_bits16(b.elements);
                for o in 0..b.outputs {
                    _mm_prefetch::<_MM_HINT_T0>(at(o, AHEAD).cast());
                    v[o] = load16(dtype, at(o, 0), mask);
                }
            }
            (_, dtype, false) => {
                let mask = low_bits16(b.outputs);
                for u in 0..b.elements {
                    v[u] = load16(dtype, at(0, u), mask);
                }
            }
        }
        if along_k == by_unit {
            transpose(&mut v);
        }
        if b.lines == 16 {
            for (i, v) in v.iter().enumerate() {
                _mm512_storeu_si512(dst.add(i * b.ld).cast(), *v);
            }
        } else {
            for (i, v) in v.iter().enumerate().take(b.lines) {
                _mm512_storeu_si512(dst.add(i * b.ld).cast(), *v);
            }
        }
    }
}

#[inline]
fn low_bits16(n: usize) -> u16 {
    if n >= 16 { u16::MAX } else { (1 << n) - 1 }
}

#[inline]
fn low_bits32(n: usize) -> u32 {
    if n >= 32 { u32::MAX } else { (1 << n) - 1 }
}

/// 16 elements as f32 bits; lanes outside the mask are zero and not read.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,f16c")]
unsafe fn load16(dtype: DType, p: *const u8, mask: u16) -> __m512i {
    // SAFETY: forwarded.
    unsafe {
        match dtype {
            DType::F32 => _mm512_maskz_loadu_epi32(mask, p.cast()),
            DType::F16 => _mm512_castps_si512(_mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, p.cast()))),
            _ => _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, p.cast()))),
        }
    }
}

/// Transposes 16 × 16 lanes of 32 bits.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn transpose(v: &mut [__m512i; 16]) {
    let mut t = *v;
    for i in 0..8 {
        t[2 * i] = _mm512_unpacklo_epi32(v[2 * i], v[2 * i + 1]);
        t[2 * i + 1] = _mm512_unpackhi_epi32(v[2 * i], v[2 * i + 1]);
    }
    for i in 0..4 {
        let (a, b, c, d) = (t[4 * i], t[4 * i + 1], t[4 * i + 2], t[4 * i + 3]);
        v[4 * i] = _mm512_unpacklo_epi64(a, c);
        v[4 * i + 1] = _mm512_unpackhi_epi64(a, c);
        v[4 * i + 2] = _mm512_unpacklo_epi64(b, d);
        v[4 * i + 3] = _mm512_unpackhi_epi64(b, d);
    }
    // Now v[4 i + j] holds, in its 128-bit lane l, column 4 l + j of rows 4 i to 4 i + 3.
    for j in 0..4 {
        let (a, b, c, d) = (v[j], v[4 + j], v[8 + j], v[12 + j]);
        let ab_even = _mm512_shuffle_i32x4::<0x88>(a, b);
        let ab_odd = _mm512_shuffle_i32x4::<0xdd>(a, b);
        let cd_even = _mm512_shuffle_i32x4::<0x88>(c, d);
        let cd_odd = _mm512_shuffle_i32x4::<0xdd>(c, d);
        t[j] = _mm512_shuffle_i32x4::<0x88>(ab_even, cd_even);
        t[4 + j] = _mm512_shuffle_i32x4::<0x88>(ab_odd, cd_odd);
        t[8 + j] = _mm512_shuffle_i32x4::<0xdd>(ab_even, cd_even);
        t[12 + j] = _mm512_shuffle_i32x4::<0xdd>(ab_odd, cd_odd);
    }
    *v = t;
}

/// `out[c * out_ld + r] = acc[r * ld + c]` for 16 rows and up to 16 columns (all 16 rows of `out` are written).
///
/// # Safety
/// AVX-512 is available; 16 rows of `cols` f32 are readable at `acc`, 16 rows of 16 writable at `out`.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) unsafe fn turn16(acc: *const f32, ld: usize, cols: usize, out: *mut f32, out_ld: usize) {
    let mask = low_bits16(cols);
    let mut v = [_mm512_setzero_si512(); 16];
    // SAFETY: forwarded.
    unsafe {
        for (r, v) in v.iter_mut().enumerate() {
            *v = _mm512_maskz_loadu_epi32(mask, acc.add(r * ld).cast());
        }
        transpose(&mut v);
        for (c, v) in v.iter().enumerate() {
            _mm512_storeu_si512(out.add(c * out_ld).cast(), *v);
        }
    }
}

/// Adds the bias (unless null) and writes a row as f32 or bf16, rounded to nearest even; NaN stays NaN.
///
/// # Safety
/// AVX-512 is available; `dst` has room for the row; `bias` is null or as long as the row.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) unsafe fn store_row(row: &[f32], dst: *mut u8, to_bf16: bool, bias: *const f32) {
    for j in (0..row.len()).step_by(16) {
        let mask = low_bits16(row.len() - j);
        // SAFETY: the mask keeps loads and stores inside the row, the bias and `dst`.
        unsafe {
            let mut x = _mm512_maskz_loadu_ps(mask, row.as_ptr().add(j));
            if !bias.is_null() {
                x = _mm512_add_ps(x, _mm512_maskz_loadu_ps(mask, bias.add(j)));
            }
            if to_bf16 {
                _mm256_mask_storeu_epi16(dst.add(2 * j).cast(), mask, round_bf16(x));
            } else {
                _mm512_mask_storeu_ps(dst.add(4 * j).cast(), mask, x);
            }
        }
    }
}

/// As the portable rounding does, denormals included (`vcvtneps2bf16` would flush them).
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn round_bf16(x: __m512) -> __m256i {
    let bits = _mm512_castps_si512(x);
    let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
    let rounded = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
    let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(x, x);
    let quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x0040_0000));
    _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(_mm512_mask_mov_epi32(rounded, nan, quiet)))
}
