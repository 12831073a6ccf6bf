//! Products with few rows, which read the other operand once: bound by memory, not arithmetic.
//!
//! Each thread reads one contiguous stretch of the weights from front to back, with prefetching ahead of it. The few
//! rows are converted to f32 beforehand, so every weight type is multiplied in f32.

mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

use crate::alloc::Buffer;
use crate::cpu_features::Isa;
use crate::gemm::{Gemm, bias_f32, finish_row, load};
use crate::threads::parallel_for;
use vlm_core::Result;

/// The most outputs one task computes.
const MAX_OUTPUTS: usize = 256;
/// The most rows of `a`.
pub(crate) const MAX_ROWS: usize = 8;
/// Below this many bytes of weights everything stays on the calling thread.
const SERIAL_BYTES: usize = 48 << 10;

/// Whether `g` is a product for this module: up to `rows` rows, and the other operand readable front to back.
pub(crate) fn takes(g: &Gemm<'_>, rows: usize) -> bool {
    g.m <= rows && (g.b.row_stride == 1 && g.b.col_stride != 0 || g.m == 1 && g.b.col_stride == 1)
}

/// Computes `g`, for which [`takes`] holds. Types are f32, f16 or bf16.
///
/// # Safety
/// As [`crate::gemm::gemm`].
pub(crate) unsafe fn product(isa: Isa, g: &Gemm<'_>) -> Result<()> {
    // SAFETY: forwarded.
    unsafe { if g.b.row_stride == 1 { dots(isa, g) } else { sums(isa, g) } }
}

/// Rows of weights, contiguous along the reduction, times the rows of `x`.
pub(crate) struct Dot {
    /// First weight row of the task.
    pub w: *const u8,
    pub dtype: vlm_core::DType,
    /// Bytes between weight rows.
    pub row_bytes: isize,
    pub k: usize,
    /// `m` rows of f32, `x_stride` apart, zero from `k` on, in the order [`order`] says.
    pub x: *const f32,
    pub x_stride: usize,
    pub m: usize,
}

/// Where element `l` of a row of `x` is kept. Two neighbouring bf16 come out of one 32-bit lane, so each block of two
/// vectors holds first the even elements, then the odd ones.
fn order(isa: Isa, dtype: vlm_core::DType, l: usize) -> usize {
    let lanes = lanes(isa);
    if dtype == vlm_core::DType::BF16 && lanes > 1 {
        l / (2 * lanes) * (2 * lanes) + l % 2 * lanes + l % (2 * lanes) / 2
    } else {
        l
    }
}

fn lanes(isa: Isa) -> usize {
    match isa {
        Isa::Portable => 1,
        Isa::Avx2 => 8,
        Isa::Avx512 | Isa::Avx512Bf16 | Isa::Amx => 16,
    }
}

/// How many outputs a task computes: 16 to 128 KiB of weights, so that threads share the work evenly and yet read long
/// stretches.
fn outputs_per_task(n: usize, row_bytes: usize) -> usize {
    let bytes = (n * row_bytes / 32).clamp(16 << 10, 128 << 10);
    (bytes / row_bytes.max(1)).clamp(1, MAX_OUTPUTS)
}

/// `x` as f32 in the order kernels want.
pub(crate) unsafe fn rows_f32(isa: Isa, g: &Gemm<'_>, dtype: vlm_core::DType) -> Result<(Buffer, usize)> {
    let stride = g.k.next_multiple_of(64);
    let mut buffer = Buffer::zeroed(g.m * stride * 4)?;
    let x = buffer.as_mut_slice::<f32>();
    for i in 0..g.m {
        for l in 0..g.k {
            let at = i as isize * g.a.row_stride + l as isize * g.a.col_stride;
            // SAFETY: an element of `a` (caller).
            x[i * stride + order(isa, dtype, l)] = unsafe { load(g.a.ptr, g.a.dtype, at) };
        }
    }
    Ok((buffer, stride))
}

unsafe fn dots(isa: Isa, g: &Gemm<'_>) -> Result<()> {
    // SAFETY: forwarded.
    let ((x, x_stride), (_bias_memory, bias)) = unsafe { (rows_f32(isa, g, g.b.dtype)?, bias_f32(g)?) };
    let x = x.as_ptr() as usize;
    let bias = bias as usize;
    let row_bytes = g.b.col_stride * g.b.dtype.size() as isize;
    let step = outputs_per_task(g.n, g.k * g.b.dtype.size());
    let task = |t: usize| {
        let (j0, j1) = (t * step, g.n.min((t + 1) * step));
        let dot = Dot {
            w: g.b.ptr.wrapping_offset(j0 as isize * row_bytes),
            dtype: g.b.dtype,
            row_bytes,
            k: g.k,
            x: x as *const f32,
            x_stride,
            m: g.m,
        };
        let mut out = [[0_f32; MAX_OUTPUTS]; MAX_ROWS];
        // SAFETY: weight rows j0..j1 exist; `x` lives until the tasks are done; outputs j0..j1 belong to this task.
        unsafe {
            dot_rows(isa, &dot, j1 - j0, &mut out);
            for i in 0..g.m {
                let bias = if bias == 0 { std::ptr::null() } else { (bias as *const f32).add(j0) };
                finish_row(isa, g, &mut out[i][..j1 - j0], i, j0, bias);
            }
        }
    };
    run(g.n.div_ceil(step), g.n * g.k * g.b.dtype.size(), task);
    Ok(())
}

fn run(n: usize, bytes: usize, task: impl Fn(usize) + Sync) {
    if bytes < SERIAL_BYTES { (0..n).for_each(task) } else { parallel_for(n, task) }
}

unsafe fn dot_rows(isa: Isa, dot: &Dot, n: usize, out: &mut [[f32; MAX_OUTPUTS]; MAX_ROWS]) {
    // SAFETY: forwarded; the features belong to the level.
    unsafe {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 | Isa::Avx512Bf16 | Isa::Amx => x86::dot_avx512(dot, n, out),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => x86::dot_avx2(dot, n, out),
            _ => portable::dot(dot, n, out),
        }
    }
}

/// One row times a matrix that is contiguous along the outputs: a weighted sum of its rows.
unsafe fn sums(isa: Isa, g: &Gemm<'_>) -> Result<()> {
    // SAFETY: forwarded.
    let (_bias_memory, bias) = unsafe { bias_f32(g)? };
    let bias = bias as usize;
    let task = |t: usize| {
        let (j0, j1) = (t * MAX_OUTPUTS, g.n.min((t + 1) * MAX_OUTPUTS));
        let mut row = [0_f32; MAX_OUTPUTS];
        // SAFETY: columns j0..j1 of `b` and of the result exist and the latter belong to this task.
        unsafe {
            weighted(isa, g, j0, &mut row[..j1 - j0]);
            let bias = if bias == 0 { std::ptr::null() } else { (bias as *const f32).add(j0) };
            finish_row(isa, g, &mut row[..j1 - j0], 0, j0, bias);
        }
    };
    run(g.n.div_ceil(MAX_OUTPUTS), g.n * g.k * g.b.dtype.size(), task);
    Ok(())
}

unsafe fn weighted(isa: Isa, g: &Gemm<'_>, j0: usize, row: &mut [f32]) {
    // SAFETY: forwarded; the features belong to the level.
    unsafe {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 | Isa::Avx512Bf16 | Isa::Amx => x86::weighted_avx512(g, j0, row),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => x86::weighted_avx2(g, j0, row),
            _ => portable::weighted(g, j0, row),
        }
    }
}
