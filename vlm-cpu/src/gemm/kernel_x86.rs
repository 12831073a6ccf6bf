//! AVX2 and AVX-512 register kernels.
//!
//! The rows of `p` are read as broadcasts straight from the caller's matrix, so the larger operand of a linear layer
//! (its weights) is never packed: it streams through once, prefetched while the tile before it is computed.

use super::kernel::{Kernel, TileArgs};
use crate::cpu_features::Isa;
use std::arch::x86_64::*;
use vlm_core::DType;

/// 8 × 48 f32: 24 accumulators, 3 loads and 8 broadcasts for 24 fused multiply-adds.
pub(super) static AVX512_F32: Kernel = Kernel {
    isa: Isa::Avx512,
    mr: 8,
    nr: 48,
    vec: 16,
    compute: DType::F32,
    unit_align: 1,
    tiled: false,
    kc: 768,
    task_rows: 48,
    run: avx512_f32,
};

/// 8 × 48 with pairs of bf16 in place of f32.
pub(super) static AVX512_BF16: Kernel = Kernel {
    isa: Isa::Avx512Bf16,
    mr: 8,
    nr: 48,
    vec: 16,
    compute: DType::BF16,
    unit_align: 1,
    tiled: false,
    kc: 1536,
    task_rows: 48,
    run: avx512_bf16,
};

/// 4 × 24 f32: 12 accumulators of the 16 registers.
pub(super) static AVX2_F32: Kernel = Kernel {
    isa: Isa::Avx2,
    mr: 4,
    nr: 24,
    vec: 8,
    compute: DType::F32,
    unit_align: 1,
    tiled: false,
    kc: 512,
    task_rows: 48,
    run: avx2_f32,
};

macro_rules! kernel {
    ($name:ident, $tile:ident, $features:literal, $mr:literal, $vec:literal, $pvec:ty, $zero:ident, $load:expr,
     $broadcast:expr, $fma:expr, $acc_load:ident, $acc_store:ident, $add:ident) => {
        /// # Safety
        /// The processor has the features; pointers are valid as [`TileArgs`] says.
        unsafe fn $name(args: &TileArgs) {
            // SAFETY: forwarded; `cols` is one, two or three vectors.
            unsafe {
                match args.cols / $vec {
                    1 => $tile::<1>(args),
                    2 => $tile::<2>(args),
                    _ => $tile::<3>(args),
                }
            }
        }

        #[target_feature(enable = $features)]
        unsafe fn $tile<const NV: usize>(args: &TileArgs) {
            // SAFETY: `p` has MR rows of `units` units, `q` `units` rows of NV vectors, `acc` MR rows of three vectors;
            // prefetches touch no memory architecturally.
            unsafe {
                let mut acc = [[$zero(); NV]; $mr];
                let stride = args.p_stride;
                let mut p = args.p;
                let mut q = args.q;
                let step = |p: *const u8, q: *const u8, acc: &mut [[_; NV]; $mr]| {
                    let mut b = [<$pvec>::default_zero(); NV];
                    for v in 0..NV {
                        b[v] = $load(q.add(v * 4 * $vec));
                    }
                    for i in 0..$mr {
                        let a = $broadcast(p.add(i * stride));
                        for v in 0..NV {
                            acc[i][v] = $fma(acc[i][v], a, b[v]);
                        }
                    }
                };
                let mut next = args.next;
                for g in 0..args.units / 4 {
                    // Four units use a quarter of a line of each row, so four rows get a line each every four groups.
                    if g % 4 < args.next_rows {
                        _mm_prefetch::<_MM_HINT_T1>(next.add((g % 4) * stride).cast());
                    }
                    if g % 4 == 3 {
                        next = next.add(64);
                    }
                    for u in 0..4 {
                        step(p.add(u * 4), q.add(u * 4 * $vec * NV), &mut acc);
                    }
                    p = p.add(16);
                    q = q.add(16 * $vec * NV);
                }
                for u in 0..args.units % 4 {
                    step(p.add(u * 4), q.add(u * 4 * $vec * NV), &mut acc);
                }
                for i in 0..$mr {
                    for v in 0..NV {
                        let dst = args.acc.add(i * args.acc_stride + v * $vec);
                        let sum = if args.add { $add($acc_load(dst), acc[i][v]) } else { acc[i][v] };
                        $acc_store(dst, sum);
                    }
                }
            }
        }
    };
}

/// A zero of an operand register, to initialise arrays with.
trait DefaultZero {
    fn default_zero() -> Self;
}

macro_rules! default_zero {
    ($($t:ty),*) => {$(
        impl DefaultZero for $t {
            #[inline(always)]
            fn default_zero() -> Self {
                // SAFETY: vector registers are plain bits; all zero is a valid value.
                unsafe { std::mem::zeroed() }
            }
        }
    )*};
}
default_zero!(__m512, __m512bh, __m256);

kernel!(
    avx512_f32,
    avx512_f32_tile,
    "avx512f,avx512bw,avx512dq,avx512vl",
    8,
    16,
    __m512,
    _mm512_setzero_ps,
    |q: *const u8| _mm512_loadu_ps(q.cast()),
    |p: *const u8| _mm512_set1_ps(p.cast::<f32>().read_unaligned()),
    |acc, a, b| _mm512_fmadd_ps(a, b, acc),
    _mm512_loadu_ps,
    _mm512_storeu_ps,
    _mm512_add_ps
);

kernel!(
    avx512_bf16,
    avx512_bf16_tile,
    "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16",
    8,
    16,
    __m512bh,
    _mm512_setzero_ps,
    |q: *const u8| std::mem::transmute::<__m512i, __m512bh>(_mm512_loadu_si512(q.cast())),
    |p: *const u8| std::mem::transmute::<__m512i, __m512bh>(_mm512_set1_epi32(p.cast::<i32>().read_unaligned())),
    |acc, a, b| _mm512_dpbf16_ps(acc, a, b),
    _mm512_loadu_ps,
    _mm512_storeu_ps,
    _mm512_add_ps
);

kernel!(
    avx2_f32,
    avx2_f32_tile,
    "avx2,fma",
    4,
    8,
    __m256,
    _mm256_setzero_ps,
    |q: *const u8| _mm256_loadu_ps(q.cast()),
    |p: *const u8| _mm256_set1_ps(p.cast::<f32>().read_unaligned()),
    |acc, a, b| _mm256_fmadd_ps(a, b, acc),
    _mm256_loadu_ps,
    _mm256_storeu_ps,
    _mm256_add_ps
);
