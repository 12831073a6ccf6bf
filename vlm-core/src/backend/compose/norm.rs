//! Layer norm and RMS norm.

use super::eager::{Eager, Value};
use crate::Result;
use crate::backend::{Primitives, StorageRef, UnaryOp, View};

/// `(x - mean) / sqrt(var + eps)` (or without the mean) and the factor `1 / sqrt(var + eps)`.
fn normal<P: Primitives + ?Sized>(e: &Eager<'_, P>, x: &Value, eps: f64, centre: bool) -> Result<(Value, Value)> {
    let d = x.layout.rank() - 1;
    let x = if centre { e.sub(x, &e.mean(x, d)?)? } else { x.clone() };
    let var = e.mean(&e.unary(UnaryOp::Square, &x)?, d)?;
    let factor = e.unary(UnaryOp::Rsqrt, &e.affine(&var, 1.0, eps)?)?;
    Ok((e.mul(&x, &factor)?, factor))
}

/// The gradient through [`normal`]: `factor (g - mean g - n mean(g n))`.
fn normal_backward<P: Primitives + ?Sized>(
    e: &Eager<'_, P>,
    n: &Value,
    factor: &Value,
    g: &Value,
    centre: bool,
) -> Result<Value> {
    let d = n.layout.rank() - 1;
    let along = e.mul(n, &e.mean(&e.mul(g, n)?, d)?)?;
    let mut rest = e.sub(g, &along)?;
    if centre {
        rest = e.sub(&rest, &e.mean(g, d)?)?;
    }
    e.mul(&rest, factor)
}

pub(in crate::backend) fn layer_norm<P: Primitives + ?Sized>(
    p: &P,
    x: View<'_>,
    weight: Option<View<'_>>,
    bias: Option<View<'_>>,
    eps: f64,
) -> Result<StorageRef> {
    let e = Eager(p);
    let (mut y, _) = normal(&e, &e.wide(x)?, eps, true)?;
    if let Some(w) = weight {
        y = e.mul(&y, &e.wide(w)?)?;
    }
    if let Some(b) = bias {
        y = e.add(&y, &e.wide(b)?)?;
    }
    e.finish(y, x.dtype())
}

pub(in crate::backend) fn layer_norm_backward<P: Primitives + ?Sized>(
    p: &P,
    x: View<'_>,
    weight: Option<View<'_>>,
    grad: View<'_>,
    eps: f64,
    affine: bool,
) -> Result<(StorageRef, Option<StorageRef>, Option<StorageRef>)> {
    let e = Eager(p);
    let (g, dtype) = (e.wide(grad)?, x.dtype());
    let (n, factor) = normal(&e, &e.wide(x)?, eps, true)?;
    let through = weight.map_or_else(|| Ok(g.clone()), |w| e.mul(&g, &e.wide(w)?))?;
    let dx = e.finish(normal_backward(&e, &n, &factor, &through, true)?, dtype)?;
    if !affine {
        return Ok((dx, None, None));
    }
    let dw = e.finish(e.sum_rows(&e.mul(&g, &n)?)?, dtype)?;
    let db = e.finish(e.sum_rows(&g)?, dtype)?;
    Ok((dx, Some(dw), Some(db)))
}

pub(in crate::backend) fn rms_norm<P: Primitives + ?Sized>(
    p: &P,
    x: View<'_>,
    weight: Option<View<'_>>,
    eps: f64,
    offset: f64,
) -> Result<StorageRef> {
    let e = Eager(p);
    let (mut y, _) = normal(&e, &e.wide(x)?, eps, false)?;
    if let Some(w) = weight {
        y = e.mul(&y, &e.affine(&e.wide(w)?, 1.0, offset)?)?;
    }
    e.finish(y, x.dtype())
}

pub(in crate::backend) fn rms_norm_backward<P: Primitives + ?Sized>(
    p: &P,
    x: View<'_>,
    weight: Option<View<'_>>,
    grad: View<'_>,
    eps: f64,
    offset: f64,
    affine: bool,
) -> Result<(StorageRef, Option<StorageRef>)> {
    let e = Eager(p);
    let (g, dtype) = (e.wide(grad)?, x.dtype());
    let (n, factor) = normal(&e, &e.wide(x)?, eps, false)?;
    let through = match weight {
        Some(w) => e.mul(&g, &e.affine(&e.wide(w)?, 1.0, offset)?)?,
        None => g.clone(),
    };
    let dx = e.finish(normal_backward(&e, &n, &factor, &through, false)?, dtype)?;
    let dw = if affine { Some(e.finish(e.sum_rows(&e.mul(&g, &n)?)?, dtype)?) } else { None };
    Ok((dx, dw))
}
