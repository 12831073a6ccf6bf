//! Steps of optimizers, in place, by libtorch's fused kernel.

use crate::error::Of;
use crate::shim::{self, AdamW};
use crate::storage::{kind, operand, own_mut, writable};
use tch::Tensor;
use vlm_core::Result;
use vlm_core::backend::{AdamWArgs, AdamWState, StorageRef};

/// The storage's elements in one row, to be written.
fn flat(storage: &mut StorageRef) -> Result<Tensor> {
    own_mut(storage)?.f_view([-1i64]).of("view")
}

pub(crate) fn adamw_step(args: AdamWArgs<'_>) -> Result<AdamWState> {
    const OP: &str = "adamw_step";
    let state = kind(args.exp_avg.dtype());
    let grad = operand(&args.grad)?.f_reshape([-1i64]).and_then(|g| g.f_to_kind(state)).of(OP)?;
    let grad = if args.grad_scale == 1.0 { grad } else { grad.f_mul_scalar(args.grad_scale).of(OP)? };
    let (mut param, mut exp_avg) = (writable(args.param)?, writable(args.exp_avg)?);
    let (mut exp_avg_sq, mut master) = (writable(args.exp_avg_sq)?, args.master.map(writable).transpose()?);
    let numbers = AdamW {
        lr: args.lr,
        beta1: args.beta1,
        beta2: args.beta2,
        eps: args.eps,
        weight_decay: args.weight_decay,
        step: args.step as f64,
    };
    let (mut m, mut v) = (flat(&mut exp_avg)?, flat(&mut exp_avg_sq)?);
    let mut small = flat(&mut param)?;
    match &mut master {
        Some(master) => {
            let mut weight = flat(master)?;
            shim::adamw(&mut weight, &grad, &mut m, &mut v, numbers)?;
            small.f_copy_(&weight).of(OP)?;
        }
        None if small.kind() == state => shim::adamw(&mut small, &grad, &mut m, &mut v, numbers)?,
        None => {
            let mut weight = small.f_to_kind(state).of(OP)?;
            shim::adamw(&mut weight, &grad, &mut m, &mut v, numbers)?;
            small.f_copy_(&weight).of(OP)?;
        }
    }
    Ok(AdamWState { param, master, exp_avg, exp_avg_sq })
}
