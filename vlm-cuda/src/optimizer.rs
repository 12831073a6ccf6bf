//! Steps of optimizers, in place, by libtorch's fused kernels.

use crate::error::Of;
use crate::shim::{self, AdamW, Stepped};
use crate::storage::{kind, operand, own_mut, writable};
use tch::{Kind, Tensor};
use vlm_core::backend::{AdamWArgs, AdamWState, StorageRef};
use vlm_core::{Error, ErrorKind, Result};

const OP: &str = "adamw_step";

/// The storage's elements in one row, to be written.
fn flat(storage: &mut StorageRef) -> Result<Tensor> {
    own_mut(storage)?.f_view([-1i64]).of("view")
}

/// One parameter made ready, and what comes back.
fn ready(args: AdamWArgs<'_>) -> Result<(Stepped, AdamWState)> {
    let state = kind(args.exp_avg.dtype());
    let grad = operand(&args.grad)?.f_reshape([-1i64]).of(OP)?;
    let mut held = AdamWState {
        param: writable(args.param)?,
        master: args.master.map(writable).transpose()?,
        exp_avg: writable(args.exp_avg)?,
        exp_avg_sq: writable(args.exp_avg_sq)?,
    };
    let param = flat(&mut held.param)?;
    let (weight, small) = match &mut held.master {
        Some(master) => (flat(master)?, Some(param)),
        None if param.kind() == state => (param, None),
        None => (param.f_to_kind(state).of(OP)?, Some(param)),
    };
    let (m, v) = (flat(&mut held.exp_avg)?, flat(&mut held.exp_avg_sq)?);
    Ok((Stepped { weight, grad, m, v, small, step: args.step as f64 }, held))
}

pub(crate) fn adamw_steps(all: Vec<AdamWArgs<'_>>) -> Result<Vec<AdamWState>> {
    // One launch for those that share type and numbers.
    let mut groups: Vec<(Kind, AdamW, Vec<Stepped>)> = Vec::new();
    let mut done = Vec::with_capacity(all.len());
    for args in all {
        let numbers = AdamW {
            lr: args.lr,
            beta1: args.beta1,
            beta2: args.beta2,
            eps: args.eps,
            weight_decay: args.weight_decay,
            grad_scale: args.grad_scale,
        };
        let (stepped, held) = ready(args)?;
        done.push(held);
        let kind = stepped.weight.kind();
        match groups.iter_mut().find(|(k, n, _)| *k == kind && *n == numbers) {
            Some((_, _, group)) => group.push(stepped),
            None => groups.push((kind, numbers, vec![stepped])),
        }
    }
    for (_, numbers, group) in &mut groups {
        shim::adamw(group, *numbers)?;
    }
    Ok(done)
}

pub(crate) fn adamw_step(args: AdamWArgs<'_>) -> Result<AdamWState> {
    let one = adamw_steps(vec![args])?.pop();
    one.ok_or_else(|| Error::new(ErrorKind::Backend, OP, "no state came back"))
}
