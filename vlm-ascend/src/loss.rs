//! Cross-entropy.

use crate::aclnn::{Number, Stream};
use crate::make::{Held, cast, cast_storage, computes, result, room, strided};
use crate::storage::AscendStorage;
use vlm_core::backend::{OpKind, View};
use vlm_core::{DType, Dims, Result};

/// Losses and logarithms of sums, both `f32`; `None` where it is composed.
pub(crate) fn cross_entropy(
    s: &Stream,
    logits: View<'_>,
    targets: View<'_>,
    ignore: i64,
) -> Result<Option<(AscendStorage, AscendStorage)>> {
    if !s.has("CrossEntropyLoss") || logits.count() == 0 || targets.dtype() != DType::I64 {
        return Ok(None);
    }
    computes(s, OpKind::CrossEntropy, "rows", logits.dtype())?;
    let (n, shape) = (logits.shape()[0], *logits.shape());
    let rows = Dims::from_slice(&[n]);
    let (x, t) = (cast(s, &logits, DType::F32)?, strided(&targets)?);
    let log_probs = Held::made(room(s, DType::F32, shape.count())?, shape);
    // Reserved by the operation, which wants them all the same.
    let (zloss, zlse) = (room(s, DType::F32, 1)?, room(s, DType::F32, n)?);
    let losses = result(s, DType::F32, &rows, |out| {
        s.CrossEntropyLoss(
            &x,
            &t,
            None,
            c"none",
            ignore,
            0.0,
            0.0,
            false,
            out,
            &log_probs,
            Some(&zloss.row()),
            Some(&zlse.row()),
        )
    })?;
    // logits = log p + lse, in every column: seen where the row is largest, which is finite.
    let top = Held::made(result(s, DType::F32, &rows, |out| s.Amax(&x, &[1], false, out))?, rows);
    let top_log = Held::made(result(s, DType::F32, &rows, |out| s.Amax(&log_probs, &[1], false, out))?, rows);
    let lse = result(s, DType::F32, &rows, |out| s.Sub(&top, &top_log, Number::F32(1.0), out))?;
    Ok(Some((losses, lse)))
}

/// The gradient for the logits; `None` where it is composed.
pub(crate) fn cross_entropy_backward(
    s: &Stream,
    logits: View<'_>,
    targets: View<'_>,
    ignore: i64,
    lse: View<'_>,
    grad: View<'_>,
) -> Result<Option<AscendStorage>> {
    if !s.has("CrossEntropyLossGrad") || logits.count() == 0 || targets.dtype() != DType::I64 {
        return Ok(None);
    }
    computes(s, OpKind::CrossEntropyBackward, "rows", logits.dtype())?;
    let shape = *logits.shape();
    let (x, t, g) = (cast(s, &logits, DType::F32)?, strided(&targets)?, strided(&grad)?);
    let column = lse.layout.unsqueeze(1);
    let lse = strided(&View::new(lse.storage, &column))?;
    let log_probs = Held::made(result(s, DType::F32, &shape, |out| s.Sub(&x, &lse, Number::F32(1.0), out))?, shape);
    let column = Dims::from_slice(&[shape[0], 1]);
    let ignored = result(s, DType::Bool, &column, |out| {
        let t = t.clone().with_view(&[shape[0] as i64, 1], &[t.strides()[0], 1]);
        s.EqScalar(&t, Number::I64(ignore), out)
    })?;
    let out = result(s, DType::F32, &shape, |out| {
        s.CrossEntropyLossGrad(&g, &log_probs, &t, None, None, None, c"none", ignore, 0.0, 0.0, out)?;
        // Ignored rows may hold anything, NaN too.
        s.InplaceMaskedFillScalar(out, &ignored.shaped(column), Number::F32(0.0))
    })?;
    cast_storage(s, out, logits.dtype()).map(Some)
}
