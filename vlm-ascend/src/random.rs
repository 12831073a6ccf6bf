//! Random numbers that depend on their key and place alone, as `vlm_core::random` says: drawn by the processors.
//!
//! The device has generators of its own, with other numbers; and it multiplies integers of 64 bits, which ours needs, on its control
//! processor.

use crate::aclnn::{Number, Stream};
use crate::elementwise::cast_to;
use crate::make::{Held, cast, cast_storage, flat, result, room};
use crate::memory::upload;
use crate::storage::AscendStorage;
use half::{bf16, f16};
use std::thread::available_parallelism;
use vlm_core::backend::{Distribution, RandomKey, View};
use vlm_core::{DType, Element, Result};

/// Draws of fewer numbers are not worth a thread.
const PER_THREAD: usize = 1 << 16;

/// The numbers, on as many threads as they are worth; the parts are multiples of 4, the size of a block.
fn numbers(len: usize, from: Distribution, key: RandomKey) -> Vec<f64> {
    let mut values = vec![0.0; len];
    let threads = (len / PER_THREAD).clamp(1, available_parallelism().map_or(1, std::num::NonZero::get));
    let each = len.div_ceil(threads).next_multiple_of(4).max(4);
    std::thread::scope(|scope| {
        for (i, part) in values.chunks_mut(each).enumerate() {
            scope.spawn(move || vlm_core::random::fill(from, key, i * each, part));
        }
    });
    values
}

pub(crate) fn random(
    s: &Stream,
    dtype: DType,
    len: usize,
    from: Distribution,
    key: RandomKey,
) -> Result<AscendStorage> {
    // Refuses an impossible length before the host's memory is asked for it.
    drop(room(s, dtype, len)?);
    let values = numbers(len, from, key);
    match dtype {
        DType::F64 => upload(s, dtype, f64::as_bytes(&values)),
        DType::F32 => upload(s, dtype, f32::as_bytes(&values.iter().map(|&v| v as f32).collect::<Vec<_>>())),
        DType::F16 => {
            let halves: Vec<f16> = values.iter().map(|&v| <f16 as Element>::from_f64(v)).collect();
            upload(s, dtype, f16::as_bytes(&halves))
        }
        DType::BF16 => {
            let halves: Vec<bf16> = values.iter().map(|&v| <bf16 as Element>::from_f64(v)).collect();
            upload(s, dtype, bf16::as_bytes(&halves))
        }
        DType::Bool => {
            let bytes: Vec<u8> = values.iter().map(|&v| u8::from(v != 0.0)).collect();
            upload(s, dtype, &bytes)
        }
        _ => {
            let whole: Vec<i64> = values.iter().map(|&v| v as i64).collect();
            let wide = upload(s, DType::I64, i64::as_bytes(&whole))?.share();
            cast_to(s, View::new(&wide, &flat(len)), dtype)
        }
    }
}

/// What is kept is divided by its share; what is dropped is 0, an infinity too.
pub(crate) fn dropout(s: &Stream, x: View<'_>, p: f64, key: RandomKey) -> Result<AscendStorage> {
    let dtype = x.dtype();
    crate::make::computes(s, vlm_core::backend::OpKind::Dropout, "mask", dtype)?;
    let dropped: Vec<u8> = numbers(x.count(), Distribution::Bernoulli { p: 1.0 - p }, key)
        .into_iter()
        .map(|kept| u8::from(kept == 0.0))
        .collect();
    let mask = Held::made(upload(s, DType::Bool, &dropped)?, *x.shape());
    let wide = cast(s, &x, DType::F32)?;
    let out = result(s, DType::F32, x.shape(), |out| {
        s.Muls(&wide, Number::F32((1.0 / (1.0 - p)) as f32), out)?;
        s.InplaceMaskedFillScalar(out, &mask, Number::F32(0.0))
    })?;
    cast_storage(s, out, dtype)
}
