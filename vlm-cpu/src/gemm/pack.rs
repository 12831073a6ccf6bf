//! Bringing operands into the layout and type kernels read.

use super::kernel::Kernel;
#[cfg(target_arch = "x86_64")]
use crate::cpu_features::Isa;
use half::{bf16, f16};
use vlm_core::DType;

/// One operand as the driver sees it: `len` outputs, each a line along the reduction.
#[derive(Clone, Copy)]
pub(super) struct Side {
    pub ptr: *const u8,
    pub dtype: DType,
    /// Outputs (rows of `a`, columns of `b`).
    pub len: usize,
    /// Elements between outputs.
    pub stride: isize,
    /// Elements along the reduction.
    pub k_stride: isize,
}

// SAFETY: tasks of one product share the pointer for reading; its caller vouches for the memory.
unsafe impl Sync for Side {}
// SAFETY: as above.
unsafe impl Send for Side {}

impl Side {
    pub(super) fn at(&self, output: usize, k: usize) -> *const u8 {
        let offset = output as isize * self.stride + k as isize * self.k_stride;
        self.ptr.wrapping_offset(offset * self.dtype.size() as isize)
    }
}

/// One f32, f16 or bf16 element as f32.
///
/// # Safety
/// The element lies in readable memory; `dtype` is one of the three.
#[inline(always)]
pub(crate) unsafe fn load(ptr: *const u8, dtype: DType, at: isize) -> f32 {
    // SAFETY: forwarded.
    unsafe {
        match dtype {
            DType::F32 => ptr.cast::<f32>().offset(at).read_unaligned(),
            DType::F16 => ptr.cast::<f16>().offset(at).read_unaligned().to_f32(),
            _ => ptr.cast::<bf16>().offset(at).read_unaligned().to_f32(),
        }
    }
}

/// Packs elements `k0..k0 + kc` of outputs `o0..o0 + n` as one panel `cols` wide; what is missing becomes zero.
///
/// The panel has `ceil(kc / k_align) * k_align` elements along the reduction: unit by unit `cols` lanes, or, for tiled
/// kernels, 16 units × 16 lanes at a time.
///
/// # Safety
/// The elements exist; `dst` has room for the panel and no other user; the kernel's level is available.
pub(super) unsafe fn panel(
    kernel: &Kernel,
    side: &Side,
    (o0, n): (usize, usize),
    (k0, kc): (usize, usize),
    cols: usize,
    dst: *mut u8,
) {
    let units = kc.div_ceil(kernel.k_align()) * kernel.unit_align;
    let place = |u: usize, j: usize| match kernel.tiled {
        false => u * cols + j,
        true => (u / 16) * 16 * cols + (j / 16) * 256 + (u % 16) * 16 + j % 16,
    };
    #[cfg(target_arch = "x86_64")]
    if kernel.isa >= Isa::Avx512 && (side.stride == 1 || side.k_stride == 1) {
        for j in (0..cols).step_by(16) {
            for u in (0..units).step_by(16) {
                let block = super::pack_avx512::Block {
                    src: side.at(o0 + j, k0 + u * kernel.per_unit()),
                    dtype: side.dtype,
                    stride: side.stride,
                    k_stride: side.k_stride,
                    outputs: n.saturating_sub(j).min(16),
                    elements: kc.saturating_sub(u * kernel.per_unit()).min(16 * kernel.per_unit()),
                    ahead: 16,
                    ld: if kernel.tiled { 16 } else { cols },
                    lines: (units - u).min(16),
                };
                // SAFETY: the block covers existing elements only; `lines` units of 16 lanes fit the panel.
                unsafe { super::pack_avx512::block(&block, kernel.compute, true, dst.cast::<u32>().add(place(u, j))) };
            }
        }
        return;
    }
    for u in 0..units {
        for j in 0..cols {
            // SAFETY: `unit` reads existing elements only; the index is inside the panel.
            unsafe { *dst.cast::<u32>().add(place(u, j)) = unit(kernel, side, o0 + j, j < n, k0, u, kc) };
        }
    }
}

/// Stages elements `k0..k0 + kc` of outputs `o0..o0 + n` as `mr` rows of `ld` units, zero-filled.
///
/// # Safety
/// As [`panel`]; `dst` has room for `mr` × `ld` units, `ld` a multiple of 16.
pub(super) unsafe fn rows(
    kernel: &Kernel,
    side: &Side,
    (o0, n): (usize, usize),
    (k0, kc): (usize, usize),
    ld: usize,
    dst: *mut u8,
) {
    let units = kc.div_ceil(kernel.k_align()) * kernel.unit_align;
    #[cfg(target_arch = "x86_64")]
    if kernel.isa >= Isa::Avx512 && (side.stride == 1 || side.k_stride == 1) {
        for i in (0..kernel.mr).step_by(16) {
            for u in (0..units).step_by(16) {
                let block = super::pack_avx512::Block {
                    src: side.at(o0 + i, k0 + u * kernel.per_unit()),
                    dtype: side.dtype,
                    stride: side.stride,
                    k_stride: side.k_stride,
                    outputs: n.saturating_sub(i).min(16),
                    elements: kc.saturating_sub(u * kernel.per_unit()).min(16 * kernel.per_unit()),
                    ahead: kernel.mr,
                    ld,
                    lines: (kernel.mr - i).min(16),
                };
                // SAFETY: the block covers existing elements only; `lines` rows of 16 units fit because `ld` is a
                // multiple of 16.
                unsafe { super::pack_avx512::block(&block, kernel.compute, false, dst.cast::<u32>().add(i * ld + u)) };
            }
        }
        return;
    }
    for i in 0..kernel.mr {
        for u in 0..units {
            // SAFETY: as in `panel`.
            unsafe { *dst.cast::<u32>().add(i * ld + u) = unit(kernel, side, o0 + i, i < n, k0, u, kc) };
        }
    }
}

/// The bits of unit `u` of a block of `kc` elements from `k0` on.
#[inline(always)]
unsafe fn unit(kernel: &Kernel, side: &Side, output: usize, exists: bool, k0: usize, u: usize, kc: usize) -> u32 {
    let element = |e: usize| {
        if exists && e < kc {
            // SAFETY: the element exists.
            unsafe { load(side.at(output, k0 + e), side.dtype, 0) }
        } else {
            0.0
        }
    };
    if kernel.per_unit() == 1 {
        element(u).to_bits()
    } else {
        // bf16 kernels take bf16 operands alone, so taking the upper half back is exact.
        element(2 * u).to_bits() >> 16 | element(2 * u + 1).to_bits() & 0xffff_0000
    }
}

/// Whether the rows of this side can be read in place by the kernel.
pub(super) fn in_place(kernel: &Kernel, side: &Side) -> bool {
    side.k_stride == 1 && side.stride > 0 && side.dtype == kernel.compute
}
