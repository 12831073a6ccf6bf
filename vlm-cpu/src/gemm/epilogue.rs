//! From f32 sums to the output: bias, map, accumulation, rounding, and the transposition of swapped products.

use super::Gemm;
use crate::cpu_features::Isa;
use half::{bf16, f16, slice::HalfFloatSliceExt};
use vlm_core::DType;

/// Writes `row` (sums of row `i` of the result from column `j0` on) to `c`, after bias and map. Destroys `row`.
///
/// `bias` is null or holds the values for the columns of `row`.
///
/// # Safety
/// As [`super::gemm`]; the columns exist and belong to the calling task; `isa` is available.
pub(crate) unsafe fn finish_row(isa: Isa, g: &Gemm<'_>, row: &mut [f32], i: usize, j0: usize, bias: *const f32) {
    let c = g.c;
    let start = i as isize * c.row_stride + j0 as isize * c.col_stride;
    let dst = c.ptr.wrapping_offset(start * c.dtype.size() as isize);
    if let Some(map) = g.map {
        if !bias.is_null() {
            // SAFETY: the bias covers the row (caller).
            let bias = unsafe { std::slice::from_raw_parts(bias, row.len()) };
            row.iter_mut().zip(bias).for_each(|(x, b)| *x += b);
        }
        map(row);
        // SAFETY: forwarded.
        unsafe { store_row(isa, row, dst, c.dtype, c.col_stride, g.accumulate, std::ptr::null()) }
    } else {
        // SAFETY: forwarded.
        unsafe { store_row(isa, row, dst, c.dtype, c.col_stride, g.accumulate, bias) }
    }
}

/// Adds the bias, then what `dst` holds if asked, rounds and writes.
///
/// # Safety
/// `dst` has `row.len()` elements of `dtype` at `stride`; `bias` is null or that long; `isa` is available.
unsafe fn store_row(
    isa: Isa,
    row: &mut [f32],
    dst: *mut u8,
    dtype: DType,
    stride: isize,
    accumulate: bool,
    bias: *const f32,
) {
    // SAFETY: forwarded; the target features belong to the level.
    unsafe {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 | Isa::Avx512Bf16 | Isa::Amx
                if stride == 1 && !accumulate && matches!(dtype, DType::F32 | DType::BF16) =>
            {
                super::pack_avx512::store_row(row, dst, dtype == DType::BF16, bias);
            }
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 | Isa::Avx512Bf16 | Isa::Amx => store_avx512(row, dst, dtype, stride, accumulate, bias),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => store_avx2(row, dst, dtype, stride, accumulate, bias),
            _ => store(row, dst, dtype, stride, accumulate, bias),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
unsafe fn store_avx512(row: &mut [f32], dst: *mut u8, dtype: DType, stride: isize, accumulate: bool, bias: *const f32) {
    // SAFETY: forwarded.
    unsafe { store(row, dst, dtype, stride, accumulate, bias) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn store_avx2(row: &mut [f32], dst: *mut u8, dtype: DType, stride: isize, accumulate: bool, bias: *const f32) {
    // SAFETY: forwarded.
    unsafe { store(row, dst, dtype, stride, accumulate, bias) }
}

/// Rounds to nearest even; NaN stays NaN.
#[inline(always)]
fn to_bf16(x: f32) -> u16 {
    let bits = x.to_bits();
    let rounded = (bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16) as u16;
    if x.is_nan() { (bits >> 16) as u16 | 0x40 } else { rounded }
}

#[inline(always)]
unsafe fn store(row: &mut [f32], dst: *mut u8, dtype: DType, stride: isize, accumulate: bool, bias: *const f32) {
    let n = row.len();
    // SAFETY: `n` elements at `dst` and, unless null, at `bias` (caller).
    unsafe {
        if !bias.is_null() {
            for (j, x) in row.iter_mut().enumerate() {
                *x += bias.add(j).read();
            }
        }
        match dtype {
            DType::F32 if stride == 1 => {
                let dst = dst.cast::<f32>();
                if accumulate {
                    for (j, x) in row.iter().enumerate() {
                        dst.add(j).write_unaligned(dst.add(j).read_unaligned() + x);
                    }
                } else {
                    std::ptr::copy_nonoverlapping(row.as_ptr().cast::<u8>(), dst.cast::<u8>(), n * 4);
                }
            }
            DType::BF16 if stride == 1 => {
                let dst = dst.cast::<u16>();
                if accumulate {
                    for (j, x) in row.iter_mut().enumerate() {
                        *x += f32::from_bits(u32::from(dst.add(j).read_unaligned()) << 16);
                    }
                }
                for (j, x) in row.iter().enumerate() {
                    dst.add(j).write_unaligned(to_bf16(*x));
                }
            }
            DType::F16 if stride == 1 && !accumulate && dst.cast::<f16>().is_aligned() => {
                std::slice::from_raw_parts_mut(dst.cast::<f16>(), n).convert_from_f32_slice(row);
            }
            DType::F32 => {
                for (j, &x) in row.iter().enumerate() {
                    let dst = dst.cast::<f32>().offset(j as isize * stride);
                    dst.write_unaligned(if accumulate { dst.read_unaligned() + x } else { x });
                }
            }
            DType::F16 => {
                for (j, &x) in row.iter().enumerate() {
                    let dst = dst.cast::<f16>().offset(j as isize * stride);
                    let old = if accumulate { dst.read_unaligned().to_f32() } else { 0.0 };
                    dst.write_unaligned(f16::from_f32(if accumulate { old + x } else { x }));
                }
            }
            _ => {
                debug_assert_eq!(dtype, DType::BF16);
                for (j, &x) in row.iter().enumerate() {
                    let dst = dst.cast::<bf16>().offset(j as isize * stride);
                    let old = if accumulate { dst.read_unaligned().to_f32() } else { 0.0 };
                    dst.write_unaligned(bf16::from_f32(if accumulate { old + x } else { x }));
                }
            }
        }
    }
}

/// The most rows a block may have that [`finish_block`] writes transposed.
pub(super) const MAX_BLOCK_ROWS: usize = 256;

/// Writes a block of sums: `rows` × `cols` at `acc`, `ld` f32 between rows, whose first element belongs to row `i0`,
/// column `j0` of the product. With `swapped`, the block's rows are the result's columns.
///
/// # Safety
/// As [`finish_row`]; the block is valid for reading and writing; `rows` is at most [`MAX_BLOCK_ROWS`] when swapped;
/// `bias` is null or holds all of the result's columns.
pub(super) unsafe fn finish_block(
    isa: Isa,
    g: &Gemm<'_>,
    acc: *mut f32,
    ld: usize,
    (rows, cols): (usize, usize),
    (i0, j0): (usize, usize),
    swapped: bool,
    bias: *const f32,
) {
    let bias_at = |j: usize| if bias.is_null() { bias } else { bias.wrapping_add(j) };
    if !swapped {
        for i in 0..rows {
            // SAFETY: row `i` of the block is valid and nobody else uses it (caller).
            unsafe {
                let row = std::slice::from_raw_parts_mut(acc.add(i * ld), cols);
                finish_row(isa, g, row, i0 + i, j0, bias_at(j0));
            }
        }
        return;
    }
    const GROUP: usize = 16;
    let mut turned = std::mem::MaybeUninit::<Turned>::uninit();
    let turned = turned.as_mut_ptr().cast::<f32>();
    for c0 in (0..cols).step_by(GROUP) {
        let width = GROUP.min(cols - c0);
        // SAFETY: `acc` has `rows` rows and whole groups of columns are inside `ld`; `turned` holds 16 rows of
        // MAX_BLOCK_ROWS.
        unsafe { turn(isa, acc.add(c0), ld, rows, width, turned) };
        for c in 0..width {
            // SAFETY: `turn` wrote the first `rows` values of this row. Column `c0 + c` of the block is row
            // `j0 + c0 + c` of the result.
            unsafe {
                let row = std::slice::from_raw_parts_mut(turned.add(c * MAX_BLOCK_ROWS), rows);
                finish_row(isa, g, row, j0 + c0 + c, i0, bias_at(i0));
            }
        }
    }
}

/// 16 columns of a block as rows. Never initialised as a whole: that would cost more than turning.
#[repr(align(64))]
struct Turned(#[expect(dead_code, reason = "written and read through a pointer")] [f32; 16 * MAX_BLOCK_ROWS]);

/// `out[c * MAX_BLOCK_ROWS + r] = acc[r * ld + c]` for up to 16 columns.
unsafe fn turn(isa: Isa, acc: *const f32, ld: usize, rows: usize, cols: usize, out: *mut f32) {
    let mut r = 0;
    #[cfg(target_arch = "x86_64")]
    if isa >= Isa::Avx512 {
        while r + 16 <= rows {
            // SAFETY: 16 rows from `r` on, masked to `cols`; `out` has 16 rows with room for `rows`.
            unsafe { super::pack_avx512::turn16(acc.add(r * ld), ld, cols, out.add(r), MAX_BLOCK_ROWS) };
            r += 16;
        }
    }
    let _ = isa;
    for r in r..rows {
        for c in 0..cols {
            // SAFETY: inside the block and inside `out`.
            unsafe { *out.add(c * MAX_BLOCK_ROWS + r) = *acc.add(r * ld + c) };
        }
    }
}
