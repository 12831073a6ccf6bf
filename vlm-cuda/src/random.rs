//! Random numbers that depend on their key and place alone, as `vlm_core::random` says: drawn by the processors, or by the
//! GPU itself, so that a mask does not travel.

mod philox;

use crate::elementwise::cast_tensor;
use crate::error::Of;
use crate::memory;
use crate::storage::{TorchStorage, operand, sizes};
use std::thread::available_parallelism;
use tch::{Device, Tensor};
use vlm_core::backend::{Distribution, RandomKey, View};
use vlm_core::{DType, Dims, Element, Result};

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
    device: Device,
    dtype: DType,
    len: usize,
    from: Distribution,
    key: RandomKey,
) -> Result<TorchStorage> {
    // Refuses an impossible length before the host's memory is asked for it.
    drop(memory::alloc(device, dtype, len)?);
    let shape = Dims::from_slice(&[len]);
    if device != Device::Cpu && len > 0 {
        let values = philox::numbers(device, len, from, key).of("random")?;
        let held = if values.kind() == tch::Kind::Bool { DType::Bool } else { DType::F64 };
        return TorchStorage::new(cast_tensor(&values, held, dtype)?, shape, dtype);
    }
    let values = memory::upload(device, DType::F64, f64::as_bytes(&numbers(len, from, key)))?;
    TorchStorage::new(cast_tensor(values.tensor(), DType::F64, dtype)?, shape, dtype)
}

/// What is kept is divided by its share; what is dropped is 0, an infinity too.
pub(crate) fn dropout(device: Device, x: View<'_>, p: f64, key: RandomKey) -> Result<Tensor> {
    const OP: &str = "dropout";
    let keep = random(device, DType::Bool, x.count(), Distribution::Bernoulli { p: 1.0 - p }, key)?;
    let (shape, rank) = sizes(x.shape());
    let x = operand(&x)?;
    let run = || {
        let dropped = keep.tensor().f_view(&shape[..rank])?.f_logical_not()?;
        x.f_mul_scalar(1.0 / (1.0 - p))?.f_masked_fill_(&dropped, 0.0)
    };
    run().of(OP)
}
