//! Functions of single elements and pairs.

use super::math;
use super::storage::{Data, Held, narrow, read, read_f64, read_i64, room, round, with_type};
use crate::backend::{BinaryOp, CompareOp, OpKind, UnaryOp, View, unsupported};
use crate::{DType, Result, Scalar};

pub(super) fn fill(dtype: DType, len: usize, value: Scalar) -> Result<Data> {
    with_type!(dtype, T => {
        let mut v = room::<T>(len)?;
        v.resize(len, value.to::<T>());
        Ok(T::wrap(v))
    })
}

pub(super) fn arange(dtype: DType, start: f64, step: f64, len: usize) -> Result<Data> {
    let mut v = room(len)?;
    v.extend((0..len).map(|i| start + i as f64 * step));
    Ok(round(v, dtype))
}

pub(super) fn cast(x: View<'_>, dtype: DType) -> Result<Data> {
    if x.dtype().is_float() {
        return Ok(round(read_f64(&x)?, dtype));
    }
    if dtype.is_float() {
        // Through i64, so that large integers are rounded once.
        let values = read_i64(&x)?;
        return Ok(round(values.into_iter().map(|v| v as f64).collect(), dtype));
    }
    Ok(narrow(read_i64(&x)?, dtype))
}

pub(super) fn unary(op: UnaryOp, x: View<'_>) -> Result<Data> {
    let dtype = x.dtype();
    if dtype.is_float() {
        let f = float_unary(op).ok_or_else(|| unsupported("ref", OpKind::Unary, op, dtype))?;
        return Ok(round(read_f64(&x)?.into_iter().map(f).collect(), dtype));
    }
    let f: Box<dyn Fn(i64) -> i64> = match op {
        UnaryOp::Not if dtype == DType::Bool => Box::new(|x| i64::from(x == 0)),
        _ if dtype == DType::Bool => return Err(unsupported("ref", OpKind::Unary, op, dtype)),
        UnaryOp::Neg => Box::new(i64::wrapping_neg),
        UnaryOp::Abs => Box::new(i64::wrapping_abs),
        UnaryOp::Square => Box::new(|x| x.wrapping_mul(x)),
        UnaryOp::Affine { mul, add } => Box::new(move |x| x.wrapping_mul(mul as i64).wrapping_add(add as i64)),
        UnaryOp::Clamp { low, high } => Box::new(move |x| x.max(low.ceil() as i64).min(high.floor() as i64)),
        _ => return Err(unsupported("ref", OpKind::Unary, op, dtype)),
    };
    Ok(narrow(read_i64(&x)?.into_iter().map(f).collect(), dtype))
}

fn float_unary(op: UnaryOp) -> Option<Box<dyn Fn(f64) -> f64>> {
    Some(match op {
        UnaryOp::Neg => Box::new(|x| -x),
        UnaryOp::Abs => Box::new(f64::abs),
        UnaryOp::Sign => Box::new(|x| if x == 0.0 || x.is_nan() { x.abs() } else { x.signum() }),
        UnaryOp::Exp => Box::new(f64::exp),
        UnaryOp::Log => Box::new(f64::ln),
        UnaryOp::Log1p => Box::new(f64::ln_1p),
        UnaryOp::Expm1 => Box::new(f64::exp_m1),
        UnaryOp::Sqrt => Box::new(f64::sqrt),
        UnaryOp::Rsqrt => Box::new(|x| 1.0 / x.sqrt()),
        UnaryOp::Reciprocal => Box::new(|x| 1.0 / x),
        UnaryOp::Square => Box::new(|x| x * x),
        UnaryOp::Sin => Box::new(f64::sin),
        UnaryOp::Cos => Box::new(f64::cos),
        UnaryOp::Tanh => Box::new(f64::tanh),
        UnaryOp::Sigmoid => Box::new(math::sigmoid),
        UnaryOp::Erf => Box::new(math::erf),
        UnaryOp::Relu => Box::new(|x| if x > 0.0 || x.is_nan() { x } else { 0.0 }),
        UnaryOp::Gelu => Box::new(math::gelu),
        UnaryOp::GeluTanh => Box::new(math::gelu_tanh),
        UnaryOp::QuickGelu => Box::new(|x| x * math::sigmoid(1.702 * x)),
        UnaryOp::Silu => Box::new(|x| x * math::sigmoid(x)),
        UnaryOp::Softplus => Box::new(math::softplus),
        UnaryOp::Floor => Box::new(f64::floor),
        UnaryOp::Ceil => Box::new(f64::ceil),
        UnaryOp::Round => Box::new(f64::round_ties_even),
        UnaryOp::Affine { mul, add } => Box::new(move |x| x * mul + add),
        UnaryOp::Powf(p) => Box::new(move |x| x.powf(p)),
        UnaryOp::Clamp { low, high } => Box::new(move |x| if x.is_nan() { x } else { x.max(low).min(high) }),
        UnaryOp::Not => return None,
    })
}

pub(super) fn binary(op: BinaryOp, a: View<'_>, b: View<'_>) -> Result<Data> {
    let dtype = a.dtype();
    let refuse = || unsupported("ref", OpKind::Binary, op, dtype);
    if dtype.is_float() {
        let f: fn(f64, f64) -> f64 = match op {
            BinaryOp::Add => |a, b| a + b,
            BinaryOp::Sub => |a, b| a - b,
            BinaryOp::Mul => |a, b| a * b,
            BinaryOp::Div => |a, b| a / b,
            BinaryOp::FloorDiv => |a, b| (a / b).floor(),
            BinaryOp::Remainder => |a, b| a - b * (a / b).floor(),
            BinaryOp::Pow => f64::powf,
            BinaryOp::Maximum => math::maximum,
            BinaryOp::Minimum => math::minimum,
            BinaryOp::And | BinaryOp::Or | BinaryOp::Xor => return Err(refuse()),
        };
        return Ok(round(zip(read_f64(&a)?, read_f64(&b)?, f), dtype));
    }
    let truth = dtype == DType::Bool;
    let f: fn(i64, i64) -> i64 = match op {
        BinaryOp::And if truth => |a, b| a & b,
        BinaryOp::Or if truth => |a, b| a | b,
        BinaryOp::Xor if truth => |a, b| a ^ b,
        _ if truth => return Err(refuse()),
        BinaryOp::Add => i64::wrapping_add,
        BinaryOp::Sub => i64::wrapping_sub,
        BinaryOp::Mul => i64::wrapping_mul,
        BinaryOp::FloorDiv => floor_div,
        BinaryOp::Remainder => |a, b| if b == 0 { 0 } else { a.wrapping_sub(b.wrapping_mul(floor_div(a, b))) },
        BinaryOp::Maximum => i64::max,
        BinaryOp::Minimum => i64::min,
        _ => return Err(refuse()),
    };
    Ok(narrow(zip(read_i64(&a)?, read_i64(&b)?, f), dtype))
}

fn floor_div(a: i64, b: i64) -> i64 {
    if b == 0 {
        return 0;
    }
    let (q, r) = (a.wrapping_div(b), a.wrapping_rem(b));
    if r != 0 && (r < 0) != (b < 0) { q - 1 } else { q }
}

fn zip<T: Copy, R>(a: Vec<T>, b: Vec<T>, f: fn(T, T) -> R) -> Vec<R> {
    a.into_iter().zip(b).map(|(a, b)| f(a, b)).collect()
}

pub(super) fn compare(op: CompareOp, a: View<'_>, b: View<'_>) -> Result<Data> {
    fn test<T: PartialOrd>(op: CompareOp, a: Vec<T>, b: Vec<T>) -> Vec<bool> {
        a.iter()
            .zip(&b)
            .map(|(a, b)| match op {
                CompareOp::Eq => a == b,
                CompareOp::Ne => a != b,
                CompareOp::Lt => a < b,
                CompareOp::Le => a <= b,
                CompareOp::Gt => a > b,
                CompareOp::Ge => a >= b,
            })
            .collect()
    }
    Ok(Data::Bool(if a.dtype().is_float() {
        test(op, read_f64(&a)?, read_f64(&b)?)
    } else {
        test(op, read_i64(&a)?, read_i64(&b)?)
    }))
}

pub(super) fn select(cond: View<'_>, a: View<'_>, b: View<'_>) -> Result<Data> {
    let cond = read::<bool>(&cond)?;
    with_type!(a.dtype(), T => {
        let (a, b) = (read::<T>(&a)?, read::<T>(&b)?);
        let picked = cond.iter().zip(a.iter().zip(b.iter())).map(|(&c, (&a, &b))| if c { a } else { b });
        Ok(T::wrap(picked.collect::<Vec<T>>()))
    })
}
