//! Softmax and its logarithm.

use crate::aclnn::{Operand, Stream};
use crate::make::{computes, result, strided};
use crate::storage::AscendStorage;
use vlm_core::Result;
use vlm_core::backend::{OpKind, View};

fn of_one(
    s: &Stream,
    op: OpKind,
    x: View<'_>,
    run: impl FnOnce(&Operand, &Operand) -> Result<()>,
) -> Result<AscendStorage> {
    computes(s, op, "rows", x.dtype())?;
    let operand = strided(&x)?;
    result(s, x.dtype(), x.shape(), |out| run(&operand, out))
}

pub(crate) fn softmax(s: &Stream, x: View<'_>, dim: usize) -> Result<AscendStorage> {
    of_one(s, OpKind::Softmax, x, |x, out| s.Softmax(x, dim as i64, out))
}

pub(crate) fn softmax_backward(s: &Stream, y: View<'_>, grad: View<'_>, dim: usize) -> Result<AscendStorage> {
    let grad = strided(&grad)?;
    of_one(s, OpKind::SoftmaxBackward, y, |y, out| s.SoftmaxBackward(&grad, y, dim as i64, out))
}

pub(crate) fn log_softmax(s: &Stream, x: View<'_>, dim: usize) -> Result<AscendStorage> {
    of_one(s, OpKind::LogSoftmax, x, |x, out| s.LogSoftmax(x, dim as i64, out))
}

pub(crate) fn log_softmax_backward(s: &Stream, y: View<'_>, grad: View<'_>, dim: usize) -> Result<AscendStorage> {
    let grad = strided(&grad)?;
    of_one(s, OpKind::LogSoftmaxBackward, y, |y, out| s.LogSoftmaxBackward(&grad, y, dim as i64, out))
}
