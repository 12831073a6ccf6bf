//! What a register kernel is, and which one a product uses.

use super::{kernel_portable, kernel_x86};
use crate::cpu_features::{Isa, cpu};
use vlm_core::DType;

/// One register tile's work: `acc[i][j] (+)= Σ_u p[i][u] · q[u][j]`.
///
/// A *unit* is four bytes along the reduced dimension: one f32, or two consecutive bf16.
pub(super) struct TileArgs {
    /// Units to reduce over, a multiple of the kernel's `unit_align`.
    pub units: usize,
    /// `mr` rows of units, contiguous along the reduction.
    pub p: *const u8,
    /// Bytes between rows of `p`.
    pub p_stride: usize,
    /// A packed panel: for each unit `cols` lanes (see [`Kernel::tiled`] for the AMX order).
    pub q: *const u8,
    /// Width of the panel: a multiple of `vec`, at most `nr`.
    pub cols: usize,
    /// `mr` × `nr` f32.
    pub acc: *mut f32,
    /// f32 between rows of `acc`; always `nr` for tiled kernels.
    pub acc_stride: usize,
    /// Whether to add to `acc` or to overwrite it.
    pub add: bool,
    /// Where rows that are needed soon begin (same stride as `p`), for prefetching; may point anywhere.
    pub next: *const u8,
    /// How many rows at `next` to prefetch.
    pub next_rows: usize,
}

/// A register kernel and the facts that packing and blocking need to know about it.
pub(super) struct Kernel {
    /// The vector level of the code around the kernel (packing, epilogue).
    pub isa: Isa,
    /// Rows of a register tile.
    pub mr: usize,
    /// Columns of a register tile.
    pub nr: usize,
    /// Granularity of panel widths.
    pub vec: usize,
    /// The element type both operands are packed to: f32 or bf16.
    pub compute: DType,
    /// Units come in multiples of this.
    pub unit_align: usize,
    /// Whether panels are packed as AMX tiles: 16 units × 16 lanes at a time.
    pub tiled: bool,
    /// The most elements along the reduction that one block has.
    pub kc: usize,
    /// The rows one task should have at least.
    pub task_rows: usize,
    /// Computes one register tile.
    pub run: unsafe fn(&TileArgs),
}

impl Kernel {
    /// Elements of the reduction per unit.
    pub(super) fn per_unit(&self) -> usize {
        if self.compute == DType::BF16 { 2 } else { 1 }
    }

    /// Elements of the reduction that a block's length is padded to.
    pub(super) fn k_align(&self) -> usize {
        self.unit_align * self.per_unit()
    }

    /// The kernel for operands of these types, which are f32, f16 or bf16.
    pub(super) fn choose(isa: Isa, a: DType, b: DType) -> &'static Kernel {
        let bf16 = a == DType::BF16 && b == DType::BF16;
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Amx if bf16 => &super::kernel_amx::BF16,
            #[cfg(target_arch = "x86_64")]
            Isa::Amx | Isa::Avx512Bf16 if bf16 && cpu().fast_vdpbf16 => &kernel_x86::AVX512_BF16,
            #[cfg(target_arch = "x86_64")]
            Isa::Amx | Isa::Avx512Bf16 | Isa::Avx512 => &kernel_x86::AVX512_F32,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => &kernel_x86::AVX2_F32,
            _ => &kernel_portable::F32,
        }
    }
}
