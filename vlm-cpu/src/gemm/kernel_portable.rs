//! The register kernel for every architecture: arrays small enough for the compiler to keep in registers.

use super::kernel::{Kernel, TileArgs};
use crate::cpu_features::Isa;
use vlm_core::DType;

const MR: usize = 4;
const NR: usize = 16;

/// 4 × 16 f32.
pub(super) static F32: Kernel = Kernel {
    isa: Isa::Portable,
    mr: MR,
    nr: NR,
    vec: 4,
    compute: DType::F32,
    unit_align: 1,
    tiled: false,
    kc: 512,
    task_rows: 48,
    run: tile,
};

/// # Safety
/// As [`TileArgs`] says: all pointers valid for the stated extents.
unsafe fn tile(args: &TileArgs) {
    // SAFETY: forwarded; `cols` is one of the four widths.
    unsafe {
        match args.cols {
            4 => tile_n::<4>(args),
            8 => tile_n::<8>(args),
            12 => tile_n::<12>(args),
            _ => tile_n::<NR>(args),
        }
    }
}

unsafe fn tile_n<const N: usize>(args: &TileArgs) {
    let mut acc = [[0_f32; N]; MR];
    let p = args.p.cast::<f32>();
    let q = args.q.cast::<[f32; N]>();
    let stride = args.p_stride / 4;
    for u in 0..args.units {
        // SAFETY: `q` holds `units` rows of N lanes; `p` holds MR rows of `units`.
        unsafe {
            let b = q.add(u).read_unaligned();
            for (i, row) in acc.iter_mut().enumerate() {
                let a = p.add(i * stride + u).read_unaligned();
                for (x, b) in row.iter_mut().zip(b) {
                    *x += a * b;
                }
            }
        }
    }
    for (i, row) in acc.iter().enumerate() {
        for (j, x) in row.iter().enumerate() {
            // SAFETY: `acc` has MR rows and j < N <= NR.
            unsafe {
                let dst = args.acc.add(i * args.acc_stride + j);
                *dst = if args.add { *dst + x } else { *x };
            }
        }
    }
}
