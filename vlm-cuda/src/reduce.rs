//! Reductions and running reductions.
//!
//! libtorch takes an empty list of dimensions for all of them; the contract means none.

use crate::error::Of;
use crate::storage::{kind, number, operand};
use tch::{Kind, Tensor};
use vlm_core::backend::{ArgReduceOp, CumulativeOp, OpKind, ReduceOp, View, unsupported};
use vlm_core::{DType, Dims, Result};

/// The element type of a sum: integers are summed in `i64`.
pub(crate) fn summed(dtype: DType) -> DType {
    if dtype.is_float() { dtype } else { DType::I64 }
}

pub(crate) fn reduced(op: ReduceOp, dtype: DType) -> DType {
    match op {
        ReduceOp::Sum | ReduceOp::Prod => summed(dtype),
        _ => dtype,
    }
}

pub(crate) fn reduce(op: ReduceOp, x: View<'_>, dims: &Dims) -> Result<Tensor> {
    const OP: &str = "reduce";
    let dtype = x.dtype();
    let out = kind(reduced(op, dtype));
    if dims.rank() == 0 {
        return crate::elementwise::cast(x, reduced(op, dtype));
    }
    let dims: Vec<i64> = dims.iter().map(|&d| d as i64).collect();
    let narrow = |t: Tensor| if dtype == DType::U32 { t.f_to_kind(Kind::Int) } else { Ok(t) };
    match op {
        ReduceOp::Sum => number(&x)?.f_sum_dim_intlist(&dims[..], false, out),
        ReduceOp::Mean if dtype.is_float() => operand(&x)?.f_mean_dim(&dims[..], false, out),
        ReduceOp::Max => number(&x)?.f_amax(&dims[..], false).and_then(narrow),
        ReduceOp::Min => number(&x)?.f_amin(&dims[..], false).and_then(narrow),
        ReduceOp::Prod => return product(&*number(&x)?, &dims, out),
        ReduceOp::Any if dtype == DType::Bool => operand(&x)?.f_any_dims(&dims[..], false),
        ReduceOp::All if dtype == DType::Bool => operand(&x)?.f_all_dims(&dims[..], false),
        _ => return Err(unsupported("libtorch", OpKind::Reduce, op, dtype)),
    }
    .of(OP)
}

/// libtorch multiplies along one dimension at a time; in between nothing is rounded to a half float.
fn product(x: &Tensor, dims: &[i64], out: Kind) -> Result<Tensor> {
    let wide = match out {
        Kind::Half | Kind::BFloat16 => Kind::Float,
        other => other,
    };
    let all = || {
        let mut y = x.f_to_kind(wide)?;
        for &dim in dims.iter().rev() {
            y = y.f_prod_dim_int(dim, false, wide)?;
        }
        y.f_to_kind(out)
    };
    all().of("reduce")
}

pub(crate) fn arg_reduce(op: ArgReduceOp, x: View<'_>, dim: usize) -> Result<Tensor> {
    let dtype = x.dtype();
    let n = number(&x)?;
    // libtorch has no position of a truth value.
    let bytes = if dtype == DType::Bool { Some(n.f_to_kind(Kind::Uint8).of("arg_reduce")?) } else { None };
    let n = bytes.as_ref().unwrap_or(&n);
    match op {
        ArgReduceOp::Max => n.f_argmax(dim as i64, false),
        ArgReduceOp::Min => n.f_argmin(dim as i64, false),
        _ => return Err(unsupported("libtorch", OpKind::ArgReduce, op, dtype)),
    }
    .of("arg_reduce")
}

pub(crate) fn cumulative(op: CumulativeOp, x: View<'_>, dim: usize) -> Result<Tensor> {
    let dtype = x.dtype();
    let (n, out) = (number(&x)?, kind(summed(dtype)));
    match op {
        CumulativeOp::Sum => n.f_cumsum(dim as i64, out),
        CumulativeOp::Prod => n.f_cumprod(dim as i64, out),
        _ => return Err(unsupported("libtorch", OpKind::Cumulative, op, dtype)),
    }
    .of("cumulative")
}
