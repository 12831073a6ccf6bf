//! Gradients of activations, and gates.

use crate::aclnn::Stream;
use crate::make::{Held, computes, result, strided};
use crate::storage::AscendStorage;
use vlm_core::backend::{OpKind, UnaryOp, View};
use vlm_core::{Dims, Layout, Result};

/// The gradient by an operation of its own; `None` where there is none.
pub(crate) fn unary_backward(
    s: &Stream,
    op: UnaryOp,
    x: View<'_>,
    y: View<'_>,
    grad: View<'_>,
) -> Result<Option<AscendStorage>> {
    let name = match op {
        UnaryOp::Gelu | UnaryOp::GeluTanh => "GeluBackwardV2",
        UnaryOp::Silu => "SiluBackward",
        UnaryOp::Tanh => "TanhBackward",
        UnaryOp::Sigmoid => "SigmoidBackward",
        _ => return Ok(None),
    };
    if !s.has(name) || !grad.dtype().is_float() {
        return Ok(None);
    }
    computes(s, OpKind::UnaryBackward, op, grad.dtype())?;
    let g = strided(&grad)?;
    let out = result(s, grad.dtype(), grad.shape(), |out| match op {
        UnaryOp::Gelu => s.GeluBackwardV2(&g, &strided(&x)?, c"none", out),
        UnaryOp::GeluTanh => s.GeluBackwardV2(&g, &strided(&x)?, c"tanh", out),
        UnaryOp::Silu => s.SiluBackward(&g, &strided(&x)?, out),
        UnaryOp::Tanh => s.TanhBackward(&g, &strided(&y)?, out),
        _ => s.SigmoidBackward(&g, &strided(&y)?, out),
    })?;
    Ok(Some(out))
}

/// Where gate and up are the halves of one row each, the layout of the whole rows.
fn halves(gate: &View<'_>, up: &View<'_>) -> Option<Layout> {
    let (a, b) = (gate.layout, up.layout);
    let last = a.rank().checked_sub(1)?;
    let d = a.shape()[last];
    let same = std::sync::Arc::ptr_eq(gate.storage, up.storage) && a.strides() == b.strides();
    let beside = b.offset() == a.offset() + d && a.strides()[last] == 1;
    (same && beside && d > 0).then(|| Layout::strided(a.shape().with(last, 2 * d), *a.strides(), a.offset()))
}

/// `silu(gate) * up`; `None` for other gates.
///
/// With both side by side in one tensor it is one operation; else two, which is less than joining them first.
pub(crate) fn glu(s: &Stream, op: UnaryOp, gate: View<'_>, up: View<'_>) -> Result<Option<AscendStorage>> {
    if op != UnaryOp::Silu || !gate.dtype().is_float() {
        return Ok(None);
    }
    let (dtype, shape) = (gate.dtype(), gate.shape());
    computes(s, OpKind::Glu, op, dtype)?;
    if let Some(whole) = halves(&gate, &up).filter(|_| s.has("SwiGlu")) {
        let rows = strided(&View::new(gate.storage, &whole))?;
        return result(s, dtype, shape, |out| s.SwiGlu(&rows, -1, out)).map(Some);
    }
    // Half floats would be rounded between the two.
    if dtype.size() == 2 {
        return Ok(None);
    }
    let (g, u) = (strided(&gate)?, strided(&up)?);
    let active = Held::made(result(s, dtype, shape, |out| s.Silu(&g, out))?, *shape);
    result(s, dtype, shape, |out| s.Mul(&active, &u, out)).map(Some)
}

/// The gradients of [`glu`]; `None` where it is composed.
pub(crate) fn glu_backward(
    s: &Stream,
    op: UnaryOp,
    gate: View<'_>,
    up: View<'_>,
    grad: View<'_>,
) -> Result<Option<(AscendStorage, AscendStorage)>> {
    if op != UnaryOp::Silu || !gate.dtype().is_float() {
        return Ok(None);
    }
    let (dtype, shape) = (gate.dtype(), gate.shape());
    computes(s, OpKind::GluBackward, op, dtype)?;
    let last = shape.rank() - 1;
    if let Some(whole) = halves(&gate, &up).filter(|_| s.has("SwiGluGrad")) {
        let (rows, g) = (strided(&View::new(gate.storage, &whole))?, strided(&grad)?);
        let both = result(s, dtype, whole.shape(), |out| s.SwiGluGrad(&g, &rows, -1, out))?.share();
        let d = shape[last];
        let half = |start: usize| {
            let layout = Layout::contiguous(*whole.shape()).narrow(last, start, d);
            crate::make::copied(s, &View::new(&both, &layout))
        };
        return Ok(Some((half(0)?, half(d)?)));
    }
    if dtype.size() == 2 || !s.has("SiluBackward") {
        return Ok(None);
    }
    let (g, u, d) = (strided(&gate)?, strided(&up)?, strided(&grad)?);
    let through = Held::made(result(s, dtype, shape, |out| s.Mul(&d, &u, out))?, *shape);
    let dgate = result(s, dtype, shape, |out| s.SiluBackward(&through, &g, out))?;
    let active = Held::made(result(s, dtype, shape, |out| s.Silu(&g, out))?, *shape);
    let dup = result(s, dtype, shape, |out| s.Mul(&d, &active, out))?;
    Ok(Some((dgate, dup)))
}

/// A row of ones for a norm that has no weight, and the like.
pub(crate) fn ones(s: &Stream, dtype: vlm_core::DType, len: usize) -> Result<Held> {
    let shape = Dims::from_slice(&[len]);
    Ok(Held::made(result(s, dtype, &shape, |out| s.InplaceOne(out))?, shape))
}
