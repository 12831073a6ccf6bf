//! What the machine can do at most: loops of nothing but multiply-adds, or nothing but reads.
//!
//! The instructions are those that the kernels would use for the element type: AVX-512 or AVX2 multiply-adds, `vdpbf16ps`
//! for bf16 where there is one. On other machines the limit is that of a plain loop.

use std::hint::black_box;
use std::sync::Barrier;
use std::time::Instant;
use vlm_core::DType;

/// How often each limit is measured; the best counts, because nothing but disturbance makes it smaller.
const RUNS: usize = 5;

/// Multiply-adds of `dtype` on all `threads` together, in GFLOP/s (two operations each).
pub fn gflops(dtype: DType, threads: usize) -> f64 {
    const LOOPS: usize = 4_000_000;
    let burn = burner(dtype);
    together(threads, |_| (), |()| burn(LOOPS) as f64)
}

/// Reads of memory beyond every cache on all `threads` together, in GB/s.
pub fn gb_per_s(threads: usize) -> f64 {
    const BYTES: usize = 256 << 20;
    together(
        threads,
        |_| {
            vlm_cpu::alloc::Buffer::zeroed(BYTES).map(|mut b| {
                // Written once, so that every page is there.
                b.as_bytes_mut().iter_mut().step_by(4096).for_each(|v| *v = 1);
                b
            })
        },
        |buffer| {
            let Ok(buffer) = buffer else { return f64::NAN };
            black_box(read(buffer.as_bytes()));
            BYTES as f64
        },
    )
}

/// The work of all threads in 1e9 per second, where `work` says how much it did.
fn together<S>(threads: usize, prepare: impl Fn(usize) -> S + Sync, work: impl Fn(&mut S) -> f64 + Sync) -> f64 {
    let (start, end) = (Barrier::new(threads), Barrier::new(threads));
    let one = |thread: usize| {
        let mut state = prepare(thread);
        let mut best = 0.0f64;
        for _ in 0..RUNS {
            start.wait();
            let began = Instant::now();
            let done = work(&mut state);
            end.wait();
            best = best.max(done * threads as f64 / began.elapsed().as_secs_f64() / 1e9);
        }
        best
    };
    std::thread::scope(|s| {
        let others: Vec<_> = (1..threads)
            .map(|i| {
                s.spawn({
                    let one = &one;
                    move || one(i)
                })
            })
            .collect();
        let best = one(0);
        others.into_iter().filter_map(|t| t.join().ok()).fold(best, f64::min)
    })
}

fn read(bytes: &[u8]) -> u64 {
    // Four independent streams of additions; the compiler makes vector loads of them.
    let mut sums = [0u64; 32];
    for block in bytes.as_chunks::<256>().0 {
        for (sum, word) in sums.iter_mut().zip(block.as_chunks::<8>().0) {
            *sum ^= u64::from_le_bytes(*word);
        }
    }
    sums.iter().fold(0, |a, b| a ^ b)
}

/// A loop that returns how many floating point operations it did.
fn burner(dtype: DType) -> fn(usize) -> usize {
    #[cfg(target_arch = "x86_64")]
    {
        if dtype == DType::BF16 && is_x86_feature_detected!("avx512bf16") {
            // SAFETY: the instruction set was just found.
            return |n| unsafe { x86::bf16(n) };
        }
        if dtype != DType::F64 && is_x86_feature_detected!("avx512f") {
            // SAFETY: the instruction set was just found.
            return |n| unsafe { x86::avx512(n) };
        }
        if dtype != DType::F64 && is_x86_feature_detected!("fma") && is_x86_feature_detected!("avx2") {
            // SAFETY: the instruction sets were just found.
            return |n| unsafe { x86::avx2(n) };
        }
    }
    match dtype {
        DType::F64 => |n| plain::<f64>(n, 0.999, 1e-3),
        _ => |n| plain::<f32>(n, 0.999, 1e-3),
    }
}

fn plain<T: Copy + std::ops::Mul<Output = T> + std::ops::Add<Output = T> + From<f32>>(
    n: usize,
    x: f32,
    y: f32,
) -> usize {
    let (x, y) = (black_box(T::from(x)), black_box(T::from(y)));
    let mut sums = [T::from(1.0); 64];
    for _ in 0..n {
        sums.iter_mut().for_each(|s| *s = *s * x + y);
    }
    black_box(sums);
    2 * sums.len() * n
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;
    use std::hint::black_box;

    /// Independent sums: more than latency times throughput of any processor.
    const SUMS: usize = 16;

    /// # Safety
    /// The processor has `avx512f` and `avx512bf16`.
    #[target_feature(enable = "avx512f,avx512bf16")]
    pub(super) unsafe fn bf16(n: usize) -> usize {
        // SAFETY: 64 bytes are 64 bytes; every bit pattern is a value of both types.
        let pair = |bits: i16| unsafe { std::mem::transmute::<__m512i, __m512bh>(_mm512_set1_epi16(bits)) };
        let (x, y) = (black_box(pair(0x3f80)), black_box(pair(0x3a80)));
        let mut sums = [_mm512_set1_ps(1.0); SUMS];
        for _ in 0..n {
            for s in &mut sums {
                *s = _mm512_dpbf16_ps(*s, x, y);
            }
        }
        black_box(sums);
        n * SUMS * 64
    }

    /// # Safety
    /// The processor has `avx512f`.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn avx512(n: usize) -> usize {
        let (x, y) = (black_box(_mm512_set1_ps(0.999)), black_box(_mm512_set1_ps(1e-3)));
        let mut sums = [_mm512_set1_ps(1.0); SUMS];
        for _ in 0..n {
            for s in &mut sums {
                *s = _mm512_fmadd_ps(*s, x, y);
            }
        }
        black_box(sums);
        n * SUMS * 32
    }

    /// # Safety
    /// The processor has `avx2` and `fma`.
    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn avx2(n: usize) -> usize {
        let (x, y) = (black_box(_mm256_set1_ps(0.999)), black_box(_mm256_set1_ps(1e-3)));
        let mut sums = [_mm256_set1_ps(1.0); 12];
        for _ in 0..n {
            for s in &mut sums {
                *s = _mm256_fmadd_ps(*s, x, y);
            }
        }
        black_box(sums);
        n * 12 * 16
    }
}
