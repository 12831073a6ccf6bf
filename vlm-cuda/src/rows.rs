//! Softmax and cross-entropy: functions of whole rows.

use crate::error::Of;
use crate::storage::{kind, operand};
use tch::{Kind, TchError, Tensor};
use vlm_core::backend::View;
use vlm_core::{DType, Result};

pub(crate) fn softmax(x: View<'_>, dim: usize) -> Result<Tensor> {
    operand(&x)?.f_softmax(dim as i64, None::<Kind>).of("softmax")
}

pub(crate) fn softmax_backward(y: View<'_>, grad: View<'_>, dim: usize) -> Result<Tensor> {
    let (y, g) = (operand(&y)?, operand(&grad)?);
    Tensor::f_internal_softmax_backward_data(&g, &y, dim as i64, kind(grad.dtype())).of("softmax_backward")
}

pub(crate) fn log_softmax(x: View<'_>, dim: usize) -> Result<Tensor> {
    operand(&x)?.f_log_softmax(dim as i64, None::<Kind>).of("log_softmax")
}

pub(crate) fn log_softmax_backward(y: View<'_>, grad: View<'_>, dim: usize) -> Result<Tensor> {
    let (y, g) = (operand(&y)?, operand(&grad)?);
    Tensor::f_internal_log_softmax_backward_data(&g, &y, dim as i64, kind(grad.dtype())).of("log_softmax_backward")
}

/// The targets with 0 in place of ignored ones, and where they are ignored.
fn sound(targets: &Tensor, ignore: i64) -> Result<(Tensor, Tensor), TchError> {
    let ignored = targets.f_eq(ignore)?;
    Ok((targets.f_masked_fill(&ignored, 0)?, ignored))
}

/// Losses `[n]` and logarithms of sums `[n]` for logits `[n, v]`, all in the accumulator type.
pub(crate) fn losses(logits: &Tensor, targets: &Tensor, ignore: i64) -> Result<(Tensor, Tensor), TchError> {
    let (classes, ignored) = sound(targets, ignore)?;
    let lse = logits.f_logsumexp([1i64], false)?;
    let hit = logits.f_gather(1, &classes.f_unsqueeze(1)?, false)?.f_squeeze_dim(1)?;
    Ok((lse.f_sub(&hit)?.f_masked_fill_(&ignored, 0.0)?, lse))
}

/// The gradient for logits in the accumulator type: `(softmax - one-hot) * grad`, 0 in ignored rows.
pub(crate) fn losses_backward(
    logits: &Tensor,
    targets: &Tensor,
    ignore: i64,
    lse: &Tensor,
    grad: &Tensor,
) -> Result<Tensor, TchError> {
    let (classes, ignored) = sound(targets, ignore)?;
    let (column, hidden) = (classes.f_unsqueeze(1)?, ignored.f_unsqueeze(1)?);
    let grad = grad.f_masked_fill(&ignored, 0.0)?.f_unsqueeze(1)?;
    // One matrix, changed in place. Ignored rows may hold anything.
    let mut d = logits.f_sub(&lse.f_unsqueeze(1)?)?.f_exp_()?.f_mul_(&grad)?.f_masked_fill_(&hidden, 0.0)?;
    d.f_scatter_add_(1, &column, &grad.f_neg()?)
}

pub(crate) fn cross_entropy(logits: View<'_>, targets: View<'_>, ignore: i64) -> Result<(Tensor, Tensor)> {
    let (x, t, wide) = (operand(&logits)?, operand(&targets)?, wide(logits.dtype()));
    x.f_to_kind(wide).and_then(|x| losses(&x, &t, ignore)).of("cross_entropy")
}

pub(crate) fn cross_entropy_backward(
    logits: View<'_>,
    targets: View<'_>,
    ignore: i64,
    lse: View<'_>,
    grad: View<'_>,
) -> Result<Tensor> {
    let (x, t, wide) = (operand(&logits)?, operand(&targets)?, wide(logits.dtype()));
    let (lse, grad) = (operand(&lse)?, operand(&grad)?);
    let run = || losses_backward(&x.f_to_kind(wide)?, &t, ignore, &lse, &grad)?.f_to_kind(kind(logits.dtype()));
    run().of("cross_entropy_backward")
}

/// The type in which a loss of these logits is computed.
pub(crate) fn wide(dtype: DType) -> Kind {
    kind(dtype.accumulator())
}
