//! Functions of single elements and pairs.
//!
//! libtorch computes half floats in `f32` and rounds once within one kernel; where a function takes several kernels, halves
//! are widened around them.

use crate::error::Of;
use crate::shim;
use crate::storage::{Operand, kind, number, operand};
use tch::{Device, Kind, Tensor};
use vlm_core::backend::{BinaryOp, CompareOp, OpKind, UnaryOp, View, unsupported};
use vlm_core::{DType, Result, Scalar};

pub(crate) fn fill(device: Device, dtype: DType, len: usize, value: Scalar) -> Result<Tensor> {
    let options = (kind(dtype), device);
    let size = [len as i64];
    match dtype {
        _ if dtype.is_float() => Tensor::f_full(size, value.to_f64(), options),
        DType::I64 => Tensor::f_full(size, value.to::<i64>(), options),
        DType::I32 => Tensor::f_full(size, i64::from(value.to::<i32>()), options),
        // The bits of the number.
        DType::U32 => Tensor::f_full(size, i64::from(value.to::<u32>() as i32), options),
        DType::U8 => Tensor::f_full(size, i64::from(value.to::<u8>()), options),
        _ => Tensor::f_full(size, i64::from(value.to::<bool>()), options),
    }
    .of("fill")
}

pub(crate) fn arange(device: Device, dtype: DType, start: f64, step: f64, len: usize) -> Result<Tensor> {
    let positions = Tensor::f_arange(len as i64, (Kind::Double, device)).of("arange")?;
    let values = positions.f_mul_scalar(step).and_then(|t| t.f_add_scalar(start)).of("arange")?;
    cast_tensor(&values, DType::F64, dtype)
}

pub(crate) fn cast(x: View<'_>, dtype: DType) -> Result<Tensor> {
    let from = x.dtype();
    if from == dtype {
        return crate::memory::copy(x);
    }
    cast_tensor(&*number(&x)?, if from == DType::U32 { DType::I64 } else { from }, dtype)
}

/// The smallest and the largest number of an integer type, and the first float above it.
fn range(dtype: DType) -> (f64, i64, f64) {
    match dtype {
        DType::I64 => (i64::MIN as f64, i64::MAX, 9_223_372_036_854_775_808.0),
        DType::I32 => (f64::from(i32::MIN), i64::from(i32::MAX), 2_147_483_648.0),
        DType::U32 => (0.0, i64::from(u32::MAX), 4_294_967_296.0),
        _ => (0.0, 255, 256.0),
    }
}

/// `x`, whose numbers are of type `from`, as another type. The contract saturates where C++ leaves the result open.
pub(crate) fn cast_tensor(x: &Tensor, from: DType, to: DType) -> Result<Tensor> {
    const OP: &str = "cast";
    if to == DType::Bool {
        return x.f_ne(0).of(OP);
    }
    if from == DType::F64 && is_half(to) {
        return to_odd(x).and_then(|t| t.f_to_kind(kind(to))).of(OP);
    }
    if to.is_float() || !from.is_float() {
        return x.f_to_kind(kind(to)).of(OP);
    }
    let (low, most, above) = range(to);
    let wide = x.f_to_kind(Kind::Double).and_then(|t| t.f_nan_to_num(0.0, f64::MAX, f64::MIN)).of(OP)?;
    let too_large = wide.f_ge(above).of(OP)?;
    let whole = wide.f_clamp(low, above).and_then(|t| t.f_masked_fill(&too_large, 0.0)).of(OP)?;
    whole.f_to_kind(Kind::Int64).and_then(|t| t.f_masked_fill(&too_large, most)?.f_to_kind(kind(to))).of(OP)
}

/// `f64` as the `f32` next to it whose last bit is 1, unless it is one. libtorch goes to half floats through `f32` and rounds
/// twice; after this the second rounding is the right one (Boldo and Melquiond 2005).
fn to_odd(x: &Tensor) -> Result<Tensor, tch::TchError> {
    let near = x.f_to_kind(Kind::Float)?;
    let exact = near.f_to_kind(Kind::Double)?;
    let bits = near.f_view_dtype(Kind::Int)?;
    let moves = exact.f_ne_tensor(x)?.f_logical_and(&bits.f_bitwise_and(1)?.f_eq(0)?)?;
    // Bits grow with the magnitude, whatever the sign.
    let outwards = x.f_abs()?.f_gt_tensor(&exact.f_abs()?)?.f_to_kind(Kind::Int)?;
    let step = outwards.f_mul_scalar(2)?.f_sub_scalar(1)?.f_mul(&moves.f_to_kind(Kind::Int)?)?;
    bits.f_add(&step)?.f_view_dtype(Kind::Float)
}

fn is_half(dtype: DType) -> bool {
    matches!(dtype, DType::F16 | DType::BF16)
}

/// Runs `f` on `x` in `f32` if it is a half float, and rounds what comes out.
fn widened(x: &Tensor, dtype: DType, f: impl FnOnce(&Tensor) -> Result<Tensor, tch::TchError>) -> Result<Tensor> {
    const OP: &str = "unary";
    if is_half(dtype) {
        return x.f_to_kind(Kind::Float).and_then(|x| f(&x)?.f_to_kind(kind(dtype))).of(OP);
    }
    f(x).of(OP)
}

pub(crate) fn unary(op: UnaryOp, x: View<'_>) -> Result<Tensor> {
    const OP: &str = "unary";
    let dtype = x.dtype();
    let refuse = || Err(unsupported("libtorch", OpKind::Unary, op, dtype));
    if !dtype.is_float() {
        return integer_unary(op, x)?.map_or_else(refuse, Ok);
    }
    let x = operand(&x)?;
    match op {
        UnaryOp::Neg => x.f_neg(),
        UnaryOp::Abs => x.f_abs(),
        // libtorch calls the sign of NaN 0.
        UnaryOp::Sign => x.f_isnan().and_then(|nan| x.f_where_self(&nan, &x.f_sign()?)),
        UnaryOp::Exp => x.f_exp(),
        UnaryOp::Log => x.f_log(),
        UnaryOp::Log1p => x.f_log1p(),
        UnaryOp::Expm1 => x.f_expm1(),
        UnaryOp::Sqrt => x.f_sqrt(),
        UnaryOp::Rsqrt => x.f_rsqrt(),
        UnaryOp::Reciprocal => x.f_reciprocal(),
        UnaryOp::Square => x.f_mul(&x),
        UnaryOp::Sin => x.f_sin(),
        UnaryOp::Cos => x.f_cos(),
        UnaryOp::Tanh => x.f_tanh(),
        UnaryOp::Sigmoid => x.f_sigmoid(),
        UnaryOp::Erf => x.f_erf(),
        UnaryOp::Relu => x.f_relu(),
        UnaryOp::Gelu => x.f_gelu("none"),
        UnaryOp::GeluTanh => x.f_gelu("tanh"),
        UnaryOp::QuickGelu => {
            return widened(&x, dtype, |x| x.f_mul_scalar(1.702)?.f_sigmoid_()?.f_mul_(x));
        }
        UnaryOp::Silu => x.f_silu(),
        UnaryOp::Softplus => return widened(&x, dtype, |x| x.f_logaddexp(&x.f_zeros_like()?)),
        UnaryOp::Floor => x.f_floor(),
        UnaryOp::Ceil => x.f_ceil(),
        UnaryOp::Round => x.f_round(),
        UnaryOp::Affine { mul, add: 0.0 } => x.f_mul_scalar(mul),
        UnaryOp::Affine { mul: 1.0, add } if !is_half(dtype) => x.f_add_scalar(add),
        // libtorch rounds the summand to a half float first.
        UnaryOp::Affine { mul, add } if is_half(dtype) => {
            return widened(&x, dtype, |x| x.f_mul_scalar(mul)?.f_add_scalar_(add));
        }
        UnaryOp::Affine { mul, add } => return shim::affine(&x, mul, add),
        UnaryOp::Powf(p) => x.f_pow_tensor_scalar(p),
        UnaryOp::Clamp { low, high } => x.f_clamp(low, high),
        _ => return refuse(),
    }
    .of(OP)
}

fn integer_unary(op: UnaryOp, view: View<'_>) -> Result<Option<Tensor>> {
    let dtype = view.dtype();
    let x = operand(&view)?;
    let done = match op {
        UnaryOp::Not if dtype == DType::Bool => x.f_logical_not(),
        _ if dtype == DType::Bool => return Ok(None),
        UnaryOp::Neg => x.f_neg(),
        UnaryOp::Abs if matches!(dtype, DType::U8 | DType::U32) => return crate::memory::copy(view).map(Some),
        UnaryOp::Abs => x.f_abs(),
        UnaryOp::Square => x.f_mul(&x),
        // Numbers of 32 bits wrap to the same bits with and without a sign, but the factor has to fit its type.
        UnaryOp::Affine { mul, add } => {
            let wide = number(&view)?;
            let wide = wide.f_to_kind(Kind::Int64).and_then(|t| t.f_mul_scalar(mul as i64)?.f_add_scalar(add as i64));
            wide.and_then(|t| t.f_to_kind(kind(dtype)))
        }
        UnaryOp::Clamp { low, high } => {
            let wide = number(&view)?;
            let wide = wide.f_to_kind(Kind::Int64).and_then(|t| t.f_clamp(low.ceil() as i64, high.floor() as i64));
            wide.and_then(|t| t.f_to_kind(kind(dtype)))
        }
        _ => return Ok(None),
    };
    done.of("unary").map(Some)
}

pub(crate) fn binary(op: BinaryOp, a: View<'_>, b: View<'_>) -> Result<Tensor> {
    const OP: &str = "binary";
    let dtype = a.dtype();
    let refuse = || Err(unsupported("libtorch", OpKind::Binary, op, dtype));
    if dtype == DType::Bool {
        let (a, b) = (operand(&a)?, operand(&b)?);
        return match op {
            BinaryOp::And => a.f_logical_and(&b),
            BinaryOp::Or => a.f_logical_or(&b),
            BinaryOp::Xor => a.f_logical_xor(&b),
            _ => return refuse(),
        }
        .of(OP);
    }
    // Sums and products of 32 bits are the same bits with and without a sign.
    match op {
        BinaryOp::Add => return operand(&a)?.f_add(&*operand(&b)?).of(OP),
        BinaryOp::Sub => return operand(&a)?.f_sub(&*operand(&b)?).of(OP),
        BinaryOp::Mul => return operand(&a)?.f_mul(&*operand(&b)?).of(OP),
        _ => {}
    }
    let (a, b) = (number(&a)?, number(&b)?);
    match op {
        BinaryOp::Maximum => a.f_maximum(&b),
        BinaryOp::Minimum => a.f_minimum(&b),
        BinaryOp::Div if dtype.is_float() => a.f_div(&b),
        BinaryOp::Pow if dtype.is_float() => a.f_pow(&b),
        BinaryOp::FloorDiv if dtype.is_float() => {
            return widened2(&a, &b, dtype, |a, b| a.f_div(b)?.f_floor_());
        }
        BinaryOp::Remainder if dtype.is_float() => {
            return widened2(&a, &b, dtype, |a, b| {
                let whole = a.f_div(b)?.f_floor_()?.f_mul_(b)?;
                a.f_sub(&whole)
            });
        }
        BinaryOp::FloorDiv => return floor_div(&a, &b).and_then(|t| t.f_to_kind(kind(dtype)).of(OP)),
        BinaryOp::Remainder => {
            let zero = b.f_eq(0).of(OP)?;
            let whole = floor_div(&a, &b)?;
            whole.f_mul(&b).and_then(|t| a.f_sub(&t)?.f_masked_fill(&zero, 0)?.f_to_kind(kind(dtype)))
        }
        _ => return refuse(),
    }
    .and_then(|t| if dtype == DType::U32 { t.f_to_kind(Kind::Int) } else { Ok(t) })
    .of(OP)
}

fn widened2(
    a: &Tensor,
    b: &Tensor,
    dtype: DType,
    f: impl FnOnce(&Tensor, &Tensor) -> Result<Tensor, tch::TchError>,
) -> Result<Tensor> {
    widened(a, dtype, |a| if b.kind() == a.kind() { f(a, b) } else { f(a, &b.f_to_kind(a.kind())?) })
}

/// `floor(a / b)` of integers, 0 for a divisor of 0. A divisor of -1 is a negation: the smallest number divided by it
/// traps on many processors.
fn floor_div(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let unsigned = b.kind() == Kind::Uint8;
    let divide = || {
        let zero = b.f_eq(0)?;
        if unsigned {
            let q = a.f_div_tensor_mode(&b.f_masked_fill(&zero, 1)?, "floor")?;
            return q.f_masked_fill(&zero, 0);
        }
        let minus = b.f_eq(-1)?;
        let q = a.f_div_tensor_mode(&b.f_masked_fill(&zero.f_logical_or(&minus)?, 1)?, "floor")?;
        a.f_neg()?.f_where_self(&minus, &q)?.f_masked_fill(&zero, 0)
    };
    divide().of("binary")
}

pub(crate) fn compare(op: CompareOp, a: View<'_>, b: View<'_>) -> Result<Tensor> {
    let equality = matches!(op, CompareOp::Eq | CompareOp::Ne);
    let read = |v| if equality { operand(v) } else { number(v) };
    let (a, b): (Operand<'_>, Operand<'_>) = (read(&a)?, read(&b)?);
    match op {
        CompareOp::Eq => a.f_eq_tensor(&b),
        CompareOp::Ne => a.f_ne_tensor(&b),
        CompareOp::Lt => a.f_lt_tensor(&b),
        CompareOp::Le => a.f_le_tensor(&b),
        CompareOp::Gt => a.f_gt_tensor(&b),
        CompareOp::Ge => a.f_ge_tensor(&b),
        _ => return Err(unsupported("libtorch", OpKind::Compare, op, DType::Bool)),
    }
    .of("compare")
}

pub(crate) fn select(cond: View<'_>, a: View<'_>, b: View<'_>) -> Result<Tensor> {
    operand(&a)?.f_where_self(&*operand(&cond)?, &*operand(&b)?).of("select")
}

/// The gradient of an activation that libtorch has a kernel for.
pub(crate) fn unary_backward(op: UnaryOp, x: View<'_>, y: View<'_>, grad: View<'_>) -> Result<Option<Tensor>> {
    if x.dtype() == DType::F64 && op == UnaryOp::Gelu {
        // libtorch's is a polynomial of single precision.
        return Ok(None);
    }
    let g = operand(&grad)?;
    let done = match op {
        UnaryOp::Gelu => operand(&x)?.f_gelu_backward(&g, "none"),
        UnaryOp::GeluTanh => operand(&x)?.f_gelu_backward(&g, "tanh"),
        UnaryOp::Silu => operand(&x)?.f_silu_backward(&g),
        UnaryOp::Tanh => Tensor::f_tanh_backward(&g, &*operand(&y)?),
        UnaryOp::Sigmoid => Tensor::f_sigmoid_backward(&g, &*operand(&y)?),
        UnaryOp::Relu => operand(&y)?.f_threshold_backward(&g, 0.0),
        UnaryOp::Neg => g.f_neg(),
        UnaryOp::Exp => g.f_mul(&*operand(&y)?),
        UnaryOp::Affine { mul, .. } => g.f_mul_scalar(mul),
        _ => return Ok(None),
    };
    done.of("unary_backward").map(Some)
}

/// `op(gate) * up` for the gates that language models have.
pub(crate) fn glu(op: UnaryOp, gate: View<'_>, up: View<'_>) -> Result<Option<Tensor>> {
    let g = operand(&gate)?;
    let gated = match op {
        UnaryOp::Silu => g.f_silu(),
        UnaryOp::Gelu => g.f_gelu("none"),
        UnaryOp::GeluTanh => g.f_gelu("tanh"),
        _ => return Ok(None),
    };
    let up = operand(&up)?;
    gated.and_then(|mut t| t.f_mul_(&up)).of("glu").map(Some)
}

/// The gradients of [`glu`].
pub(crate) fn glu_backward(
    op: UnaryOp,
    gate: View<'_>,
    up: View<'_>,
    grad: View<'_>,
) -> Result<Option<(Tensor, Tensor)>> {
    if gate.dtype() == DType::F64 && op == UnaryOp::Gelu {
        return Ok(None);
    }
    let (g, u, d) = (operand(&gate)?, operand(&up)?, operand(&grad)?);
    let both = || {
        let through = d.f_mul(&u)?;
        let (dgate, mut gated) = match op {
            UnaryOp::Silu => (g.f_silu_backward(&through)?, g.f_silu()?),
            UnaryOp::Gelu => (g.f_gelu_backward(&through, "none")?, g.f_gelu("none")?),
            UnaryOp::GeluTanh => (g.f_gelu_backward(&through, "tanh")?, g.f_gelu("tanh")?),
            _ => return Ok(None),
        };
        Ok(Some((dgate, gated.f_mul_(&d)?)))
    };
    both().of("glu_backward")
}
