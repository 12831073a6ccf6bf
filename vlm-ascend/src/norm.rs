//! Layer norm and RMS norm with their gradients.

use crate::aclnn::{Number, Stream};
use crate::activation::ones;
use crate::make::{Held, cast_storage, computes, result, room, strided};
use crate::storage::AscendStorage;
use vlm_core::backend::{OpKind, View};
use vlm_core::{DType, Dims, Result};

/// Columns, and the shape of one number per row.
fn rows(x: &View<'_>) -> (usize, Dims) {
    let last = x.shape().rank() - 1;
    (x.shape()[last], x.shape().with(last, 1))
}

/// A norm's result with what each row was divided by, and its mean.
struct Statistics {
    mean: Held,
    rstd: Held,
}

pub(crate) fn layer_norm(
    s: &Stream,
    x: View<'_>,
    weight: Option<View<'_>>,
    bias: Option<View<'_>>,
    eps: f64,
) -> Result<AscendStorage> {
    computes(s, OpKind::LayerNorm, "rows", x.dtype())?;
    let (operand, d) = (strided(&x)?, rows(&x).0 as i64);
    let vector = |v: Option<View<'_>>| v.map(|v| strided(&v)).transpose();
    let (w, b) = (vector(weight)?, vector(bias)?);
    result(s, x.dtype(), x.shape(), |out| s.LayerNorm(&operand, &[d], w.as_ref(), b.as_ref(), eps, out, None, None))
}

/// The statistics are computed again, by the forward operation.
fn layer_statistics(s: &Stream, x: &View<'_>, eps: f64) -> Result<Statistics> {
    let (d, shape) = rows(x);
    let operand = strided(x)?;
    let mean = Held::made(room(s, DType::F32, shape.count())?, shape);
    let rstd = Held::made(room(s, DType::F32, shape.count())?, shape);
    result(s, x.dtype(), x.shape(), |out| {
        s.LayerNorm(&operand, &[d as i64], None, None, eps, out, Some(&mean), Some(&rstd))
    })?;
    Ok(Statistics { mean, rstd })
}

/// Gradients for `x` and, if `affine` is set, weight and bias.
pub(crate) fn layer_norm_backward(
    s: &Stream,
    x: View<'_>,
    weight: Option<View<'_>>,
    grad: View<'_>,
    eps: f64,
    affine: bool,
) -> Result<(AscendStorage, Option<(AscendStorage, AscendStorage)>)> {
    computes(s, OpKind::LayerNormBackward, "rows", x.dtype())?;
    let (dtype, d) = (x.dtype(), rows(&x).0);
    let dx = room(s, dtype, x.count())?;
    let vector = || room(s, dtype, d);
    let vectors = if affine { Some((vector()?, vector()?)) } else { None };
    if x.count() == 0 {
        if let Some((dw, db)) = vectors.as_ref().filter(|_| d > 0) {
            s.InplaceZero(&dw.row())?;
            s.InplaceZero(&db.row())?;
        }
        return Ok((dx, vectors));
    }
    let Statistics { mean, rstd } = layer_statistics(s, &x, eps)?;
    let (operand, g) = (strided(&x)?, strided(&grad)?);
    let w = weight.map(|v| strided(&v)).transpose()?;
    let (dw, db) = (vectors.as_ref().map(|v| v.0.row()), vectors.as_ref().map(|v| v.1.row()));
    s.LayerNormBackward(
        &g,
        &operand,
        &[d as i64],
        &mean,
        &rstd,
        w.as_ref(),
        None,
        &[true, affine, affine],
        Some(&dx.shaped(*x.shape())),
        dw.as_ref(),
        db.as_ref(),
    )?;
    Ok((dx, vectors))
}

/// The factor of each channel: the weight, with `offset` added.
fn gamma(s: &Stream, weight: &View<'_>, offset: f64) -> Result<Held> {
    if offset == 0.0 {
        return crate::make::contiguous(s, weight);
    }
    let out = crate::elementwise::affine(s, *weight, 1.0, offset)?;
    Ok(Held::made(out, *weight.shape()))
}

/// The factor of each channel, all ones where there is no weight.
fn gamma_or_ones(s: &Stream, weight: Option<View<'_>>, dtype: DType, d: usize, offset: f64) -> Result<Held> {
    weight.map_or_else(|| ones(s, dtype, d), |w| gamma(s, &w, offset))
}

pub(crate) fn rms_norm(
    s: &Stream,
    x: View<'_>,
    weight: Option<View<'_>>,
    eps: f64,
    offset: f64,
) -> Result<AscendStorage> {
    computes(s, OpKind::RmsNorm, "rows", x.dtype())?;
    let (d, shape) = rows(&x);
    let operand = strided(&x)?;
    if x.count() == 0 {
        return room(s, x.dtype(), 0);
    }
    let rstd = Held::made(room(s, DType::F32, shape.count())?, shape);
    match weight {
        Some(w) if offset == 1.0 && s.has("GemmaRmsNorm") => {
            let w = strided(&w)?;
            result(s, x.dtype(), x.shape(), |out| s.GemmaRmsNorm(&operand, &w, eps, out, &rstd))
        }
        _ => {
            let w = gamma_or_ones(s, weight, x.dtype(), d, offset)?;
            result(s, x.dtype(), x.shape(), |out| s.RmsNorm(&operand, &w, eps, out, &rstd))
        }
    }
}

/// Gradients for `x` and, if `affine` is set, the weight.
pub(crate) fn rms_norm_backward(
    s: &Stream,
    x: View<'_>,
    weight: Option<View<'_>>,
    grad: View<'_>,
    eps: f64,
    offset: f64,
    affine: bool,
) -> Result<(AscendStorage, Option<AscendStorage>)> {
    computes(s, OpKind::RmsNormBackward, "rows", x.dtype())?;
    let (d, shape) = rows(&x);
    let dx = room(s, x.dtype(), x.count())?;
    // The gradient of the weight comes in f32, whatever the others are.
    let dw = room(s, DType::F32, d)?;
    if x.count() == 0 {
        if affine && d > 0 {
            s.InplaceFillScalar(&dw.row(), Number::F32(0.0))?;
        }
        return Ok((dx, if affine { Some(cast_storage(s, dw, x.dtype())?) } else { None }));
    }
    let (operand, g) = (strided(&x)?, strided(&grad)?);
    let w = gamma_or_ones(s, weight, x.dtype(), d, offset)?;
    let rstd = Held::made(room(s, DType::F32, shape.count())?, shape);
    result(s, x.dtype(), x.shape(), |out| s.RmsNorm(&operand, &w, eps, out, &rstd))?;
    s.RmsNormGrad(&g, &operand, &rstd, &w, &dx.shaped(*x.shape()), &dw.row())?;
    Ok((dx, if affine { Some(cast_storage(s, dw, x.dtype())?) } else { None }))
}
