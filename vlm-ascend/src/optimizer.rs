//! Steps of optimizers, in place.

use crate::aclnn::{Number, Stream};
use crate::make::{Held, computes, result};
use crate::memory::{upload, writable};
use crate::storage::{AscendStorage, own};
use vlm_core::backend::{AdamWArgs, AdamWState, OpKind, StorageRef, View};
use vlm_core::{DType, Dims, Element, Result};

/// Whether the fused step takes it.
pub(crate) fn takes(s: &Stream, args: &AdamWArgs<'_>) -> bool {
    let f32_state = args.exp_avg.dtype() == DType::F32;
    let weight = args.master.as_ref().unwrap_or(&args.param).dtype();
    s.has("ApplyAdamWV2") && f32_state && weight == DType::F32
}

/// The number of a step where the device reads it.
pub(crate) fn step_number(s: &Stream, step: u64) -> Result<AscendStorage> {
    upload(s, DType::F32, f32::as_bytes(&[step as f32]))
}

/// The gradient in `f32`, in one row, scaled.
fn gradient(s: &Stream, grad: &View<'_>, scale: f64) -> Result<Held> {
    let g = crate::make::contiguous(s, grad)?;
    let n = grad.count();
    let row = Dims::from_slice(&[n]);
    let flat = g.operand.clone().with_view(&[n as i64], &[1]);
    if grad.dtype() == DType::F32 && scale == 1.0 {
        return Ok(Held { operand: flat, ..g });
    }
    let wide = result(s, DType::F32, &row, |out| {
        if grad.dtype() == DType::F32 {
            return s.Muls(&flat, Number::F32(scale as f32), out);
        }
        s.Cast(&flat, DType::F32, out)?;
        if scale == 1.0 { Ok(()) } else { s.InplaceMuls(out, Number::F32(scale as f32)) }
    })?;
    Ok(Held::made(wide, row))
}

/// One step of one parameter. `step` is what [`step_number`] made of its number.
pub(crate) fn adamw_step(s: &Stream, args: AdamWArgs<'_>, step: &AscendStorage) -> Result<AdamWState> {
    computes(s, OpKind::AdamWStep, "step", args.param.dtype())?;
    let grad = gradient(s, &args.grad, args.grad_scale)?;
    let held = AdamWState {
        param: writable(s, args.param)?,
        master: args.master.map(|m| writable(s, m)).transpose()?,
        exp_avg: writable(s, args.exp_avg)?,
        exp_avg_sq: writable(s, args.exp_avg_sq)?,
    };
    let row = |storage: &StorageRef| Ok::<_, vlm_core::Error>(own(storage)?.row());
    let weight = row(held.master.as_ref().unwrap_or(&held.param))?;
    if weight.count() > 0 {
        s.ApplyAdamWV2(
            &weight,
            &row(&held.exp_avg)?,
            &row(&held.exp_avg_sq)?,
            None,
            &grad,
            &step.row(),
            args.lr as f32,
            args.beta1 as f32,
            args.beta2 as f32,
            args.weight_decay as f32,
            args.eps as f32,
            false,
            false,
        )?;
        if held.master.is_some() {
            s.Cast(&weight, held.param.dtype(), &row(&held.param)?)?;
        }
    }
    Ok(held)
}
