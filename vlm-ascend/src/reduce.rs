//! Reductions over dimensions, positions of extremes, running sums.

use crate::aclnn::{Number, Operand, Stream};
use crate::make::{Held, cast, cast_storage, computes, contiguous, refused, result, strided};
use crate::storage::AscendStorage;
use vlm_core::backend::{ArgReduceOp, CumulativeOp, OpKind, ReduceOp, View};
use vlm_core::{DType, Dims, Result, Shape};

/// The type of sums and products.
pub(crate) fn summed(dtype: DType) -> DType {
    if dtype.is_float() { dtype } else { DType::I64 }
}

/// The type of a reduction's result.
fn reduced(op: ReduceOp, dtype: DType) -> DType {
    if matches!(op, ReduceOp::Sum | ReduceOp::Prod) { summed(dtype) } else { dtype }
}

/// `shape` without `dims`.
fn without(shape: &Dims, dims: &Dims) -> Dims {
    dims.iter().rev().fold(*shape, |s, &d| s.without(d))
}

pub(crate) fn reduce(s: &Stream, op: ReduceOp, x: View<'_>, dims: &Dims) -> Result<AscendStorage> {
    let dtype = x.dtype();
    computes(s, OpKind::Reduce, op, dtype)?;
    let truth = matches!(op, ReduceOp::Any | ReduceOp::All);
    if (truth && dtype != DType::Bool) || (op == ReduceOp::Mean && !dtype.is_float()) {
        return Err(refused(s, OpKind::Reduce, op, dtype));
    }
    let (shape, to) = (without(x.shape(), dims), reduced(op, dtype));
    if dims.rank() == 0 {
        return crate::elementwise::cast_to(s, x, to);
    }
    if x.count() == 0 {
        return nothing(s, op, to, &shape);
    }
    let axes: Vec<i64> = dims.iter().map(|&d| d as i64).collect();
    match op {
        ReduceOp::Sum | ReduceOp::Prod => {
            let operand = cast(s, &x, if dtype.is_float() { dtype } else { DType::I64 })?;
            if op == ReduceOp::Prod {
                return product(s, &x, operand, dims);
            }
            result(s, to, &shape, |out| s.ReduceSum(&operand, &axes, false, to, out))
        }
        ReduceOp::Mean => {
            let operand = strided(&x)?;
            result(s, to, &shape, |out| s.Mean(&operand, &axes, false, to, out))
        }
        ReduceOp::Any | ReduceOp::All => {
            let operand = strided(&x)?;
            result(s, to, &shape, |out| match op {
                ReduceOp::Any => s.Any(&operand, &axes, false, out),
                _ => s.All(&operand, &axes, false, out),
            })
        }
        ReduceOp::Max | ReduceOp::Min => {
            let as_bytes = |o: Operand| if dtype == DType::Bool { o.reinterpreted(DType::U8) } else { o };
            let operand = as_bytes(strided(&x)?);
            result(s, to, &shape, |out| match op {
                ReduceOp::Max => s.Amax(&operand, &axes, false, &as_bytes(out.clone())),
                _ => s.Amin(&operand, &axes, false, &as_bytes(out.clone())),
            })
        }
        _ => Err(refused(s, OpKind::Reduce, op, dtype)),
    }
}

/// The reduction of no elements.
fn nothing(s: &Stream, op: ReduceOp, dtype: DType, shape: &Shape) -> Result<AscendStorage> {
    let value = match op {
        ReduceOp::Mean => f64::NAN,
        ReduceOp::Prod | ReduceOp::All => 1.0,
        _ => 0.0,
    };
    result(s, dtype, shape, |out| s.InplaceFillScalar(out, Number::of(value, dtype)))
}

/// One dimension after the other, the last first; half floats in `f32`.
fn product(s: &Stream, x: &View<'_>, operand: Held, dims: &Dims) -> Result<AscendStorage> {
    let to = summed(x.dtype());
    let wide = if to.is_float() { DType::F32 } else { DType::I64 };
    let mut at = if operand.dtype() == wide { operand } else { cast(s, x, wide)? };
    let mut shape = *x.shape();
    for &d in dims.iter().rev() {
        shape = shape.without(d);
        let next = result(s, wide, &shape, |out| s.ProdDim(&at, d as i64, false, wide, out))?;
        at = Held::made(next, shape);
    }
    match at.into_storage() {
        Some(last) => cast_storage(s, last, to),
        None => crate::elementwise::cast_to(s, *x, to),
    }
}

pub(crate) fn arg_reduce(s: &Stream, op: ArgReduceOp, x: View<'_>, dim: usize) -> Result<AscendStorage> {
    computes(s, OpKind::ArgReduce, op, x.dtype())?;
    let mut operand = strided(&x)?;
    if x.dtype() == DType::Bool {
        operand = operand.reinterpreted(DType::U8);
    }
    result(s, DType::I64, &x.shape().without(dim), |out| match op {
        ArgReduceOp::Max => s.ArgMax(&operand, dim as i64, false, out),
        ArgReduceOp::Min => s.ArgMin(&operand, dim as i64, false, out),
        _ => Err(refused(s, OpKind::ArgReduce, op, x.dtype())),
    })
}

pub(crate) fn cumulative(s: &Stream, op: CumulativeOp, x: View<'_>, dim: usize) -> Result<AscendStorage> {
    computes(s, OpKind::Cumulative, op, x.dtype())?;
    let to = summed(x.dtype());
    // Half floats are kept in f32 while they add up.
    let wide = if to.is_float() { DType::F32 } else { DType::I64 };
    let operand = if x.dtype() == wide { contiguous(s, &x)? } else { cast(s, &x, wide)? };
    let found = result(s, wide, x.shape(), |out| match op {
        CumulativeOp::Sum => s.Cumsum(&operand, dim as i64, wide, out),
        CumulativeOp::Prod => s.Cumprod(&operand, Number::I64(dim as i64), wide, out),
        _ => Err(refused(s, OpKind::Cumulative, op, x.dtype())),
    })?;
    cast_storage(s, found, to)
}
