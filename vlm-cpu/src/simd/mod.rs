//! Loops compiled once per instruction set, and functions that such loops turn into vector code.

mod math;

pub(crate) use math::{erf, exp, gelu, gelu_slope, gelu_tanh, gelu_tanh_slope, sigmoid, tanh};

use half::bf16;

/// Compiles a function's body for AVX-512, for AVX2 and for any machine, and calls the one that fits this machine.
///
/// The body is plain Rust over slices; the compiler makes vector code of it. Everything it calls must be
/// `#[inline(always)]` to be compiled along.
macro_rules! simd_fn {
    ($(#[$meta:meta])* $vis:vis fn $name:ident $(<$($g:ident : $bound:path),*>)? ($($arg:ident : $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments)]
        $vis fn $name $(<$($g: $bound),*>)? ($($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            fn plain $(<$($g: $bound),*>)? ($($arg: $ty),*) $(-> $ret)? $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
                fn avx512 $(<$($g: $bound),*>)? ($($arg: $ty),*) $(-> $ret)? { plain($($arg),*) }
                #[target_feature(enable = "avx2,fma,f16c")]
                fn avx2 $(<$($g: $bound),*>)? ($($arg: $ty),*) $(-> $ret)? { plain($($arg),*) }
                use $crate::cpu_features::Isa;
                match Isa::current() {
                    Isa::Portable => plain($($arg),*),
                    // SAFETY: the level is only ever one that this machine has, and it includes these features.
                    Isa::Avx2 => unsafe { avx2($($arg),*) },
                    // SAFETY: as above; every level above AVX2 includes AVX-512 F, BW, DQ and VL.
                    _ => unsafe { avx512($($arg),*) },
                }
            }
            #[cfg(not(target_arch = "x86_64"))]
            plain($($arg),*)
        }
    };
}
pub(crate) use simd_fn;

simd_fn! {
    /// Exact.
    pub(crate) fn widen_bf16(from: &[bf16], to: &mut [f32]) {
        for (t, f) in to.iter_mut().zip(from) {
            *t = f32::from_bits(u32::from(f.to_bits()) << 16);
        }
    }
}

simd_fn! {
    /// To nearest, halves to even; NaN stays NaN.
    pub(crate) fn round_bf16(from: &[f32], to: &mut [bf16]) {
        for (t, f) in to.iter_mut().zip(from) {
            let bits = f.to_bits();
            let rounded = bits.wrapping_add(0x7FFF + ((bits >> 16) & 1)) >> 16;
            let quiet = (bits >> 16) | 0x40;
            *t = bf16::from_bits(if f.is_nan() { quiet } else { rounded } as u16);
        }
    }
}

/// Independent partial sums, so that a reduction needs no order that the hardware would have to keep.
pub(crate) const LANES: usize = 32;

/// The sum of `LANES` partial sums, in a fixed order.
#[inline(always)]
pub(crate) fn total(parts: &[f32; LANES]) -> f32 {
    let mut parts = *parts;
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            parts[i] += parts[i + width];
        }
        width /= 2;
    }
    parts[0]
}

/// The sum of `f` of all elements of two slices of one length.
#[inline(always)]
pub(crate) fn sum2(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut parts = [0.0f32; LANES];
    let (ca, cb) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let (ra, rb) = (ca.remainder(), cb.remainder());
    for (x, y) in ca.zip(cb) {
        for i in 0..LANES {
            parts[i] += f(x[i], y[i]);
        }
    }
    for (i, (x, y)) in ra.iter().zip(rb).enumerate() {
        parts[i] += f(*x, *y);
    }
    total(&parts)
}

/// The sum of `f` of all elements.
#[inline(always)]
pub(crate) fn sum1(a: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    sum2(a, a, |x, _| f(x))
}

/// The largest element; NaN if any is.
#[inline(always)]
pub(crate) fn largest(a: &[f32]) -> f32 {
    let mut parts = [f32::NEG_INFINITY; LANES];
    let mut nan = 0u32;
    let chunks = a.chunks_exact(LANES);
    let rest = chunks.remainder();
    for x in chunks {
        for i in 0..LANES {
            parts[i] = if x[i] > parts[i] { x[i] } else { parts[i] };
            nan |= u32::from(x[i].is_nan());
        }
    }
    for &x in rest {
        parts[0] = if x > parts[0] { x } else { parts[0] };
        nan |= u32::from(x.is_nan());
    }
    if nan != 0 { f32::NAN } else { parts.iter().fold(f32::NEG_INFINITY, |m, &v| m.max(v)) }
}
