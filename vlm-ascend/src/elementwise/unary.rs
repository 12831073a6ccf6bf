//! Functions of one element.

use crate::aclnn::{Number, Operand, Stream};
use crate::make::{Held, cast, cast_storage, computes, copied, refused, result, strided};
use crate::storage::AscendStorage;
use vlm_core::backend::{OpKind, UnaryOp, View};
use vlm_core::{DType, Result};

/// The range of an integer type.
fn range(dtype: DType) -> (i64, i64) {
    match dtype {
        DType::I32 => (i64::from(i32::MIN), i64::from(i32::MAX)),
        DType::U8 => (0, i64::from(u8::MAX)),
        _ => (i64::MIN, i64::MAX),
    }
}

pub(crate) fn unary(s: &Stream, op: UnaryOp, x: View<'_>) -> Result<AscendStorage> {
    let dtype = x.dtype();
    computes(s, OpKind::Unary, op, dtype)?;
    if dtype.is_float() {
        return float(s, op, x);
    }
    let refuse = || Err(refused(s, OpKind::Unary, op, dtype));
    if (dtype == DType::Bool) != (op == UnaryOp::Not) {
        return refuse();
    }
    let operand = strided(&x)?;
    match op {
        UnaryOp::Affine { mul, add } => return affine(s, x, mul.trunc(), add.trunc()),
        UnaryOp::Abs if dtype == DType::U8 => return copied(s, &x),
        UnaryOp::Neg if dtype == DType::U8 => return affine(s, x, -1.0, 0.0),
        UnaryOp::Not | UnaryOp::Neg | UnaryOp::Abs | UnaryOp::Square | UnaryOp::Clamp { .. } => {}
        _ => return refuse(),
    }
    result(s, dtype, x.shape(), |out| match op {
        UnaryOp::Not => s.LogicalNot(&operand, out),
        UnaryOp::Neg => s.Neg(&operand, out),
        UnaryOp::Abs => s.Abs(&operand, out),
        UnaryOp::Square => s.Mul(&operand, &operand, out),
        UnaryOp::Clamp { low, high } => {
            let (least, most) = range(dtype);
            let (low, high) = ((low.ceil() as i64).clamp(least, most), (high.floor() as i64).clamp(least, most));
            s.Clamp(&operand, Number::I64(low), Number::I64(high), out)
        }
        _ => Err(refused(s, OpKind::Unary, op, dtype)),
    })
}

/// The operation that does it alone.
fn direct(s: &Stream, op: UnaryOp, x: &Operand, out: &Operand) -> Option<Result<()>> {
    let number = |v: f64| Number::F32(v as f32);
    Some(match op {
        UnaryOp::Neg => s.Neg(x, out),
        UnaryOp::Abs => s.Abs(x, out),
        UnaryOp::Sign => s.Sign(x, out),
        UnaryOp::Exp => s.Exp(x, out),
        UnaryOp::Log => s.Log(x, out),
        UnaryOp::Log1p => s.Log1p(x, out),
        UnaryOp::Expm1 => s.Expm1(x, out),
        UnaryOp::Sqrt => s.Sqrt(x, out),
        UnaryOp::Rsqrt => s.Rsqrt(x, out),
        UnaryOp::Reciprocal => s.Reciprocal(x, out),
        UnaryOp::Square => s.Mul(x, x, out),
        UnaryOp::Sin => s.Sin(x, out),
        UnaryOp::Cos => s.Cos(x, out),
        UnaryOp::Tanh => s.Tanh(x, out),
        UnaryOp::Sigmoid => s.Sigmoid(x, out),
        UnaryOp::Erf => s.Erf(x, out),
        UnaryOp::Relu => s.Relu(x, out),
        UnaryOp::Gelu => s.GeluV2(x, 0, out),
        UnaryOp::GeluTanh => s.GeluV2(x, 1, out),
        UnaryOp::Silu => s.Silu(x, out),
        UnaryOp::Softplus => s.Softplus(x, number(1.0), number(20.0), out),
        UnaryOp::Floor => s.Floor(x, out),
        UnaryOp::Ceil => s.Ceil(x, out),
        UnaryOp::Round => s.Round(x, out),
        UnaryOp::Powf(p) => s.PowTensorScalar(x, number(p), out),
        UnaryOp::Clamp { low, high } => s.Clamp(x, number(low), number(high), out),
        _ => return None,
    })
}

fn float(s: &Stream, op: UnaryOp, x: View<'_>) -> Result<AscendStorage> {
    let (dtype, shape) = (x.dtype(), x.shape());
    match op {
        UnaryOp::Affine { mul, add } => return affine(s, x, mul, add),
        UnaryOp::QuickGelu => {
            // In f32, as rounding the argument of the exponential shows.
            let wide = cast(s, &x, DType::F32)?;
            let scaled = result(s, DType::F32, shape, |out| s.Muls(&wide, Number::F32(1.702), out))?;
            let scaled = Held::made(scaled, *shape);
            let gate = result(s, DType::F32, shape, |out| s.Sigmoid(&scaled, out))?;
            let gate = Held::made(gate, *shape);
            let y = result(s, DType::F32, shape, |out| s.Mul(&wide, &gate, out))?;
            return cast_storage(s, y, dtype);
        }
        UnaryOp::Not => return Err(refused(s, OpKind::Unary, op, dtype)),
        _ => {}
    }
    let operand = strided(&x)?;
    result(s, dtype, shape, |out| {
        direct(s, op, &operand, out).unwrap_or_else(|| Err(refused(s, OpKind::Unary, op, dtype)))
    })
}

/// `mul * x + add`.
pub(crate) fn affine(s: &Stream, x: View<'_>, mul: f64, add: f64) -> Result<AscendStorage> {
    let (dtype, shape) = (x.dtype(), x.shape());
    let number = |v: f64| Number::of(v, dtype);
    let operand = strided(&x)?;
    if add == 0.0 {
        return result(s, dtype, shape, |out| s.Muls(&operand, number(mul), out));
    }
    if mul == 1.0 {
        return result(s, dtype, shape, |out| s.Adds(&operand, number(add), number(1.0), out));
    }
    // Half floats are rounded once, at the end.
    let wide_type = if dtype.is_float() { DType::F32 } else { dtype };
    let wide = cast(s, &x, wide_type)?;
    let y = result(s, wide_type, shape, |out| {
        s.Muls(&wide, number(mul), out)?;
        s.InplaceAdds(out, number(add), number(1.0))
    })?;
    cast_storage(s, y, dtype)
}
