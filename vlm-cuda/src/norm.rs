//! Layer norm and RMS norm.

use crate::error::Of;
use crate::shim;
use crate::storage::{Operand, kind, operand};
use tch::{TchError, Tensor};
use vlm_core::Result;
use vlm_core::backend::View;

fn last(x: &View<'_>) -> i64 {
    x.shape().last().map_or(1, |&d| d as i64)
}

pub(crate) fn layer_norm(x: View<'_>, weight: Option<View<'_>>, bias: Option<View<'_>>, eps: f64) -> Result<Tensor> {
    let (w, b) = (weight.as_ref().map(operand).transpose()?, bias.as_ref().map(operand).transpose()?);
    operand(&x)?.f_layer_norm([last(&x)], w.as_deref(), b.as_deref(), eps, true).of("layer_norm")
}

/// Gradients for the input and, if `affine` is set, weight and bias.
pub(crate) fn layer_norm_backward(
    x: View<'_>,
    weight: Option<View<'_>>,
    grad: View<'_>,
    eps: f64,
    affine: bool,
) -> Result<(Tensor, Option<(Tensor, Tensor)>)> {
    const OP: &str = "layer_norm_backward";
    let weight = weight.as_ref().map(operand).transpose()?;
    // The kernel gives gradients of a weight only where there is one.
    let ones = if affine && weight.is_none() {
        Some(Tensor::f_ones([last(&x)], (kind(x.dtype()), operand(&x)?.device())).of(OP)?)
    } else {
        None
    };
    let (x, g) = (contiguous(&x)?, contiguous(&grad)?);
    shim::layer_norm_backward(&g, &x, weight.as_deref().or(ones.as_ref()), eps, affine)
}

/// The view in one piece: these kernels read rows.
fn contiguous<'a>(view: &View<'a>) -> Result<Operand<'a>> {
    let x = operand(view)?;
    if x.is_contiguous() { Ok(x) } else { x.f_contiguous().of("contiguous").map(Operand::Part) }
}

pub(crate) fn rms_norm(x: View<'_>, weight: Option<View<'_>>, eps: f64, offset: f64) -> Result<Tensor> {
    let w = weight.as_ref().map(operand).transpose()?;
    let (input, small, wide) = (contiguous(&x)?, kind(x.dtype()), kind(x.dtype().accumulator()));
    let run = || match &w {
        // The sum of weight and offset is not rounded to a half float.
        Some(w) if offset != 0.0 => {
            let w = w.f_to_kind(wide)?.f_add_scalar(offset)?;
            input.f_to_kind(wide)?.f_rms_norm([last(&x)], Some(&w), eps)?.f_to_kind(small)
        }
        _ => input.f_rms_norm([last(&x)], w.as_deref(), eps),
    };
    run().of("rms_norm")
}

/// Gradients for the input and, if `affine` is set, the weight.
pub(crate) fn rms_norm_backward(
    x: View<'_>,
    weight: Option<View<'_>>,
    grad: View<'_>,
    eps: f64,
    offset: f64,
    affine: bool,
) -> Result<(Tensor, Option<Tensor>)> {
    let (small, wide) = (kind(x.dtype()), kind(x.dtype().accumulator()));
    let d = last(&x);
    let (x, g) = (operand(&x)?, operand(&grad)?);
    let w = weight.as_ref().map(operand).transpose()?;
    let run = || -> Result<_, TchError> {
        let (x, g) = (x.f_to_kind(wide)?, g.f_to_kind(wide)?);
        let factor = x.f_mul(&x)?.f_mean_dim(&[-1i64][..], true, None)?.f_add_scalar(eps)?.f_rsqrt()?;
        let n = x.f_mul(&factor)?;
        let along = g.f_mul(&n)?;
        let rows = |t: &Tensor| t.f_reshape([-1, d])?.f_sum_dim_intlist(&[0i64][..], false, None)?.f_to_kind(small);
        let dw = if affine { Some(rows(&along)?) } else { None };
        // `n` and `along` are not needed any more after the mean: they become the result.
        let (mut through, mean) = match &w {
            Some(w) => {
                let mut w = w.f_to_kind(wide)?;
                if offset != 0.0 {
                    w = w.f_add_scalar(offset)?;
                }
                (g.f_mul(&w)?, along.f_matmul(&w)?.f_div_scalar(d as f64)?.f_unsqueeze(-1)?)
            }
            None => (g.f_add_scalar(0.0)?, along.f_mean_dim(&[-1i64][..], true, None)?),
        };
        let mut n = n;
        let dx = through.f_sub_(&n.f_mul_(&mean)?)?.f_mul_(&factor)?.f_to_kind(small)?;
        Ok((dx, dw))
    };
    run().of("rms_norm_backward")
}
