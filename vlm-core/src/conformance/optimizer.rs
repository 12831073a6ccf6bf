//! The optimizer's step.

use super::contract::Check;
use super::forward::{Verdict, values};
use super::tolerance::{Tolerance, compare};
use crate::backend::{AdamWArgs, AdamWState, OpKind, RandomKey};
use crate::{DType, Device, Error, Result, Tensor};

/// The methods checked here.
#[cfg(test)]
pub(super) const COVERS: [OpKind; 1] = [OpKind::AdamWStep];

pub(super) fn checks() -> Vec<Check> {
    vec![
        ("adamw_step_f32", |d| check(DType::F32, d)),
        ("adamw_step_f64", |d| check(DType::F64, d)),
        ("adamw_step_bf16", |d| check(DType::BF16, d)),
        ("adamw_step_f16", |d| check(DType::F16, d)),
    ]
}

/// Parameter, master copy and moments after three steps.
fn steps(dtype: DType, device: &Device) -> Result<Vec<(DType, Vec<f64>)>> {
    const N: usize = 1037;
    let state = if dtype == DType::F64 { DType::F64 } else { DType::F32 };
    let host = Device::reference();
    let input = |stream| Tensor::randn(N, RandomKey { seed: 4, stream }, DType::F32, &host)?.to_dtype(dtype);
    let there = |t: &Tensor| device.kernels().upload(t.dtype(), &t.to_bytes()?);
    let start = input(0)?;
    let zeros = Tensor::zeros(N, state, &host)?;
    let mut held = AdamWState {
        param: there(&start)?,
        master: if dtype.size() == 2 { Some(there(&start.to_dtype(DType::F32)?)?) } else { None },
        exp_avg: there(&zeros)?,
        exp_avg_sq: there(&zeros)?,
    };
    for step in 1..=3 {
        let grad = input(step)?.to_device(device)?;
        held = device.kernels().adamw_step(AdamWArgs {
            param: held.param,
            master: held.master,
            exp_avg: held.exp_avg,
            exp_avg_sq: held.exp_avg_sq,
            grad: grad.view(),
            lr: 1e-2,
            beta1: 0.9,
            beta2: 0.99,
            eps: 1e-8,
            weight_decay: 0.1,
            step,
            grad_scale: 0.5,
        })?;
    }
    let storages = [Some(held.param), held.master, Some(held.exp_avg), Some(held.exp_avg_sq)];
    storages
        .into_iter()
        .flatten()
        .map(|s| {
            let t = Tensor::from_storage(s, crate::Dims::from_slice(&[N]), device);
            Ok((t.dtype(), values(&t)?))
        })
        .collect()
}

fn check(dtype: DType, device: &Device) -> Verdict {
    let say = |e: Error| format!("{e:?}");
    if device.kernels().supports(OpKind::AdamWStep, &[dtype]) == crate::backend::Support::Unsupported {
        return Ok(());
    }
    let (got, want) = (steps(dtype, device).map_err(say)?, steps(dtype, &Device::reference()).map_err(say)?);
    for (i, ((found, got), (dtype, want))) in got.iter().zip(&want).enumerate() {
        if found != dtype {
            return Err(format!("state {i} is {found}, expected {dtype}"));
        }
        if let Some(wrong) = compare(got, want, Tolerance::Rounded, *dtype) {
            return Err(format!("state {i}: {wrong}"));
        }
    }
    Ok(())
}
