//! Products of matrices.

use crate::aclnn::{Number, Operand, Stream};
use crate::make::{computes, contiguous, refused, result, strided};
use crate::storage::AscendStorage;
use vlm_core::backend::{OpKind, View};
use vlm_core::{DType, Dims, Result};

/// Products take at most this many dimensions.
const MOST: usize = 6;

pub(crate) fn matmul(s: &Stream, a: View<'_>, b: View<'_>) -> Result<AscendStorage> {
    let dtype = a.dtype();
    computes(s, OpKind::Matmul, "product", dtype)?;
    let rank = a.shape().rank();
    let (k, n) = (b.shape()[rank - 2], b.shape()[rank - 1]);
    let shape = a.shape().with(rank - 1, n);
    if k == 0 {
        return result(s, dtype, &shape, |out| s.InplaceZero(out));
    }
    match dtype {
        _ if dtype.is_float() => {}
        DType::I64 | DType::I32 => return of_integers(s, a, b, &shape),
        _ => return Err(refused(s, OpKind::Matmul, "product", dtype)),
    }
    let cube = s.queue().chip.cube_math_type();
    if rank > MOST {
        let (a, b) = (contiguous(s, &a)?, contiguous(s, &b)?);
        return result(s, dtype, &shape, |out| s.BatchMatMul(&batched(&a), &batched(&b), &batched(out), cube));
    }
    let (x, y) = (strided(&a)?, strided(&b)?);
    result(s, dtype, &shape, |out| if rank == 2 { s.Mm(&x, &y, out, cube) } else { s.Matmul(&x, &y, out, cube) })
}

/// The leading dimensions of a contiguous tensor as one.
fn batched(x: &Operand) -> Operand {
    let dims = x.dims();
    let (m, n) = (dims[dims.len() - 2], dims[dims.len() - 1]);
    let batch = dims[..dims.len() - 2].iter().product();
    x.clone().with_view(&[batch, m, n], &[m * n, n, 1])
}

/// The matrix units have no integers of this size: products of pairs, added up.
fn of_integers(s: &Stream, a: View<'_>, b: View<'_>, shape: &Dims) -> Result<AscendStorage> {
    let (dtype, rank) = (a.dtype(), a.shape().rank());
    let (left, right) = (a.layout.unsqueeze(rank), b.layout.unsqueeze(rank - 2));
    let (x, y) = (strided(&View::new(a.storage, &left))?, strided(&View::new(b.storage, &right))?);
    let all = shape.with_inserted(rank - 1, a.shape()[rank - 1]);
    let pairs = result(s, dtype, &all, |out| s.Mul(&x, &y, out))?;
    result(s, dtype, shape, |out| s.ReduceSum(&pairs.shaped(all), &[rank as i64 - 1], false, dtype, out))
}

pub(crate) fn linear(s: &Stream, x: View<'_>, w: View<'_>, bias: Option<View<'_>>) -> Result<AscendStorage> {
    let turned = w.layout.transpose(0, 1);
    let w = View::new(w.storage, &turned);
    let (k, n, dtype) = (w.shape()[0], w.shape()[1], x.dtype());
    let shape = Dims::from_slice(&[x.shape()[0], n]);
    let Some(bias) = bias else { return matmul(s, x, w) };
    computes(s, OpKind::Linear, "product", dtype)?;
    let row = bias.layout.broadcast_to(&shape);
    let bias_rows = View::new(bias.storage, &row);
    if k == 0 {
        return crate::make::copied(s, &bias_rows);
    }
    let (x, w, b) = (strided(&x)?, strided(&w)?, strided(&bias)?);
    let one = Number::F32(1.0);
    let cube = s.queue().chip.cube_math_type();
    result(s, dtype, &shape, |out| s.Addmm(&b, &x, &w, one, one, out, cube))
}
