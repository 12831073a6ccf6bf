//! Functions of one element and of two.

use vlm_core::backend::reference::math;
use vlm_core::backend::{BinaryOp, CompareOp, UnaryOp};

/// `op` for floats; `None` for what this backend does not know, also in the future.
pub(crate) fn unary(op: UnaryOp) -> Option<Box<dyn Fn(f64) -> f64>> {
    Some(match op {
        UnaryOp::Neg => Box::new(|x| -x),
        UnaryOp::Abs => Box::new(f64::abs),
        UnaryOp::Sign => Box::new(|x| {
            if x > 0.0 {
                1.0
            } else if x < 0.0 {
                -1.0
            } else {
                x + 0.0
            }
        }),
        UnaryOp::Exp => Box::new(f64::exp),
        UnaryOp::Log => Box::new(f64::ln),
        UnaryOp::Log1p => Box::new(f64::ln_1p),
        UnaryOp::Expm1 => Box::new(f64::exp_m1),
        UnaryOp::Sqrt => Box::new(f64::sqrt),
        UnaryOp::Rsqrt => Box::new(|x| x.sqrt().recip()),
        UnaryOp::Reciprocal => Box::new(f64::recip),
        UnaryOp::Square => Box::new(|x| x * x),
        UnaryOp::Sin => Box::new(f64::sin),
        UnaryOp::Cos => Box::new(f64::cos),
        UnaryOp::Tanh => Box::new(f64::tanh),
        UnaryOp::Sigmoid => Box::new(math::sigmoid),
        UnaryOp::Erf => Box::new(math::erf),
        UnaryOp::Relu => Box::new(|x| if x < 0.0 { 0.0 } else { x }),
        UnaryOp::Gelu => Box::new(math::gelu),
        UnaryOp::GeluTanh => Box::new(math::gelu_tanh),
        UnaryOp::QuickGelu => Box::new(|x| x * math::sigmoid(1.702 * x)),
        UnaryOp::Silu => Box::new(|x| x * math::sigmoid(x)),
        UnaryOp::Softplus => Box::new(math::softplus),
        UnaryOp::Floor => Box::new(f64::floor),
        UnaryOp::Ceil => Box::new(f64::ceil),
        UnaryOp::Round => Box::new(f64::round_ties_even),
        UnaryOp::Affine { mul, add } => Box::new(move |x| x * mul + add),
        UnaryOp::Powf(exponent) => Box::new(move |x| x.powf(exponent)),
        UnaryOp::Clamp { low, high } => Box::new(move |x| {
            if x < low {
                low
            } else if x > high {
                high
            } else {
                x
            }
        }),
        _ => return None,
    })
}

/// `op` for integers.
pub(crate) fn unary_whole(op: UnaryOp) -> Option<Box<dyn Fn(i64) -> i64>> {
    Some(match op {
        UnaryOp::Neg => Box::new(i64::wrapping_neg),
        UnaryOp::Abs => Box::new(i64::wrapping_abs),
        UnaryOp::Square => Box::new(|x| x.wrapping_mul(x)),
        UnaryOp::Not => Box::new(|x| i64::from(x == 0)),
        UnaryOp::Affine { mul, add } => Box::new(move |x| x.wrapping_mul(mul as i64).wrapping_add(add as i64)),
        UnaryOp::Clamp { low, high } => Box::new(move |x| x.max(low.ceil() as i64).min(high.floor() as i64)),
        _ => return None,
    })
}

/// `op` for floats.
pub(crate) fn binary(op: BinaryOp) -> Option<fn(f64, f64) -> f64> {
    Some(match op {
        BinaryOp::Add => |a, b| a + b,
        BinaryOp::Sub => |a, b| a - b,
        BinaryOp::Mul => |a, b| a * b,
        BinaryOp::Div => |a, b| a / b,
        BinaryOp::FloorDiv => |a, b| (a / b).floor(),
        BinaryOp::Remainder => |a, b| a - b * (a / b).floor(),
        BinaryOp::Pow => f64::powf,
        BinaryOp::Maximum => math::maximum,
        BinaryOp::Minimum => math::minimum,
        _ => return None,
    })
}

/// `op` for integers and truth values.
pub(crate) fn binary_whole(op: BinaryOp) -> Option<fn(i64, i64) -> i64> {
    Some(match op {
        BinaryOp::Add => i64::wrapping_add,
        BinaryOp::Sub => i64::wrapping_sub,
        BinaryOp::Mul => i64::wrapping_mul,
        BinaryOp::FloorDiv => floor_div,
        BinaryOp::Remainder => |a, b| if b == 0 { 0 } else { a.wrapping_sub(b.wrapping_mul(floor_div(a, b))) },
        BinaryOp::Maximum => i64::max,
        BinaryOp::Minimum => i64::min,
        BinaryOp::And => |a, b| a & b,
        BinaryOp::Or => |a, b| a | b,
        BinaryOp::Xor => |a, b| a ^ b,
        _ => return None,
    })
}

fn floor_div(a: i64, b: i64) -> i64 {
    let whole = a.checked_div(b).unwrap_or(if b == 0 { 0 } else { a });
    let up = b != 0 && a.wrapping_rem(b) != 0 && (a < 0) != (b < 0);
    whole - i64::from(up)
}

/// The comparison as a test.
pub(crate) fn compare<T: PartialOrd>(op: CompareOp) -> Option<fn(&T, &T) -> bool> {
    Some(match op {
        CompareOp::Eq => |a, b| a == b,
        CompareOp::Ne => |a, b| a != b,
        CompareOp::Lt => |a, b| a < b,
        CompareOp::Le => |a, b| a <= b,
        CompareOp::Gt => |a, b| a > b,
        CompareOp::Ge => |a, b| a >= b,
        _ => return None,
    })
}
