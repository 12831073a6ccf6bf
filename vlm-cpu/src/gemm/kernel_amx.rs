//! The AMX register kernel: 32 × 32 f32 in four tiles, bf16 operands.
//!
//! The intrinsics are unstable, so the tile instructions are written as assembly with fixed tile numbers: 0 to 3 hold
//! the result, 4 and 5 two groups of 16 rows of `p`, 6 and 7 two groups of 16 columns of `q`. All tiles have the full
//! 16 rows of 64 bytes, so one configuration serves every call.

use super::kernel::{Kernel, TileArgs};
use crate::cpu_features::Isa;
use std::arch::asm;
use vlm_core::DType;

/// 32 × 32, 32 bf16 along the reduction per step.
pub(super) static BF16: Kernel = Kernel {
    isa: Isa::Amx,
    mr: 32,
    nr: 32,
    vec: 16,
    compute: DType::BF16,
    unit_align: 16,
    tiled: true,
    kc: 1536,
    task_rows: 32,
    run: tile,
};

/// The thread's tile configuration, released when dropped.
pub(super) struct TileConfig(());

#[repr(C, align(64))]
struct Palette {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

impl TileConfig {
    /// Configures the calling thread's tiles.
    ///
    /// # Safety
    /// The level [`Isa::Amx`] was detected, which includes the kernel's permission.
    pub(super) unsafe fn load() -> TileConfig {
        let mut config = Palette { palette: 1, start_row: 0, reserved: [0; 14], row_bytes: [0; 16], rows: [0; 16] };
        config.row_bytes[..8].fill(64);
        config.rows[..8].fill(16);
        // SAFETY: reads the 64 bytes of `config`; tile registers are used by this module alone.
        unsafe {
            asm!("ldtilecfg [{}]", in(reg) &raw const config, options(nostack, readonly, preserves_flags),
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _);
        }
        TileConfig(())
    }
}

impl Drop for TileConfig {
    fn drop(&mut self) {
        // SAFETY: the tiles were configured by `load` on this thread (the type is used within one task only).
        unsafe {
            asm!("tilerelease", options(nomem, nostack, preserves_flags),
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _);
        }
    }
}

/// # Safety
/// A [`TileConfig`] is loaded; pointers are valid as [`TileArgs`] says, `units` is a multiple of 16.
unsafe fn tile(args: &TileArgs) {
    let steps = args.units / 16;
    // SAFETY: the loops read `steps` × 64 bytes of 32 rows at `p` and `steps` packed tiles (one or two wide) at `q`,
    // and read and write 32 rows of 128 bytes at `acc`; prefetches touch no memory architecturally.
    unsafe {
        if args.cols == 16 {
            narrow(args, steps);
        } else {
            wide(args, steps);
        }
    }
}

/// One assembly block from the first accumulator to the last store, so that tile contents never have to survive
/// between blocks. `$step` advances `p0`, `p1` and `q` by one step of 32 elements.
macro_rules! tile_loop {
    (init: $($init:literal)*; load: $($load:literal)*; step: $($step:literal)*; store: $($store:literal)*;
     $($operands:tt)*) => {
        asm!(
            "test {add}, {add}",
            "jz 2f",
            $($load,)*
            "jmp 3f",
            "2:",
            $($init,)*
            "3:",
            $($step,)*
            "add {p0}, 64",
            "add {p1}, 64",
            "dec {steps}",
            "jnz 3b",
            $($store,)*
            $($operands)*
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack)
        )
    };
}

/// The wide loop with `$a` to `$d` (prefetches) spread over a step.
macro_rules! wide_loop {
    ($args:ident, $steps:ident, [$($a:literal)*] [$($b:literal)*] [$($c:literal)*] [$($d:literal)*] $($operands:tt)*) => {
        tile_loop!(
            init: "tilezero tmm0" "tilezero tmm1" "tilezero tmm2" "tilezero tmm3";
            load: "tileloadd tmm0, [{c} + {cs}]" "tileloadd tmm1, [{c} + {cs} + 64]"
                "tileloadd tmm2, [{c} + {cs} + 2048]" "tileloadd tmm3, [{c} + {cs} + 2112]";
            step: "tileloadd tmm4, [{p0} + {ps}]" "tileloadd tmm6, [{q} + {qs}]" $($a)* "tdpbf16ps tmm0, tmm4, tmm6"
                "tileloadd tmm7, [{q} + {qs} + 1024]" $($b)* "tdpbf16ps tmm1, tmm4, tmm7"
                "tileloadd tmm5, [{p1} + {ps}]" $($c)* "tdpbf16ps tmm2, tmm5, tmm6"
                $($d)* "tdpbf16ps tmm3, tmm5, tmm7" "add {q}, 2048";
            store: "tilestored [{c} + {cs}], tmm0" "tilestored [{c} + {cs} + 64], tmm1"
                "tilestored [{c} + {cs} + 2048], tmm2" "tilestored [{c} + {cs} + 2112], tmm3";
            c = in(reg) $args.acc, cs = in(reg) 128_usize, add = in(reg) usize::from($args.add),
            p0 = inout(reg) $args.p => _, p1 = inout(reg) $args.p.wrapping_add(16 * $args.p_stride) => _,
            ps = in(reg) $args.p_stride, q = inout(reg) $args.q => _, qs = in(reg) 64_usize,
            steps = inout(reg) $steps => _, $($operands)*
        )
    };
}

/// # Safety
/// See [`tile`]; `steps` is not zero.
unsafe fn wide(args: &TileArgs, steps: usize) {
    let row = |i: usize| args.next.wrapping_add(i * args.p_stride);
    // SAFETY: see `tile`.
    unsafe {
        match args.next_rows {
            0 => wide_loop!(args, steps, [] [] [] []),
            1 | 2 => {
                wide_loop!(args, steps, ["prefetcht1 [{next}]"] [] ["prefetcht1 [{next} + {ps}]"] ["add {next}, 64"]
                next = inout(reg) row(0) => _,)
            }
            3 | 4 => wide_loop!(args, steps, ["prefetcht1 [{next}]"] ["prefetcht1 [{next} + {ps}]"]
                ["prefetcht1 [{next} + 2*{ps}]"] ["prefetcht1 [{next3}]" "add {next}, 64" "add {next3}, 64"]
                next = inout(reg) row(0) => _, next3 = inout(reg) row(3) => _,),
            _ => wide_loop!(args, steps, ["prefetcht1 [{next}]" "prefetcht1 [{next} + {ps}]"]
                ["prefetcht1 [{next} + 2*{ps}]" "prefetcht1 [{next3}]"]
                ["prefetcht1 [{next} + 4*{ps}]" "prefetcht1 [{next3} + 2*{ps}]"]
                ["prefetcht1 [{next6}]" "prefetcht1 [{next3} + 4*{ps}]"
                    "add {next}, 64" "add {next3}, 64" "add {next6}, 64"]
                next = inout(reg) row(0) => _, next3 = inout(reg) row(3) => _, next6 = inout(reg) row(6) => _,),
        }
    }
}

/// # Safety
/// See [`tile`]; `steps` is not zero.
unsafe fn narrow(args: &TileArgs, steps: usize) {
    let p1 = args.p.wrapping_add(16 * args.p_stride);
    // SAFETY: see `tile`.
    unsafe {
        tile_loop!(
            init: "tilezero tmm0" "tilezero tmm2";
            load: "tileloadd tmm0, [{c} + {cs}]" "tileloadd tmm2, [{c} + {cs} + 2048]";
            step: "tileloadd tmm4, [{p0} + {ps}]" "tileloadd tmm6, [{q} + {qs}]" "tdpbf16ps tmm0, tmm4, tmm6"
                "tileloadd tmm5, [{p1} + {ps}]" "tdpbf16ps tmm2, tmm5, tmm6"
                "add {q}, 1024";
            store: "tilestored [{c} + {cs}], tmm0" "tilestored [{c} + {cs} + 2048], tmm2";
            c = in(reg) args.acc, cs = in(reg) 128_usize, add = in(reg) usize::from(args.add),
            p0 = inout(reg) args.p => _, p1 = inout(reg) p1 => _, ps = in(reg) args.p_stride,
            q = inout(reg) args.q => _, qs = in(reg) 64_usize, steps = inout(reg) steps => _,
        );
    }
}
