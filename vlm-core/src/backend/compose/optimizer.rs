//! Steps of optimizers.

use super::eager::{Eager, Value};
use crate::Result;
use crate::backend::{AdamWArgs, AdamWState, Primitives, UnaryOp};
use crate::shape::Dims;

pub(in crate::backend) fn adamw_step<P: Primitives + ?Sized>(p: &P, args: AdamWArgs<'_>) -> Result<AdamWState> {
    let e = Eager(p);
    let shape = Dims::from_slice(&[args.param.len()]);
    let flat = |storage: &crate::backend::StorageRef| Value::new(storage.clone(), shape);
    let (m, v) = (flat(&args.exp_avg), flat(&args.exp_avg_sq));
    let dtype = m.dtype();
    let grad = e.cast(&e.reshape(&Value::of(args.grad), shape)?, dtype)?;
    let grad = e.affine(&grad, args.grad_scale, 0.0)?;
    let weight = e.cast(&flat(args.master.as_ref().unwrap_or(&args.param)), dtype)?;

    let weight = e.affine(&weight, 1.0 - args.lr * args.weight_decay, 0.0)?;
    let m = e.add(&e.affine(&m, args.beta1, 0.0)?, &e.affine(&grad, 1.0 - args.beta1, 0.0)?)?;
    let squared = e.unary(UnaryOp::Square, &grad)?;
    let v = e.add(&e.affine(&v, args.beta2, 0.0)?, &e.affine(&squared, 1.0 - args.beta2, 0.0)?)?;
    let (correction1, correction2) = (1.0 - args.beta1.powf(args.step as f64), 1.0 - args.beta2.powf(args.step as f64));
    let divisor = e.affine(&e.unary(UnaryOp::Sqrt, &v)?, 1.0 / correction2.sqrt(), args.eps)?;
    let step = e.affine(&e.div(&m, &divisor)?, args.lr / correction1, 0.0)?;
    let weight = e.sub(&weight, &step)?;

    let param = e.finish(weight.clone(), args.param.dtype())?;
    let master = if args.master.is_some() { Some(e.finish(weight, dtype)?) } else { None };
    Ok(AdamWState { param, master, exp_avg: m.storage, exp_avg_sq: v.storage })
}
