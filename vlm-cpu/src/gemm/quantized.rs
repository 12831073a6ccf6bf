//! Linear layers with weights of 8 or 4 bits and one scale per group of 32 or 64.
//!
//! Symmetric quantisation along the reduced dimension: weight `(j, l)` is `scales[j][l / group] * q`, with `q` in
//! -127..=127 (8 bits) or -8..=7 (4 bits). Four-bit weights come in blocks of 32 elements and 16 bytes: byte `i` of a
//! block has element `i` in its low half and element `16 + i` in its high half, each as `q + 8`.

use super::{Gemm, Mat, MatMut, finish_row, gemm, load};
use crate::alloc::Buffer;
use crate::cpu_features::Isa;
use crate::gemv;
use crate::threads::{SendPtr, parallel_chunks_mut, parallel_for};
use half::bf16;
use vlm_core::{DType, Error, ErrorKind, Result};

/// Bits per weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bits {
    /// One signed byte each.
    Eight,
    /// Two to a byte.
    Four,
}

impl Bits {
    /// Bytes of `k` weights; `k` is a multiple of the group.
    pub const fn bytes(self, k: usize) -> usize {
        match self {
            Bits::Eight => k,
            Bits::Four => k / 2,
        }
    }
}

/// Quantised weights `[n, k]` of a linear layer, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct QuantizedMat<'a> {
    data: &'a [u8],
    scales: &'a [f32],
    n: usize,
    k: usize,
    group: usize,
    bits: Bits,
}

impl<'a> QuantizedMat<'a> {
    /// Describes weights held elsewhere: `data` row by row, `scales` as `[n, k / group]`.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] when `group` is neither 32 nor 64, does not divide `k`, or a length does not match.
    pub fn new(data: &'a [u8], scales: &'a [f32], (n, k): (usize, usize), group: usize, bits: Bits) -> Result<Self> {
        let error = |message: String| Err(Error::new(ErrorKind::Shape, "quantized_linear", message));
        if !matches!(group, 32 | 64) || k == 0 || k % group != 0 {
            return error(format!("groups of {group} do not fit {k} inputs: use 32 or 64, and a multiple of it"));
        }
        let expected = n.checked_mul(bits.bytes(k));
        if expected != Some(data.len()) {
            return error(format!("{} bytes of weights, not those of {n} x {k} in {bits:?} bits", data.len()));
        }
        if scales.len() != n * (k / group) {
            return error(format!("{} scales, not {n} x {}", scales.len(), k / group));
        }
        Ok(QuantizedMat { data, scales, n, k, group, bits })
    }

    /// Writes the weights of row `j` to `out`.
    #[inline(always)]
    fn dequantize(&self, j: usize, out: &mut [f32]) {
        let row = &self.data[j * self.bits.bytes(self.k)..][..self.bits.bytes(self.k)];
        let scales = &self.scales[j * (self.k / self.group)..];
        match self.bits {
            Bits::Eight => {
                for (g, (out, q)) in out.chunks_exact_mut(self.group).zip(row.chunks_exact(self.group)).enumerate() {
                    out.iter_mut().zip(q).for_each(|(x, &q)| *x = f32::from(q as i8) * scales[g]);
                }
            }
            Bits::Four => {
                for (b, (out, q)) in out.as_chunks_mut::<32>().0.iter_mut().zip(row.as_chunks::<16>().0).enumerate() {
                    let scale = scales[b * 32 / self.group];
                    for i in 0..16 {
                        out[i] = (f32::from(q[i] & 15) - 8.0) * scale;
                        out[16 + i] = (f32::from(q[i] >> 4) - 8.0) * scale;
                    }
                }
            }
        }
    }
}

/// Quantises weights `[n, k]` to nearest, scales from each group's largest magnitude. Returns data and scales as
/// [`QuantizedMat::new`] takes them.
///
/// # Errors
/// As [`QuantizedMat::new`] for the group; [`ErrorKind::DType`] for weights that are not f32, f16 or bf16.
///
/// # Safety
/// All elements of `w` that `n` and `k` describe are readable.
pub unsafe fn quantize(w: Mat, (n, k): (usize, usize), group: usize, bits: Bits) -> Result<(Vec<u8>, Vec<f32>)> {
    if !matches!(w.dtype, DType::F32 | DType::F16 | DType::BF16) {
        let message = format!("weights of {} cannot be quantised", w.dtype);
        return Err(Error::new(ErrorKind::DType, "quantize", message).hint("convert them to f32, f16 or bf16"));
    }
    let fits = matches!(group, 32 | 64) && k % group == 0;
    let groups = if fits { k / group } else { 0 };
    let mut data = vec![0_u8; n * bits.bytes(k)];
    let mut scales = vec![0_f32; n * groups];
    QuantizedMat::new(&data, &scales, (n, k), group, bits)?;
    let w = (w.ptr as usize, w);
    let top = if bits == Bits::Eight { 127.0 } else { 7.0 };
    let scales_ptr = SendPtr(scales.as_mut_ptr());
    parallel_chunks_mut(&mut data, bits.bytes(k).max(1), |start, row| {
        let j = start / bits.bytes(k);
        let mut values = vec![0_f32; group];
        for g in 0..groups {
            for (l, x) in values.iter_mut().enumerate() {
                let at = j as isize * w.1.row_stride + (g * group + l) as isize * w.1.col_stride;
                // SAFETY: an element of `w` (caller).
                *x = unsafe { load(w.0 as *const u8, w.1.dtype, at) };
            }
            let scale = values.iter().fold(0_f32, |m, x| m.max(x.abs())) / top;
            // SAFETY: each task writes the scales of its own row.
            unsafe { *scales_ptr.get().add(j * groups + g) = scale };
            let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
            for (l, x) in values.iter().enumerate() {
                let q = (x * inverse).round_ties_even().clamp(-top, top) as i32;
                match bits {
                    Bits::Eight => row[g * group + l] = q as u8,
                    Bits::Four => {
                        let at = g * group + l;
                        row[at / 32 * 16 + at % 16] |= ((q + 8) as u8) << (at % 32 / 16 * 4);
                    }
                }
            }
        }
    });
    Ok((data, scales))
}

/// The most bytes of weights that are dequantised at a time.
const SCRATCH: usize = 16 << 20;
/// Up to this many rows the weights are multiplied as they stream in.
const STREAM_ROWS: usize = 4;

/// `c[m, n] = map(a[m, k] · dequantised(w)ᵀ + bias[n])`. `g.b` and `g.n`, `g.k` are not looked at: `w` stands for them.
///
/// Few rows are multiplied in f32 while the weights stream in; for more, the weights are dequantised block by block to
/// bf16 (when `a` is bf16) or f32 and take the path of [`gemm`].
///
/// # Errors
/// [`ErrorKind::DType`] unless `a` and `c` are f32, f16 or bf16; [`ErrorKind::OutOfMemory`] without scratch memory.
///
/// # Safety
/// As [`gemm`] for `a`, `c` and `bias`.
pub unsafe fn quantized_linear(isa: Isa, g: &Gemm<'_>, w: &QuantizedMat<'_>) -> Result<()> {
    let g = Gemm { n: w.n, k: w.k, ..*g };
    for d in [g.a.dtype, g.c.dtype] {
        if !matches!(d, DType::F32 | DType::F16 | DType::BF16) {
            let e = Error::new(ErrorKind::DType, "quantized_linear", format!("inputs or outputs of {d}"));
            return Err(e.hint("convert them to f32, f16 or bf16"));
        }
    }
    if g.m == 0 || w.n == 0 {
        return Ok(());
    }
    if g.m <= STREAM_ROWS {
        // SAFETY: forwarded.
        return unsafe { stream(isa, &g, w) };
    }
    let dtype = if g.a.dtype == DType::BF16 { DType::BF16 } else { DType::F32 };
    let rows = (SCRATCH / (w.k * dtype.size()).max(1)).clamp(1, w.n);
    let mut scratch = Buffer::new(rows * w.k * dtype.size())?;
    for j0 in (0..w.n).step_by(rows) {
        let rows = rows.min(w.n - j0);
        let half = dtype == DType::BF16;
        parallel_chunks_mut(
            &mut scratch.as_bytes_mut()[..rows * w.k * dtype.size()],
            8 * w.k * dtype.size(),
            |start, out| {
                let first = j0 + start / (w.k * dtype.size());
                // SAFETY: the level is available (caller).
                unsafe {
                    match isa {
                        #[cfg(target_arch = "x86_64")]
                        Isa::Avx512 | Isa::Avx512Bf16 | Isa::Amx => fill_avx512(w, first, out, half),
                        #[cfg(target_arch = "x86_64")]
                        Isa::Avx2 => fill_avx2(w, first, out, half),
                        _ => fill(w, first, out, half),
                    }
                }
            },
        );
        let part = Gemm {
            n: rows,
            b: Mat { ptr: scratch.as_ptr(), dtype, row_stride: 1, col_stride: w.k as isize },
            c: MatMut { ptr: g.c_at(0, j0), ..g.c },
            bias: g.bias.map(|(ptr, d)| (ptr.wrapping_add(j0 * d.size()), d)),
            a: g.a,
            ..g
        };
        // SAFETY: forwarded; the scratch holds `rows` dequantised rows. An f16 `a` multiplies f32 weights.
        unsafe { gemm(isa, &part)? };
    }
    Ok(())
}

/// Dequantises the rows from `first` on into `out`, as bf16 or f32.
///
/// # Safety
/// None of its own: `unsafe` so that the versions with target features can be called the same way.
#[inline(always)]
unsafe fn fill(w: &QuantizedMat<'_>, first: usize, out: &mut [u8], half: bool) {
    if !half {
        for (i, out) in bytemuck::cast_slice_mut::<u8, f32>(out).chunks_exact_mut(w.k).enumerate() {
            w.dequantize(first + i, out);
        }
        return;
    }
    let mut row = vec![0_f32; w.k];
    for (i, out) in bytemuck::cast_slice_mut::<u8, bf16>(out).chunks_exact_mut(w.k).enumerate() {
        w.dequantize(first + i, &mut row);
        out.iter_mut().zip(&row).for_each(|(out, &x)| *out = super::epilogue::round_bf16(x));
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
unsafe fn fill_avx512(w: &QuantizedMat<'_>, first: usize, out: &mut [u8], half: bool) {
    // SAFETY: forwarded.
    unsafe { fill(w, first, out, half) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn fill_avx2(w: &QuantizedMat<'_>, first: usize, out: &mut [u8], half: bool) {
    // SAFETY: forwarded.
    unsafe { fill(w, first, out, half) }
}

unsafe fn stream(isa: Isa, g: &Gemm<'_>, w: &QuantizedMat<'_>) -> Result<()> {
    // SAFETY: forwarded. f32 stands for "in order": quantised weights come out in order.
    let ((x, x_stride), (_bias_memory, bias)) =
        unsafe { (gemv::rows_f32(isa, g.a, g.m, g.k, DType::F32)?, super::bias_f32(g)?) };
    let bias = bias as usize;
    let x = x.as_slice::<f32>();
    let step = gemv::outputs_per_task(w.n, w.bits.bytes(w.k) + w.k / w.group * 4);
    parallel_for(w.n.div_ceil(step), |t| {
        let (j0, j1) = (t * step, w.n.min((t + 1) * step));
        let mut out = [[0_f32; gemv::MAX_OUTPUTS]; gemv::MAX_ROWS];
        let dot = gemv::quantized::Dot {
            data: &w.data[j0 * w.bits.bytes(w.k)..j1 * w.bits.bytes(w.k)],
            scales: &w.scales[j0 * (w.k / w.group)..j1 * (w.k / w.group)],
            k: w.k,
            group: w.group,
            four: w.bits == Bits::Four,
            x,
            x_stride,
            m: g.m,
        };
        gemv::quantized::dot(isa, &dot, j1 - j0, &mut out);
        for (i, out) in out.iter_mut().enumerate().take(g.m) {
            // SAFETY: columns j0..j1 belong to this task; the bias has n values (caller).
            unsafe {
                let bias = if bias == 0 { std::ptr::null() } else { (bias as *const f32).add(j0) };
                finish_row(isa, g, &mut out[..j1 - j0], i, j0, bias);
            }
        }
    });
    Ok(())
}
