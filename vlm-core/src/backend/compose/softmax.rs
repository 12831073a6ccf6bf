//! Softmax and its logarithm.

use super::eager::{Eager, Value};
use crate::Result;
use crate::backend::{Primitives, ReduceOp, StorageRef, UnaryOp, View};

/// `x - max x` along `dim`; a row of minus infinities stays so.
fn shifted<P: Primitives + ?Sized>(e: &Eager<'_, P>, x: &Value, dim: usize) -> Result<Value> {
    if x.layout.count() == 0 {
        return Ok(x.clone());
    }
    e.sub(x, &e.reduce(ReduceOp::Max, x, &[dim])?)
}

pub(in crate::backend) fn softmax<P: Primitives + ?Sized>(p: &P, x: View<'_>, dim: usize) -> Result<StorageRef> {
    let e = Eager(p);
    let exp = e.unary(UnaryOp::Exp, &shifted(&e, &e.wide(x)?, dim)?)?;
    e.finish(e.div(&exp, &e.sum(&exp, dim)?)?, x.dtype())
}

pub(in crate::backend) fn softmax_backward<P: Primitives + ?Sized>(
    p: &P,
    y: View<'_>,
    grad: View<'_>,
    dim: usize,
) -> Result<StorageRef> {
    let e = Eager(p);
    let (y, g) = (e.wide(y)?, e.wide(grad)?);
    let mean = e.sum(&e.mul(&y, &g)?, dim)?;
    e.finish(e.mul(&y, &e.sub(&g, &mean)?)?, grad.dtype())
}

pub(in crate::backend) fn log_softmax<P: Primitives + ?Sized>(p: &P, x: View<'_>, dim: usize) -> Result<StorageRef> {
    let e = Eager(p);
    let z = shifted(&e, &e.wide(x)?, dim)?;
    let log_sum = e.unary(UnaryOp::Log, &e.sum(&e.unary(UnaryOp::Exp, &z)?, dim)?)?;
    e.finish(e.sub(&z, &log_sum)?, x.dtype())
}

pub(in crate::backend) fn log_softmax_backward<P: Primitives + ?Sized>(
    p: &P,
    y: View<'_>,
    grad: View<'_>,
    dim: usize,
) -> Result<StorageRef> {
    let e = Eager(p);
    let (y, g) = (e.wide(y)?, e.wide(grad)?);
    let spread = e.mul(&e.unary(UnaryOp::Exp, &y)?, &e.sum(&g, dim)?)?;
    e.finish(e.sub(&g, &spread)?, grad.dtype())
}
