//! Activations, gates, dropout.

use super::eager::{Eager, Value};
use crate::Result;
use crate::backend::reference::math::{GELU_CUBIC, SQRT_2_OVER_PI};
use crate::backend::{
    BinaryOp, CompareOp, Distribution, OpKind, Primitives, RandomKey, StorageRef, UnaryOp, View, unsupported,
};
use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

/// The derivative of `op`: a factor for the gradient.
fn slope<P: Primitives + ?Sized>(e: &Eager<'_, P>, op: UnaryOp, x: &Value, y: &Value) -> Result<Value> {
    let one_less = |v: &Value| e.affine(v, -1.0, 1.0);
    match op {
        UnaryOp::Neg => e.full(*x.shape(), -1.0, x.dtype()),
        UnaryOp::Abs => e.unary(UnaryOp::Sign, x),
        UnaryOp::Exp => Ok(y.clone()),
        UnaryOp::Expm1 => e.affine(y, 1.0, 1.0),
        UnaryOp::Log => e.unary(UnaryOp::Reciprocal, x),
        UnaryOp::Log1p => e.unary(UnaryOp::Reciprocal, &e.affine(x, 1.0, 1.0)?),
        UnaryOp::Sqrt => e.affine(&e.unary(UnaryOp::Reciprocal, y)?, 0.5, 0.0),
        UnaryOp::Rsqrt => e.affine(&e.mul(y, &e.unary(UnaryOp::Square, y)?)?, -0.5, 0.0),
        UnaryOp::Reciprocal => e.unary(UnaryOp::Neg, &e.unary(UnaryOp::Square, y)?),
        UnaryOp::Square => e.affine(x, 2.0, 0.0),
        UnaryOp::Sin => e.unary(UnaryOp::Cos, x),
        UnaryOp::Cos => e.unary(UnaryOp::Neg, &e.unary(UnaryOp::Sin, x)?),
        UnaryOp::Tanh => one_less(&e.unary(UnaryOp::Square, y)?),
        UnaryOp::Sigmoid => e.mul(y, &one_less(y)?),
        UnaryOp::Erf => bell(e, x, 1.0, FRAC_2_SQRT_PI),
        UnaryOp::Relu => e.cast(&e.compare_to(CompareOp::Gt, y, 0.0)?, x.dtype()),
        // Φ(x) + x φ(x)
        UnaryOp::Gelu => {
            let cdf = e.affine(&e.unary(UnaryOp::Erf, &e.affine(x, FRAC_1_SQRT_2, 0.0)?)?, 0.5, 0.5)?;
            e.add(&cdf, &e.mul(x, &bell(e, x, FRAC_1_SQRT_2, 0.5 * FRAC_2_SQRT_PI * FRAC_1_SQRT_2)?)?)
        }
        UnaryOp::GeluTanh => {
            let squared = e.unary(UnaryOp::Square, x)?;
            let inner = e.mul(x, &e.affine(&squared, SQRT_2_OVER_PI * GELU_CUBIC, SQRT_2_OVER_PI)?)?;
            let s = e.unary(UnaryOp::Sigmoid, &e.affine(&inner, 2.0, 0.0)?)?;
            let d_inner = e.affine(&squared, 6.0 * SQRT_2_OVER_PI * GELU_CUBIC, 2.0 * SQRT_2_OVER_PI)?;
            e.add(&s, &e.mul(&e.mul(x, &d_inner)?, &e.mul(&s, &one_less(&s)?)?)?)
        }
        UnaryOp::QuickGelu => sigmoid_gate(e, x, 1.702),
        UnaryOp::Silu => sigmoid_gate(e, x, 1.0),
        UnaryOp::Softplus => e.unary(UnaryOp::Sigmoid, x),
        UnaryOp::Sign | UnaryOp::Floor | UnaryOp::Ceil | UnaryOp::Round => e.full(*x.shape(), 0.0, x.dtype()),
        UnaryOp::Affine { mul, .. } => e.full(*x.shape(), mul, x.dtype()),
        UnaryOp::Powf(0.0) => e.full(*x.shape(), 0.0, x.dtype()),
        UnaryOp::Powf(p) => e.affine(&e.unary(UnaryOp::Powf(p - 1.0), x)?, p, 0.0),
        UnaryOp::Clamp { low, high } => {
            let inside =
                e.binary(BinaryOp::And, &e.compare_to(CompareOp::Ge, x, low)?, &e.compare_to(CompareOp::Le, x, high)?)?;
            e.cast(&inside, x.dtype())
        }
        UnaryOp::Not => Err(unsupported("composition", OpKind::UnaryBackward, op, x.dtype())),
    }
}

/// `height * e^-(x width)²`.
fn bell<P: Primitives + ?Sized>(e: &Eager<'_, P>, x: &Value, width: f64, height: f64) -> Result<Value> {
    let squared = e.unary(UnaryOp::Square, &e.affine(x, width, 0.0)?)?;
    e.affine(&e.unary(UnaryOp::Exp, &e.unary(UnaryOp::Neg, &squared)?)?, height, 0.0)
}

/// The derivative of `x sigmoid(c x)`: `s + c x s (1 - s)`.
fn sigmoid_gate<P: Primitives + ?Sized>(e: &Eager<'_, P>, x: &Value, c: f64) -> Result<Value> {
    let s = e.unary(UnaryOp::Sigmoid, &e.affine(x, c, 0.0)?)?;
    let flank = e.mul(&s, &e.affine(&s, -1.0, 1.0)?)?;
    e.add(&s, &e.mul(&e.affine(x, c, 0.0)?, &flank)?)
}

/// The default body of [`Kernels::unary_backward`](crate::backend::Kernels::unary_backward).
///
/// # Errors
/// Those of the primitives.
pub fn unary_backward<P: Primitives + ?Sized>(
    p: &P,
    op: UnaryOp,
    x: View<'_>,
    y: View<'_>,
    grad: View<'_>,
) -> Result<StorageRef> {
    let e = Eager(p);
    let grad_wide = e.wide(grad)?;
    let factor = slope(&e, op, &e.wide(x)?, &e.wide(y)?)?;
    let mut out = e.mul(&grad_wide, &factor)?;
    if matches!(
        op,
        UnaryOp::Relu | UnaryOp::Clamp { .. } | UnaryOp::Sign | UnaryOp::Floor | UnaryOp::Ceil | UnaryOp::Round
    ) {
        // Where the slope is 0 the gradient is 0, also for an infinite one above it.
        out = e.masked(&e.compare_to(CompareOp::Eq, &factor, 0.0)?, 0.0, &out)?;
    }
    e.finish(out, grad.dtype())
}

/// The default body of [`Kernels::glu`](crate::backend::Kernels::glu).
///
/// # Errors
/// Those of the primitives.
pub fn glu<P: Primitives + ?Sized>(p: &P, op: UnaryOp, gate: View<'_>, up: View<'_>) -> Result<StorageRef> {
    let e = Eager(p);
    e.finish(e.mul(&e.unary(op, &e.wide(gate)?)?, &e.wide(up)?)?, gate.dtype())
}

/// The default body of [`Kernels::glu_backward`](crate::backend::Kernels::glu_backward).
///
/// # Errors
/// Those of the primitives.
pub fn glu_backward<P: Primitives + ?Sized>(
    p: &P,
    op: UnaryOp,
    gate: View<'_>,
    up: View<'_>,
    grad: View<'_>,
) -> Result<(StorageRef, StorageRef)> {
    let e = Eager(p);
    let (g, u, d) = (e.wide(gate)?, e.wide(up)?, e.wide(grad)?);
    let y = e.unary(op, &g)?;
    let dgate = e.mul(&e.mul(&d, &u)?, &slope(&e, op, &g, &y)?)?;
    Ok((e.finish(dgate, gate.dtype())?, e.finish(e.mul(&d, &y)?, up.dtype())?))
}

/// The default body of [`Kernels::dropout`](crate::backend::Kernels::dropout).
///
/// # Errors
/// Those of the primitives.
pub fn dropout<P: Primitives + ?Sized>(p: &P, x: View<'_>, rate: f64, key: RandomKey) -> Result<StorageRef> {
    let e = Eager(p);
    let wide = e.wide(x)?;
    let keep = super::random(p, wide.dtype(), x.count(), Distribution::Bernoulli { p: 1.0 - rate }, key)?;
    // Chosen, not multiplied: a dropped infinity is 0 too.
    let dropped = e.compare_to(CompareOp::Eq, &Value::new(keep, *x.shape()), 0.0)?;
    e.finish(e.masked(&dropped, 0.0, &e.affine(&wide, 1.0 / (1.0 - rate), 0.0)?)?, x.dtype())
}
