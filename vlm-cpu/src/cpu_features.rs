//! What this processor can do, found out once.
//!
//! Kernels are chosen by [`Isa`] level. Every kernel entry point also takes the level as an argument, so that tests
//! run all the levels the machine has; normal callers pass [`Isa::current`].

use std::fmt;
use std::sync::OnceLock;

/// A level of vector instructions. Each level contains the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Isa {
    /// Whatever the compiler makes of plain Rust: every architecture.
    Portable,
    /// x86-64 with AVX2, FMA and F16C.
    Avx2,
    /// AVX-512 F, BW, DQ and VL.
    Avx512,
    /// [`Isa::Avx512`] with the bfloat16 dot product `vdpbf16ps`.
    Avx512Bf16,
    /// [`Isa::Avx512Bf16`] with AMX tiles for bfloat16, usable by this process.
    Amx,
}

impl Isa {
    /// Every level, lowest first.
    pub const ALL: [Isa; 5] = [Isa::Portable, Isa::Avx2, Isa::Avx512, Isa::Avx512Bf16, Isa::Amx];

    /// The highest level of this machine.
    pub fn detected() -> Isa {
        cpu().isa
    }

    /// The level kernels run at: [`Isa::detected`], lowered by the environment variable `VLM_CPU_ISA`
    /// (`portable`, `avx2`, `avx512`, `avx512bf16`, `amx`), which is read once.
    pub fn current() -> Isa {
        static CURRENT: OnceLock<Isa> = OnceLock::new();
        *CURRENT.get_or_init(|| {
            let detected = Isa::detected();
            let Ok(text) = std::env::var("VLM_CPU_ISA") else { return detected };
            match Isa::ALL.into_iter().find(|isa| isa.name() == text.to_ascii_lowercase()) {
                Some(asked) if asked <= detected => asked,
                Some(asked) => {
                    tracing::warn!("VLM_CPU_ISA={asked} is more than this machine has; using {detected}");
                    detected
                }
                None => {
                    let names = Isa::ALL.map(Isa::name).join(", ");
                    tracing::warn!("VLM_CPU_ISA={text:?} is unknown (use one of {names}); using {detected}");
                    detected
                }
            }
        })
    }

    /// The levels this machine can run, lowest first.
    pub fn available() -> impl Iterator<Item = Isa> {
        Isa::ALL.into_iter().filter(|&isa| isa <= Isa::detected())
    }

    /// The name as `VLM_CPU_ISA` takes it.
    pub const fn name(self) -> &'static str {
        match self {
            Isa::Portable => "portable",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
            Isa::Avx512Bf16 => "avx512bf16",
            Isa::Amx => "amx",
        }
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Facts about the processor that block sizes and kernel choice depend on.
#[derive(Clone, Copy, Debug)]
pub struct Cpu {
    /// The highest usable level.
    pub isa: Isa,
    /// Whether `vdpbf16ps` beats converting to f32 and multiplying there.
    ///
    /// AMD executes it at the rate of an f32 FMA, so it does twice the work (Zen 4: 447 against 224 GFLOP/s on two
    /// cores). Intel's Sapphire Rapids runs it at less than half that rate (234 against 420), and has AMX for bulk
    /// work. The vendor decides, not a timing, so that one machine always computes the same bits.
    pub fast_vdpbf16: bool,
    /// Bytes of first-level data cache per core.
    pub l1d: usize,
    /// Bytes of second-level cache per core.
    pub l2: usize,
}

/// The processor this process runs on.
pub fn cpu() -> &'static Cpu {
    static CPU: OnceLock<Cpu> = OnceLock::new();
    CPU.get_or_init(detect)
}

#[cfg(not(target_arch = "x86_64"))]
fn detect() -> Cpu {
    Cpu { isa: Isa::Portable, fast_vdpbf16: false, l1d: 64 << 10, l2: 1 << 20 }
}

#[cfg(target_arch = "x86_64")]
fn detect() -> Cpu {
    let amd = x86::vendor() == *b"AuthenticAMD";
    let (l1d, l2) = x86::caches(amd);
    Cpu { isa: x86::isa(), fast_vdpbf16: amd, l1d, l2 }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Isa;
    use std::arch::x86_64::{__cpuid, __cpuid_count};

    pub(super) fn isa() -> Isa {
        if !(is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c")
            && is_x86_feature_detected!("bmi2"))
        {
            return Isa::Portable;
        }
        if !(is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl"))
        {
            return Isa::Avx2;
        }
        match is_x86_feature_detected!("avx512bf16") {
            false => Isa::Avx512,
            true if amx() => Isa::Amx,
            true => Isa::Avx512Bf16,
        }
    }

    pub(super) fn vendor() -> [u8; 12] {
        let r = __cpuid(0);
        let mut name = [0; 12];
        for (part, reg) in name.chunks_exact_mut(4).zip([r.ebx, r.edx, r.ecx]) {
            part.copy_from_slice(&reg.to_le_bytes());
        }
        name
    }

    /// AMX needs the instruction set (leaf 7: tile = bit 24, bf16 = bit 22 of edx), palette 1 with eight tiles of
    /// 1 KiB, and the kernel's permission to use the tile state, which it grants per process. A refusal (an old
    /// kernel, a sandbox) counts as absence.
    fn amx() -> bool {
        let edx = __cpuid_count(7, 0).edx;
        if __cpuid(0).eax < 0x1d || edx & (1 << 24) == 0 || edx & (1 << 22) == 0 {
            return false;
        }
        let palette = __cpuid_count(0x1d, 1);
        let (tile_bytes, tiles, row_bytes, rows) =
            (palette.eax >> 16, palette.ebx >> 16, palette.ebx & 0xffff, palette.ecx & 0xffff);
        (tile_bytes, tiles, row_bytes, rows) == (1024, 8, 64, 16) && tile_permission()
    }

    #[cfg(target_os = "linux")]
    fn tile_permission() -> bool {
        const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
        const XFEATURE_XTILEDATA: libc::c_long = 18;
        // SAFETY: arch_prctl with this code takes a plain number, touches no memory of ours and reports refusal.
        unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0 }
    }

    #[cfg(not(target_os = "linux"))]
    fn tile_permission() -> bool {
        false
    }

    /// Level 1 data and level 2 cache sizes from the deterministic cache parameters (leaf 4; AMD: 0x8000001d).
    pub(super) fn caches(amd: bool) -> (usize, usize) {
        let (leaf, highest) = if amd { (0x8000_001d, __cpuid(0x8000_0000).eax) } else { (4, __cpuid(0).eax) };
        let (mut l1d, mut l2) = (32 << 10, 1 << 20);
        for i in 0..if highest >= leaf { 16 } else { 0 } {
            let r = __cpuid_count(leaf, i);
            let kind = r.eax & 0x1f;
            if kind == 0 {
                break;
            }
            let ways = (r.ebx >> 22) as usize + 1;
            let partitions = (r.ebx >> 12 & 0x3ff) as usize + 1;
            let line = (r.ebx & 0xfff) as usize + 1;
            let size = ways * partitions * line * (r.ecx as usize + 1);
            match (r.eax >> 5 & 7, kind) {
                (1, 1) => l1d = size,
                (2, 1 | 3) => l2 = size,
                _ => {}
            }
        }
        (l1d.clamp(16 << 10, 256 << 10), l2.clamp(256 << 10, 4 << 20))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_ordered_and_the_current_one_is_available() {
        assert!(Isa::ALL.is_sorted());
        assert!(Isa::available().any(|isa| isa == Isa::current()));
        assert!(cpu().l1d >= 16 << 10 && cpu().l2 > cpu().l1d);
    }
}
