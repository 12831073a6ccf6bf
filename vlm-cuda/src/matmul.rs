//! Products of matrices.

use crate::error::Of;
use crate::storage::{Operand, number, operand};
use tch::{Device, Kind, Tensor};
use vlm_core::Result;
use vlm_core::backend::View;

pub(crate) fn matmul(a: View<'_>, b: View<'_>) -> Result<Tensor> {
    const OP: &str = "matmul";
    let dtype = a.dtype();
    if !dtype.is_float() {
        return integers(&*number(&a)?, &*number(&b)?, crate::storage::kind(dtype)).of(OP);
    }
    let rank = a.shape().rank();
    // One matrix for all: libtorch multiplies it once with all rows instead of copying it for every batch.
    let shared = rank > 2 && (0..rank - 2).all(|d| b.layout.strides()[d] == 0 || b.shape()[d] == 1) && b.count() > 0;
    if shared {
        let last = (0..rank - 2).fold(*b.layout, |l, _| l.narrow(0, 0, 1).squeeze(0));
        let view = View::new(b.storage, &last);
        return operand(&a)?.f_matmul(&*operand(&view)?).of(OP);
    }
    operand(&a)?.f_matmul(&*operand(&b)?).of(OP)
}

/// Products of integers wrap. GPUs have no kernel for them; they are rare and small, and computed on the CPU.
fn integers(a: &Tensor, b: &Tensor, out: Kind) -> Result<Tensor, tch::TchError> {
    let device = a.device();
    let host = |t: &Tensor| t.f_to_device(Device::Cpu)?.f_to_kind(Kind::Int64);
    host(a)?.f_matmul(&host(b)?)?.f_to_kind(out)?.f_to_device(device)
}

pub(crate) fn linear(x: View<'_>, w: View<'_>, bias: Option<View<'_>>) -> Result<Tensor> {
    let bias: Option<Operand<'_>> = bias.as_ref().map(operand).transpose()?;
    operand(&x)?.f_linear(&*operand(&w)?, bias.as_deref()).of("linear")
}
