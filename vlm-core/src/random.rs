//! Random numbers that depend on a key and a position alone.
//!
//! Every draw is named by a [`RandomKey`] of seed and stream; element `i` of it is a function of the key and `i`. So the
//! numbers are the same on every device and whatever the number of threads, and a mask can be drawn again instead of
//! kept.
//!
//! The function is Philox4x32-10 (Salmon et al. 2011): element `i` uses word `i % 4` of the block whose counter is
//! `(i / 4, stream)` and whose key is `seed`, each 64 bits as two words, low one first. A word `w` gives the uniform
//! number `u = (w >> 8) / 2^24`. Normal numbers come in pairs of elements `2 j` and `2 j + 1` by Box and Muller:
//! `r = sqrt(-2 ln(1 - u₀))` times the cosine and the sine of `2 π u₁`.

mod rng;
mod thread_stream;

pub use rng::Rng;
pub use thread_stream::{StreamGuard, StreamState, manual_seed, next_key, restore, state};

use crate::backend::{Distribution, RandomKey};

const MULTIPLIERS: [u64; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// The block of four words at `counter`: Philox4x32 with ten rounds.
pub fn philox(mut key: [u32; 2], mut counter: [u32; 4]) -> [u32; 4] {
    for round in 0..10 {
        if round > 0 {
            key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
        }
        let [a, b] = [MULTIPLIERS[0] * u64::from(counter[0]), MULTIPLIERS[1] * u64::from(counter[2])];
        counter = [(b >> 32) as u32 ^ counter[1] ^ key[0], b as u32, (a >> 32) as u32 ^ counter[3] ^ key[1], a as u32];
    }
    counter
}

fn halves(x: u64) -> [u32; 2] {
    [x as u32, (x >> 32) as u32]
}

/// The four words for elements `4 block ..` of a draw.
pub fn words(key: RandomKey, block: u64) -> [u32; 4] {
    let ([b0, b1], [s0, s1]) = (halves(block), halves(key.stream));
    philox(halves(key.seed), [b0, b1, s0, s1])
}

/// The uniform number in `[0, 1)` of a word.
pub fn uniform(word: u32) -> f64 {
    f64::from(word >> 8) / f64::from(1 << 24)
}

/// Elements `start .. start + out.len()` of a draw; `start` is a multiple of 4.
pub fn fill(from: Distribution, key: RandomKey, start: usize, out: &mut [f64]) {
    debug_assert!(start.is_multiple_of(4));
    for (i, chunk) in out.chunks_mut(4).enumerate() {
        let u = words(key, (start / 4 + i) as u64).map(uniform);
        let values = match from {
            Distribution::Uniform { low, high } => u.map(|u| low + u * (high - low)),
            Distribution::Bernoulli { p } => u.map(|u| if u < p { 1.0 } else { 0.0 }),
            Distribution::Normal { mean, std } => {
                let pair = |u: f64, v: f64| {
                    let (r, angle) = ((-2.0 * (1.0 - u).ln()).sqrt(), std::f64::consts::TAU * v);
                    [mean + std * r * angle.cos(), mean + std * r * angle.sin()]
                };
                let ([a, b], [c, d]) = (pair(u[0], u[1]), pair(u[2], u[3]));
                [a, b, c, d]
            }
        };
        chunk.copy_from_slice(&values[..chunk.len()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn philox_gives_the_published_answers() {
        // The known-answer tests of Random123 for philox4x32-10.
        assert_eq!(philox([0; 2], [0; 4]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox([u32::MAX; 2], [u32::MAX; 4]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        let counter = [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344];
        let want = [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1];
        assert_eq!(philox([0xa409_3822, 0x299f_31d0], counter), want);
    }

    #[test]
    fn draws_have_their_moments_and_do_not_depend_on_the_cut() {
        let key = RandomKey { seed: 7, stream: 3 };
        let mut all = vec![0.0; 40_000];
        fill(Distribution::Normal { mean: 1.0, std: 2.0 }, key, 0, &mut all);
        let mean = all.iter().sum::<f64>() / all.len() as f64;
        let var = all.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / all.len() as f64;
        assert!((mean - 1.0).abs() < 0.05 && (var - 4.0).abs() < 0.1, "{mean} {var}");
        let mut part = vec![0.0; 10];
        fill(Distribution::Normal { mean: 1.0, std: 2.0 }, key, 400, &mut part);
        assert_eq!(part, all[400..410]);
    }
}
