//! Functions of single elements and pairs.

mod cast;
mod unary;

pub(crate) use cast::cast_to;
pub(crate) use unary::{affine, unary};

use crate::aclnn::{Number, Operand, Stream};
use crate::make::{Held, cast, cast_storage, computes, plain, refused, result, room, strided};
use crate::storage::AscendStorage;
use half::{bf16, f16};
use vlm_core::backend::{BinaryOp, CompareOp, OpKind, View};
use vlm_core::{DType, Dims, Element, Result, Scalar};

pub(crate) fn fill(s: &Stream, dtype: DType, len: usize, value: Scalar) -> Result<AscendStorage> {
    match dtype {
        // The device only copies these.
        DType::BF16 if !s.queue().chip.has_bf16() => {
            let bits = value.to::<bf16>().to_ne_bytes();
            let bytes: Vec<u8> = std::iter::repeat_n(bits, len).flatten().collect();
            crate::memory::upload(s, dtype, &bytes)
        }
        DType::F64 | DType::U32 => {
            let bits = match dtype {
                DType::F64 => value.to::<f64>().to_bits() as i64,
                _ => i64::from(value.to::<u32>() as i32),
            };
            let out = room(s, dtype, len)?;
            if len > 0 {
                s.InplaceFillScalar(&out.row().reinterpreted(plain(s, dtype)), Number::I64(bits))?;
            }
            Ok(out)
        }
        _ if dtype.is_float() => filled(s, dtype, len, Number::F32(value.to_f64() as f32)),
        _ => filled(s, dtype, len, Number::I64(value.to::<i64>())),
    }
}

fn filled(s: &Stream, dtype: DType, len: usize, value: Number) -> Result<AscendStorage> {
    result(s, dtype, &Dims::from_slice(&[len]), |out| {
        if value == Number::F32(0.0) || value == Number::I64(0) {
            return s.InplaceZero(out);
        }
        s.InplaceFillScalar(out, value)
    })
}

pub(crate) fn arange(s: &Stream, dtype: DType, start: f64, step: f64, len: usize) -> Result<AscendStorage> {
    // Computed on the host in f64 and rounded once, as the device would not in every type; they are short and made once.
    let exact: Vec<u8> = match dtype {
        DType::F64 => (0..len).flat_map(|i| (start + i as f64 * step).to_ne_bytes()).collect(),
        DType::F32 => (0..len).flat_map(|i| ((start + i as f64 * step) as f32).to_ne_bytes()).collect(),
        DType::F16 => {
            (0..len).flat_map(|i| <f16 as Element>::from_f64(start + i as f64 * step).to_ne_bytes()).collect()
        }
        DType::BF16 => {
            (0..len).flat_map(|i| <bf16 as Element>::from_f64(start + i as f64 * step).to_ne_bytes()).collect()
        }
        DType::I64 => (0..len).flat_map(|i| ((start + i as f64 * step) as i64).to_ne_bytes()).collect(),
        DType::I32 => (0..len).flat_map(|i| ((start + i as f64 * step) as i32).to_ne_bytes()).collect(),
        DType::U32 => (0..len).flat_map(|i| ((start + i as f64 * step) as u32).to_ne_bytes()).collect(),
        DType::U8 => (0..len).map(|i| (start + i as f64 * step) as u8).collect(),
        DType::Bool => (0..len).map(|i| u8::from(start + i as f64 * step != 0.0)).collect(),
    };
    crate::memory::upload(s, dtype, &exact)
}

/// Both as operands of an operation that broadcasts: dimensions along which one repeats and the other does not are left to it.
fn pair(a: &View<'_>, b: &View<'_>) -> Result<(Operand, Operand)> {
    let (mut x, mut y) = (strided(a)?, strided(b)?);
    for i in 0..x.dims().len() {
        let (s, t) = (x.strides()[i], y.strides()[i]);
        if s == 0 && t != 0 {
            x.drop_repetition(i);
        } else if t == 0 && s != 0 {
            y.drop_repetition(i);
        }
    }
    Ok((x, y))
}

pub(crate) fn binary(s: &Stream, op: BinaryOp, a: View<'_>, b: View<'_>) -> Result<AscendStorage> {
    let dtype = a.dtype();
    computes(s, OpKind::Binary, op, dtype)?;
    let refuse = || Err(refused(s, OpKind::Binary, op, dtype));
    let truth = matches!(op, BinaryOp::And | BinaryOp::Or | BinaryOp::Xor);
    if truth != (dtype == DType::Bool) || (!dtype.is_float() && matches!(op, BinaryOp::Div | BinaryOp::Pow)) {
        return refuse();
    }
    if !dtype.is_float() && matches!(op, BinaryOp::FloorDiv | BinaryOp::Remainder) {
        return whole_division(s, op, a, b);
    }
    let (x, y) = pair(&a, &b)?;
    let one = Number::of(1.0, dtype);
    result(s, dtype, a.shape(), |out| match op {
        BinaryOp::Add => s.Add(&x, &y, one, out),
        BinaryOp::Sub => s.Sub(&x, &y, one, out),
        BinaryOp::Mul => s.Mul(&x, &y, out),
        BinaryOp::Div => s.Div(&x, &y, out),
        BinaryOp::FloorDiv => s.FloorDivide(&x, &y, out),
        BinaryOp::Remainder => s.RemainderTensorTensor(&x, &y, out),
        BinaryOp::Pow => s.PowTensorTensor(&x, &y, out),
        BinaryOp::Maximum => s.Maximum(&x, &y, out),
        BinaryOp::Minimum => s.Minimum(&x, &y, out),
        BinaryOp::And => s.LogicalAnd(&x, &y, out),
        BinaryOp::Or => s.LogicalOr(&x, &y, out),
        BinaryOp::Xor => s.LogicalXor(&x, &y, out),
        _ => Err(refused(s, OpKind::Binary, op, dtype)),
    })
}

/// Division of integers, in `i64`, where a divisor of 0 gives 0: what the device gives there is open.
fn whole_division(s: &Stream, op: BinaryOp, a: View<'_>, b: View<'_>) -> Result<AscendStorage> {
    let shape = a.shape();
    let (x, y) = (cast(s, &a, DType::I64)?, cast(s, &b, DType::I64)?);
    let zero = result(s, DType::Bool, shape, |out| s.EqScalar(&y, Number::I64(0), out))?;
    let one = result(s, DType::I64, &Dims::from_slice(&[1]), |out| s.InplaceFillScalar(out, Number::I64(1)))?;
    let divisor =
        result(s, DType::I64, shape, |out| s.SWhere(&zero.shaped(*shape).at_least_1d(), &one.row(), &y, out))?;
    let divisor = Held::made(divisor, *shape);
    let found = result(s, DType::I64, shape, |out| match op {
        BinaryOp::FloorDiv => s.FloorDivide(&x, &divisor, out),
        _ => s.RemainderTensorTensor(&x, &divisor, out),
    })?;
    if shape.count() > 0 {
        s.InplaceMaskedFillScalar(
            &found.shaped(*shape).at_least_1d(),
            &zero.shaped(*shape).at_least_1d(),
            Number::I64(0),
        )?;
    }
    cast_storage(s, found, a.dtype())
}

pub(crate) fn compare(s: &Stream, op: CompareOp, a: View<'_>, b: View<'_>) -> Result<AscendStorage> {
    computes(s, OpKind::Compare, op, a.dtype())?;
    let (mut x, mut y) = pair(&a, &b)?;
    if a.dtype() == DType::Bool {
        (x, y) = (x.reinterpreted(DType::U8), y.reinterpreted(DType::U8));
    }
    result(s, DType::Bool, a.shape(), |out| match op {
        CompareOp::Eq => s.EqTensor(&x, &y, out),
        CompareOp::Ne => s.NeTensor(&x, &y, out),
        CompareOp::Lt => s.LtTensor(&x, &y, out),
        CompareOp::Le => s.LeTensor(&x, &y, out),
        CompareOp::Gt => s.GtTensor(&x, &y, out),
        CompareOp::Ge => s.GeTensor(&x, &y, out),
        _ => Err(refused(s, OpKind::Compare, op, a.dtype())),
    })
}

pub(crate) fn select(s: &Stream, cond: View<'_>, a: View<'_>, b: View<'_>) -> Result<AscendStorage> {
    let dtype = plain(s, a.dtype());
    let (x, y) = (strided(&a)?.reinterpreted(dtype), strided(&b)?.reinterpreted(dtype));
    result(s, a.dtype(), a.shape(), |out| s.SWhere(&strided(&cond)?, &x, &y, &out.clone().reinterpreted(dtype)))
}
