//! Philox4x32-10 (Salmon et al. 2011) as operations on `i64`, of which the low 32 bits count.

use tch::{Device, Kind, TchError, Tensor};
use vlm_core::backend::{Distribution, RandomKey};

const LOW: i64 = 0xFFFF_FFFF;
const MULTIPLIERS: [i64; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

fn halves(x: u64) -> [u32; 2] {
    [x as u32, (x >> 32) as u32]
}

/// High and low half of the product with a multiplier; it wraps to the same bits as without a sign.
fn product(x: &Tensor, multiplier: i64) -> Result<(Tensor, Tensor), TchError> {
    let whole = x.f_mul_scalar(multiplier)?;
    Ok((whole.f_bitwise_right_shift_tensor_scalar(32)?.f_bitwise_and_(LOW)?, whole.f_bitwise_and(LOW)?))
}

/// The words of elements `0 .. len`, `[len]`.
fn words(device: Device, len: usize, key: RandomKey) -> Result<Tensor, TchError> {
    let blocks = len.div_ceil(4) as i64;
    let ([mut k0, mut k1], [s0, s1]) = (halves(key.seed), halves(key.stream));
    let options = (Kind::Int64, device);
    // Fewer than 2^32 blocks: the counter's second word stays 0.
    let mut c0 = Tensor::f_arange(blocks, options)?;
    let (mut c1, mut c2) = (Tensor::f_zeros([blocks], options)?, Tensor::f_full([blocks], i64::from(s0), options)?);
    let mut c3 = Tensor::f_full([blocks], i64::from(s1), options)?;
    for round in 0..10 {
        if round > 0 {
            (k0, k1) = (k0.wrapping_add(WEYL[0]), k1.wrapping_add(WEYL[1]));
        }
        let ((mut a_high, a_low), (mut b_high, b_low)) = (product(&c0, MULTIPLIERS[0])?, product(&c2, MULTIPLIERS[1])?);
        c0 = b_high.f_bitwise_xor_tensor_(&c1)?.f_bitwise_xor_(i64::from(k0))?;
        c2 = a_high.f_bitwise_xor_tensor_(&c3)?.f_bitwise_xor_(i64::from(k1))?;
        (c1, c3) = (b_low, a_low);
    }
    Tensor::f_stack(&[c0, c1, c2, c3], 1)?.f_reshape([4 * blocks])?.f_narrow_copy(0, 0, len as i64)
}

/// A draw: truth values for [`Distribution::Bernoulli`], else `f64`.
pub(super) fn numbers(device: Device, len: usize, from: Distribution, key: RandomKey) -> Result<Tensor, TchError> {
    let steps = f64::from(1 << 24);
    // A pair of numbers takes a pair of words.
    let n = if matches!(from, Distribution::Normal { .. }) { len.next_multiple_of(2) } else { len };
    let draw = words(device, n, key)?.f_bitwise_right_shift_tensor_scalar(8)?;
    match from {
        // u < p of u = w / 2^24, in integers.
        Distribution::Bernoulli { p } => draw.f_lt((p * steps).ceil() as i64),
        Distribution::Normal { mean, std } => {
            let u = draw.f_to_kind(Kind::Double)?.f_div_scalar(steps)?.f_view([-1i64, 2])?;
            let (first, second) = (u.f_select(1, 0)?, u.f_select(1, 1)?);
            let radius = first.f_neg()?.f_log1p()?.f_mul_scalar(-2.0)?.f_sqrt()?.f_mul_scalar(std)?;
            let angle = second.f_mul_scalar(std::f64::consts::TAU)?;
            let pair = [radius.f_mul(&angle.f_cos()?)?, radius.f_mul(&angle.f_sin()?)?];
            Tensor::f_stack(&pair, 1)?.f_reshape([-1i64])?.f_add_scalar(mean)?.f_narrow_copy(0, 0, len as i64)
        }
        Distribution::Uniform { low, high } => {
            draw.f_to_kind(Kind::Double)?.f_div_scalar(steps)?.f_mul_scalar(high - low)?.f_add_scalar(low)
        }
        _ => Err(TchError::Torch(format!("not implemented for {from:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gpus_numbers_are_those_of_the_host() {
        let key = RandomKey { seed: 0x0123_4567_89AB_CDEF, stream: 0xFEDC_BA98_7654_3210 };
        let normal = Distribution::Normal { mean: 1.0, std: 2.0 };
        for from in [Distribution::Uniform { low: -1.0, high: 3.0 }, normal, Distribution::Bernoulli { p: 0.3 }] {
            for len in [1usize, 7, 4096] {
                let mut want = vec![0.0; len];
                vlm_core::random::fill(from, key, 0, &mut want);
                let got = numbers(Device::Cpu, len, from, key).unwrap().to_kind(Kind::Double);
                let got = Vec::<f64>::try_from(&got).unwrap();
                let apart = got.iter().zip(&want).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
                assert!(got.len() == len && apart < 1e-12, "{from:?} {len}: off by {apart:e}");
            }
        }
    }
}
