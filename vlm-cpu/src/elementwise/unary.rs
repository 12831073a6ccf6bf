//! Functions of one element, their gradients, gates.

use super::PIECE;
use crate::simd::{self, simd_fn};
use crate::storage::{CpuStorage, Held, Small, with_small};
use crate::strided::{BLOCK, dense};
use crate::threads::{SendPtr, parallel_chunks};
use vlm_core::backend::reference::math;
use vlm_core::backend::{OpKind, RandomKey, UnaryOp, View, unsupported};
use vlm_core::{DType, Element, Result};

/// Runs `f` over pieces of equally long inputs, widened, and rounds what it writes.
pub(crate) fn map_pieces<T: Small, const I: usize, const O: usize>(
    inputs: [&[T]; I],
    outputs: [&mut [T]; O],
    f: impl Fn([&[f32]; I], [&mut [f32]; O]) + Sync,
) {
    let len = inputs[0].len();
    let out = outputs.map(|o| {
        debug_assert_eq!(o.len(), len);
        SendPtr(o.as_mut_ptr())
    });
    parallel_chunks(len, BLOCK, |range| {
        let mut wide = [[0.0f32; PIECE]; I];
        let mut made = [[0.0f32; PIECE]; O];
        for start in range.clone().step_by(PIECE) {
            let n = PIECE.min(range.end - start);
            let mut lent = wide.iter_mut();
            let source = inputs.map(|x| match lent.next() {
                Some(scratch) => T::as_f32(&x[start..start + n], scratch),
                None => unreachable!("there are as many as inputs"),
            });
            let mut target = made.iter_mut();
            let views = out.map(|_| match target.next() {
                Some(t) => &mut t[..n],
                None => unreachable!("there are as many as outputs"),
            });
            f(source, views);
            for (made, out) in made.iter().zip(out) {
                // SAFETY: tasks have disjoint ranges inside the outputs, which are borrowed for the whole call.
                let place = unsafe { std::slice::from_raw_parts_mut(out.get().add(start), n) };
                T::narrow(&made[..n], place);
            }
        }
    });
}

macro_rules! functions {
    ($($op:pat => $body:expr;)*) => {
        simd_fn! {
            /// `op` of every element.
            fn apply(op: UnaryOp, x: &[f32], y: &mut [f32]) {
                match op {
                    $($op => { let f = $body; y.iter_mut().zip(x).for_each(|(y, &x)| *y = f(x)); })*
                    UnaryOp::Affine { mul, add } => {
                        let (mul, add) = (mul as f32, add as f32);
                        y.iter_mut().zip(x).for_each(|(y, &x)| *y = x * mul + add);
                    }
                    UnaryOp::Clamp { low, high } => {
                        let (low, high) = (low as f32, high as f32);
                        y.iter_mut().zip(x).for_each(|(y, &x)| {
                            let up = if x < low { low } else { x };
                            *y = if up > high { high } else { up };
                        });
                    }
                    UnaryOp::Powf(p) => y.iter_mut().zip(x).for_each(|(y, &x)| *y = f64::from(x).powf(p) as f32),
                    _ => y.fill(f32::NAN),
                }
            }
        }

        fn known(op: UnaryOp) -> bool {
            matches!(op, $($op)|* | UnaryOp::Affine { .. } | UnaryOp::Clamp { .. } | UnaryOp::Powf(_))
        }
    };
}
functions! {
    UnaryOp::Neg => |x: f32| -x;
    UnaryOp::Abs => |x: f32| x.abs();
    UnaryOp::Sign => |x: f32| if x > 0.0 { 1.0 } else if x < 0.0 { -1.0 } else { x.abs() };
    UnaryOp::Exp => simd::exp;
    UnaryOp::Log => |x: f32| x.ln();
    UnaryOp::Log1p => |x: f32| x.ln_1p();
    UnaryOp::Expm1 => |x: f32| x.exp_m1();
    UnaryOp::Sqrt => |x: f32| x.sqrt();
    UnaryOp::Rsqrt => |x: f32| 1.0 / x.sqrt();
    UnaryOp::Reciprocal => |x: f32| 1.0 / x;
    UnaryOp::Square => |x: f32| x * x;
    UnaryOp::Sin => |x: f32| x.sin();
    UnaryOp::Cos => |x: f32| x.cos();
    UnaryOp::Tanh => simd::tanh;
    UnaryOp::Sigmoid => simd::sigmoid;
    UnaryOp::Erf => simd::erf;
    UnaryOp::Relu => |x: f32| if x < 0.0 { 0.0 } else { x };
    UnaryOp::Gelu => simd::gelu;
    UnaryOp::GeluTanh => simd::gelu_tanh;
    UnaryOp::QuickGelu => |x: f32| x * simd::sigmoid(1.702 * x);
    UnaryOp::Silu => |x: f32| x * simd::sigmoid(x);
    UnaryOp::Softplus => |x: f32| (if x > 0.0 { x } else { 0.0 }) + (-x.abs()).exp().ln_1p() + if x.is_nan() { x } else { 0.0 };
    UnaryOp::Floor => |x: f32| x.floor();
    UnaryOp::Ceil => |x: f32| x.ceil();
    UnaryOp::Round => |x: f32| x.round_ties_even();
}

macro_rules! slopes {
    ($($op:pat => $body:expr;)*) => {
        simd_fn! {
            /// The gradient of `op`: its slope from operand and result, times the gradient of the result.
            fn apply_backward(op: UnaryOp, x: &[f32], y: &[f32], g: &[f32], out: &mut [f32]) {
                match op {
                    $($op => {
                        let f = $body;
                        for i in 0..out.len() { out[i] = g[i] * f(x[i], y[i]); }
                    })*
                    // Over flat parts the gradient is 0, also below an infinite one.
                    UnaryOp::Sign | UnaryOp::Floor | UnaryOp::Ceil | UnaryOp::Round => out.fill(0.0),
                    UnaryOp::Relu => {
                        for i in 0..out.len() { out[i] = if y[i] > 0.0 { g[i] } else { 0.0 }; }
                    }
                    UnaryOp::Affine { mul, .. } => {
                        let mul = mul as f32;
                        out.iter_mut().zip(g).for_each(|(o, &g)| *o = g * mul);
                    }
                    UnaryOp::Clamp { low, high } => {
                        let (low, high) = (low as f32, high as f32);
                        for i in 0..out.len() { out[i] = if x[i] >= low && x[i] <= high { g[i] } else { 0.0 }; }
                    }
                    UnaryOp::Powf(p) => {
                        for i in 0..out.len() {
                            out[i] = if p == 0.0 { 0.0 } else { (f64::from(g[i]) * p * f64::from(x[i]).powf(p - 1.0)) as f32 };
                        }
                    }
                    _ => out.fill(f32::NAN),
                }
            }
        }
    };
}
slopes! {
    UnaryOp::Neg => |_: f32, _: f32| -1.0f32;
    UnaryOp::Abs => |x: f32, _: f32| if x > 0.0 { 1.0f32 } else if x < 0.0 { -1.0 } else { x.abs() };
    UnaryOp::Exp => |_: f32, y: f32| y;
    UnaryOp::Expm1 => |_: f32, y: f32| y + 1.0;
    UnaryOp::Log => |x: f32, _: f32| 1.0 / x;
    UnaryOp::Log1p => |x: f32, _: f32| 1.0 / (1.0 + x);
    UnaryOp::Sqrt => |_: f32, y: f32| 0.5 / y;
    UnaryOp::Rsqrt => |_: f32, y: f32| -0.5 * y * y * y;
    UnaryOp::Reciprocal => |_: f32, y: f32| -y * y;
    UnaryOp::Square => |x: f32, _: f32| 2.0 * x;
    UnaryOp::Sin => |x: f32, _: f32| x.cos();
    UnaryOp::Cos => |x: f32, _: f32| -x.sin();
    UnaryOp::Tanh => |_: f32, y: f32| 1.0 - y * y;
    UnaryOp::Sigmoid => |_: f32, y: f32| y * (1.0 - y);
    UnaryOp::Erf => |x: f32, _: f32| std::f32::consts::FRAC_2_SQRT_PI * simd::exp(-x * x);
    UnaryOp::Gelu => |x: f32, _: f32| simd::gelu_slope(x);
    UnaryOp::GeluTanh => |x: f32, _: f32| simd::gelu_tanh_slope(x);
    UnaryOp::QuickGelu => |x: f32, _: f32| { let s = simd::sigmoid(1.702 * x); s + 1.702 * x * s * (1.0 - s) };
    UnaryOp::Silu => |x: f32, _: f32| { let s = simd::sigmoid(x); s + x * s * (1.0 - s) };
    UnaryOp::Softplus => |x: f32, _: f32| simd::sigmoid(x);
}

/// `f` of every element of a type without kernels of its own, through `f64` or `i64`.
fn scalar<T: Held + Element>(x: &View<'_>, out: &mut CpuStorage, f: impl Fn(T) -> T + Sync) -> Result<()> {
    let values = dense::<T>(x)?;
    crate::threads::parallel_chunks_mut(out.slice_mut::<T>()?, BLOCK, |at, part| {
        part.iter_mut().enumerate().for_each(|(i, o)| *o = f(values[at + i]));
    });
    Ok(())
}

pub(crate) fn unary(op: UnaryOp, x: View<'_>) -> Result<CpuStorage> {
    let dtype = x.dtype();
    let mut out = CpuStorage::new(dtype, x.count())?;
    let refuse = || unsupported("cpu", OpKind::Unary, op, dtype);
    with_small!(dtype, T => {
        if !known(op) {
            return Err(refuse());
        }
        let values = dense::<T>(&x)?;
        map_pieces([&*values], [out.slice_mut::<T>()?], |[x], [y]| apply(op, x, y));
        return Ok(out);
    }, _ => ());
    match dtype {
        DType::F64 => scalar::<f64>(&x, &mut out, f64_function(op).ok_or_else(refuse)?)?,
        DType::Bool if op == UnaryOp::Not => scalar::<u8>(&x, &mut out, |v| u8::from(v == 0))?,
        DType::Bool => return Err(refuse()),
        _ => crate::storage::with_held!(dtype, T => {
            let f = integer_function(op).ok_or_else(refuse)?;
            scalar::<T>(&x, &mut out, |v| <T as Element>::from_i64(f(v.to_i64())))?;
        }),
    }
    Ok(out)
}

type Function<T> = Box<dyn Fn(T) -> T + Sync>;

fn integer_function(op: UnaryOp) -> Option<Function<i64>> {
    Some(match op {
        UnaryOp::Neg => Box::new(i64::wrapping_neg),
        UnaryOp::Abs => Box::new(i64::wrapping_abs),
        UnaryOp::Square => Box::new(|x| x.wrapping_mul(x)),
        UnaryOp::Affine { mul, add } => Box::new(move |x| x.wrapping_mul(mul as i64).wrapping_add(add as i64)),
        UnaryOp::Clamp { low, high } => Box::new(move |x| x.max(low.ceil() as i64).min(high.floor() as i64)),
        _ => return None,
    })
}

fn f64_function(op: UnaryOp) -> Option<Function<f64>> {
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
        UnaryOp::Powf(p) => Box::new(move |x| x.powf(p)),
        UnaryOp::Clamp { low, high } => Box::new(move |x| if x.is_nan() { x } else { x.max(low).min(high) }),
        _ => return None,
    })
}

/// `None` for element types that have no kernel here.
pub(crate) fn unary_backward(op: UnaryOp, x: View<'_>, y: View<'_>, grad: View<'_>) -> Result<Option<CpuStorage>> {
    if !known(op) {
        return Err(unsupported("cpu", OpKind::UnaryBackward, op, grad.dtype()));
    }
    with_small!(grad.dtype(), T => {
        let mut out = CpuStorage::new(grad.dtype(), grad.count())?;
        let (x, y, g) = (dense::<T>(&x)?, dense::<T>(&y)?, dense::<T>(&grad)?);
        map_pieces([&*x, &*y, &*g], [out.slice_mut::<T>()?], |[x, y, g], [o]| apply_backward(op, x, y, g, o));
        Ok(Some(out))
    }, _ => Ok(None))
}

simd_fn! {
    fn times(a: &mut [f32], b: &[f32]) {
        a.iter_mut().zip(b).for_each(|(a, b)| *a *= b);
    }
}

pub(crate) fn glu(op: UnaryOp, gate: View<'_>, up: View<'_>) -> Result<Option<CpuStorage>> {
    with_small!(gate.dtype(), T => {
        let mut out = CpuStorage::new(gate.dtype(), gate.count())?;
        let (gate, up) = (dense::<T>(&gate)?, dense::<T>(&up)?);
        map_pieces([&*gate, &*up], [out.slice_mut::<T>()?], |[g, u], [o]| {
            apply(op, g, o);
            times(o, u);
        });
        Ok(Some(out))
    }, _ => Ok(None))
}

pub(crate) fn glu_backward(
    op: UnaryOp,
    gate: View<'_>,
    up: View<'_>,
    grad: View<'_>,
) -> Result<Option<(CpuStorage, CpuStorage)>> {
    with_small!(gate.dtype(), T => {
        let (mut dgate, mut dup) = (CpuStorage::new(gate.dtype(), gate.count())?, CpuStorage::new(gate.dtype(), gate.count())?);
        let (gate, up, grad) = (dense::<T>(&gate)?, dense::<T>(&up)?, dense::<T>(&grad)?);
        map_pieces([&*gate, &*up, &*grad], [dgate.slice_mut::<T>()?, dup.slice_mut::<T>()?], |[g, u, d], [dg, du]| {
            apply(op, g, du); // The activation, for the moment.
            let mut through = [0.0f32; PIECE];
            let through = &mut through[..g.len()];
            through.copy_from_slice(d);
            times(through, u);
            apply_backward(op, g, du, through, dg);
            times(du, d);
        });
        Ok(Some((dgate, dup)))
    }, _ => Ok(None))
}

/// `x / (1 - p)` where `key`'s draw keeps it.
pub(crate) fn dropout(x: View<'_>, p: f64, key: RandomKey) -> Result<Option<CpuStorage>> {
    with_small!(x.dtype(), T => {
        let mut out = CpuStorage::new(x.dtype(), x.count())?;
        let values = dense::<T>(&x)?;
        let scale = (1.0 / (1.0 - p)) as f32;
        crate::threads::parallel_chunks_mut(out.slice_mut::<T>()?, BLOCK, |at, part| {
            let (mut wide, mut made) = ([0.0f32; PIECE], [0.0f32; PIECE]);
            for (i, piece) in part.chunks_mut(PIECE).enumerate() {
                let start = at + i * PIECE;
                let (x, made) = (T::as_f32(&values[start..start + piece.len()], &mut wide), &mut made[..piece.len()]);
                for (b, four) in made.chunks_mut(4).enumerate() {
                    let words = vlm_core::random::words(key, (start / 4 + b) as u64);
                    for (j, m) in four.iter_mut().enumerate() {
                        let keep = vlm_core::random::uniform(words[j]) < 1.0 - p;
                        *m = if keep { x[b * 4 + j] * scale } else { 0.0 };
                    }
                }
                T::narrow(made, piece);
            }
        });
        Ok(Some(out))
    }, _ => Ok(None))
}
