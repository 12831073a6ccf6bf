//! The optimizer's step.

use super::contract::Check;
use super::forward::{Verdict, values};
use super::tolerance::{Tolerance, compare};
use crate::backend::{AdamWArgs, AdamWState, OpKind, RandomKey, Support};
use crate::{DType, Device, Error, Result, Tensor};

/// The methods checked here.
#[cfg(test)]
pub(super) const COVERS: [OpKind; 2] = [OpKind::AdamWStep, OpKind::AdamWSteps];

pub(super) fn checks() -> Vec<Check> {
    vec![
        ("adamw_step_f32", |d| check(DType::F32, d)),
        ("adamw_step_f64", |d| check(DType::F64, d)),
        ("adamw_step_bf16", |d| check(DType::BF16, d)),
        ("adamw_step_f16", |d| check(DType::F16, d)),
        ("adamw_steps_are_those_of_each", many),
    ]
}

/// A parameter of `n` elements and its gradients, the same on every device.
struct Trained {
    n: usize,
    dtype: DType,
    stream: u64,
    held: AdamWState,
}

impl Trained {
    fn new(n: usize, dtype: DType, stream: u64, device: &Device) -> Result<Self> {
        let state = if dtype == DType::F64 { DType::F64 } else { DType::F32 };
        let there = |t: &Tensor| device.kernels().upload(t.dtype(), &t.to_bytes()?);
        let start = Self::input(n, dtype, stream)?;
        let zeros = Tensor::zeros(n, state, &Device::reference())?;
        let master = if dtype.size() == 2 { Some(there(&start.to_dtype(DType::F32)?)?) } else { None };
        let held = AdamWState { param: there(&start)?, master, exp_avg: there(&zeros)?, exp_avg_sq: there(&zeros)? };
        Ok(Trained { n, dtype, stream, held })
    }

    fn input(n: usize, dtype: DType, stream: u64) -> Result<Tensor> {
        Tensor::randn(n, RandomKey { seed: 4, stream }, DType::F32, &Device::reference())?.to_dtype(dtype)
    }

    fn grad(&self, step: u64, device: &Device) -> Result<Tensor> {
        Self::input(self.n, self.dtype, self.stream + step)?.to_device(device)
    }

    /// The operands of step `step`; numbers differ from parameter to parameter.
    fn args<'a>(&self, step: u64, grad: &'a Tensor) -> AdamWArgs<'a> {
        let held = self.held.clone();
        AdamWArgs {
            param: held.param,
            master: held.master,
            exp_avg: held.exp_avg,
            exp_avg_sq: held.exp_avg_sq,
            grad: grad.view(),
            lr: 1e-2,
            beta1: 0.9,
            beta2: 0.99,
            eps: 1e-8,
            weight_decay: if self.stream == 0 { 0.1 } else { 0.0 },
            step: step + self.stream / 200,
            grad_scale: 0.5,
        }
    }

    fn values(&self, device: &Device) -> Result<Vec<(DType, Vec<f64>)>> {
        let held = self.held.clone();
        let storages = [Some(held.param), held.master, Some(held.exp_avg), Some(held.exp_avg_sq)];
        let read = |s| {
            let t = Tensor::from_storage(s, crate::Dims::from_slice(&[self.n]), device);
            Ok((t.dtype(), values(&t)?))
        };
        storages.into_iter().flatten().map(read).collect()
    }
}

/// Parameter, master copy and moments after three steps.
fn steps(dtype: DType, device: &Device) -> Result<Vec<(DType, Vec<f64>)>> {
    let mut one = Trained::new(1037, dtype, 0, device)?;
    for step in 1..=3 {
        let grad = one.grad(step, device)?;
        one.held = device.kernels().adamw_step(one.args(step, &grad))?;
    }
    one.values(device)
}

/// As [`steps`] for parameters of several sizes and types, all at once or one by one.
fn many_steps(device: &Device, together: bool) -> Result<Vec<(DType, Vec<f64>)>> {
    let sizes = [(1037, DType::F32), (3, DType::BF16), (64, DType::F32), (500, DType::F16), (1, DType::F64)];
    let has = |t: DType| device.kernels().supports(OpKind::AdamWSteps, &[t]) != Support::Unsupported;
    let kinds = sizes.into_iter().enumerate().filter(|(_, (_, t))| has(*t));
    let mut all: Vec<Trained> =
        kinds.map(|(i, (n, dtype))| Trained::new(n, dtype, i as u64 * 100, device)).collect::<Result<_>>()?;
    for step in 1..=3 {
        let grads: Vec<Tensor> = all.iter().map(|t| t.grad(step, device)).collect::<Result<_>>()?;
        let args = all.iter().zip(&grads).map(|(t, g)| t.args(step, g));
        let held = if together {
            device.kernels().adamw_steps(args.collect())?
        } else {
            args.map(|a| device.kernels().adamw_step(a)).collect::<Result<_>>()?
        };
        all.iter_mut().zip(held).for_each(|(t, held)| t.held = held);
    }
    let values: Vec<_> = all.iter().map(|t| t.values(device)).collect::<Result<_>>()?;
    Ok(values.into_iter().flatten().collect())
}

fn many(device: &Device) -> Verdict {
    let say = |e: Error| format!("{e:?}");
    let (got, want) = (many_steps(device, true).map_err(say)?, many_steps(device, false).map_err(say)?);
    judge(&got, &want)
}

fn check(dtype: DType, device: &Device) -> Verdict {
    let say = |e: Error| format!("{e:?}");
    if device.kernels().supports(OpKind::AdamWStep, &[dtype]) == Support::Unsupported {
        return Ok(());
    }
    let (got, want) = (steps(dtype, device).map_err(say)?, steps(dtype, &Device::reference()).map_err(say)?);
    judge(&got, &want)
}

fn judge(got: &[(DType, Vec<f64>)], want: &[(DType, Vec<f64>)]) -> Verdict {
    if got.len() != want.len() {
        return Err(format!("{} states came back, expected {}", got.len(), want.len()));
    }
    for (i, ((found, got), (dtype, want))) in got.iter().zip(want).enumerate() {
        if found != dtype {
            return Err(format!("state {i} is {found}, expected {dtype}"));
        }
        if let Some(wrong) = compare(got, want, Tolerance::Rounded, *dtype) {
            return Err(format!("state {i}: {wrong}"));
        }
    }
    Ok(())
}
