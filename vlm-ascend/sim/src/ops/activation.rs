//! Activations, gates and their gradients.

#![allow(non_snake_case)] // Operations have the names of the interface.

use super::elementwise::{erf, sigmoid};
use super::map::{Pairs, float_map, number_map, of};
use crate::plan::{Cx, Planned, Refusal, dimension, invalid, of_shape, of_types, plan, same_type};
use crate::types::{FLOATS, FLOATS64, Scalar, Tensor};
use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

/// `sqrt(2 / π)` and the cubic coefficient of the tanh approximation of gelu.
const TANH: (f64, f64) = (0.797_884_560_802_865_4, 0.044_715);

fn gelu(x: f64) -> f64 {
    0.5 * x * (1.0 + erf(x * FRAC_1_SQRT_2))
}

fn gelu_tanh(x: f64) -> f64 {
    x * sigmoid(2.0 * TANH.0 * (x + TANH.1 * x * x * x))
}

fn gelu_slope(x: f64) -> f64 {
    let density = 0.5 * FRAC_2_SQRT_PI * FRAC_1_SQRT_2 * (-0.5 * x * x).exp();
    0.5 * (1.0 + erf(x * FRAC_1_SQRT_2)) + x * density
}

fn gelu_tanh_slope(x: f64) -> f64 {
    let s = sigmoid(2.0 * TANH.0 * (x + TANH.1 * x * x * x));
    s + x * s * (1.0 - s) * 2.0 * TANH.0 * (1.0 + 3.0 * TANH.1 * x * x)
}

/// `max(x, 0)`; NaN stays.
pub(crate) fn Relu(cx: &Cx, x: &Tensor, out: &Tensor) -> Planned {
    number_map(cx, x, out, |x| if x > 0.0 || x.is_nan() { x } else { 0.0 }, |x| x.max(0))
}

pub(crate) fn LeakyRelu(cx: &Cx, x: &Tensor, negative_slope: Scalar, out: &Tensor) -> Planned {
    let slope = negative_slope.f64();
    float_map(cx, x, out, move |x| if x > 0.0 { x } else { slope * x })
}

/// `scale * x` above 0, `alpha * scale * (e^(x inputScale) - 1)` below.
pub(crate) fn Elu(cx: &Cx, x: &Tensor, alpha: Scalar, scale: Scalar, input_scale: Scalar, out: &Tensor) -> Planned {
    let (a, s, i) = (alpha.f64(), scale.f64(), input_scale.f64());
    float_map(cx, x, out, move |x| if x > 0.0 { s * x } else { a * s * (x * i).exp_m1() })
}

pub(crate) fn Gelu(cx: &Cx, x: &Tensor, out: &Tensor) -> Planned {
    of_types(cx, "self", x, FLOATS)?;
    float_map(cx, x, out, gelu)
}

/// `approximate`: 0 exact, 1 by tanh.
pub(crate) fn GeluV2(cx: &Cx, x: &Tensor, approximate: i64, y: &Tensor) -> Planned {
    of_types(cx, "x", x, FLOATS)?;
    same_type("x and y", x, y)?;
    match approximate {
        0 => float_map(cx, x, y, gelu),
        1 => float_map(cx, x, y, gelu_tanh),
        other => Err(invalid(format!("approximate {other} is not 0 or 1"))),
    }
}

pub(crate) fn Silu(cx: &Cx, x: &Tensor, out: &Tensor) -> Planned {
    of_types(cx, "self", x, FLOATS64)?;
    float_map(cx, x, out, |x| x * sigmoid(x))
}

pub(crate) fn Hardsigmoid(cx: &Cx, x: &Tensor, out: &Tensor) -> Planned {
    float_map(cx, x, out, |x| (x + 3.0).clamp(0.0, 6.0) / 6.0)
}

pub(crate) fn Hardswish(cx: &Cx, x: &Tensor, out: &Tensor) -> Planned {
    float_map(cx, x, out, |x| x * (x + 3.0).clamp(0.0, 6.0) / 6.0)
}

/// `ln(1 + e^(beta x)) / beta`, and `x` where `beta x` is above the threshold.
pub(crate) fn Softplus(cx: &Cx, x: &Tensor, beta: Scalar, threshold: Scalar, out: &Tensor) -> Planned {
    let (b, t) = (beta.f64(), threshold.f64());
    float_map(cx, x, out, move |x| {
        let z = b * x;
        if z > t { x } else { (z.max(0.0) + (-z.abs()).exp().ln_1p()) / b }
    })
}

/// The halves of a tensor along a dimension.
fn halves(x: &Tensor, dim: usize) -> Result<(Tensor, Tensor), Refusal> {
    let n = x.dims[dim];
    if n % 2 == 1 {
        return Err(invalid(format!("dimension {dim} of shape {:?} is odd", x.dims)));
    }
    let mut dims = x.dims.clone();
    dims[dim] = n / 2;
    let second = x.offset + n / 2 * x.strides[dim];
    Ok((x.with_view(dims.clone(), x.strides.clone(), x.offset), x.with_view(dims, x.strides.clone(), second)))
}

/// `silu(a) * b` for the halves `a` and `b` of `x` along `dim`.
pub(crate) fn SwiGlu(cx: &Cx, x: &Tensor, dim: i64, out: &Tensor) -> Planned {
    of_types(cx, "x", x, FLOATS)?;
    same_type("x and out", x, out)?;
    let (a, b) = halves(x, dimension(x, dim)?)?;
    Pairs::new(cx, of(&a), of(&b))?.write(cx, out, |a, b| a * sigmoid(a) * b, |_, _| 0)
}

pub(crate) fn SwiGluGrad(cx: &Cx, y_grad: &Tensor, x: &Tensor, dim: i64, out: &Tensor) -> Planned {
    of_types(cx, "x", x, FLOATS)?;
    same_type("yGrad and x", y_grad, x)?;
    same_type("x and out", x, out)?;
    of_shape("out", out, &x.dims)?;
    let at = dimension(x, dim)?;
    let (a, b) = halves(x, at)?;
    let (da, db) = halves(out, at)?;
    of_shape("yGrad", y_grad, &a.dims)?;
    let grad = y_grad.clone();
    plan(move |run| {
        let (a, b, g) = (run.f64s(&a)?, run.f64s(&b)?, run.f64s(&grad)?);
        let slope = |a: f64| {
            let s = sigmoid(a);
            s + a * s * (1.0 - s)
        };
        let first: Vec<f64> = (0..a.len()).map(|i| g[i] * b[i] * slope(a[i])).collect();
        let second: Vec<f64> = (0..a.len()).map(|i| g[i] * a[i] * sigmoid(a[i])).collect();
        run.put_f64(&da, &first)?;
        run.put_f64(&db, &second)
    })
}

/// `gelu(gate) * other` for the halves of `x` along `dim`; the gate is the left half if `activate_left` is set.
pub(crate) fn GeGluV3(
    cx: &Cx,
    x: &Tensor,
    dim: i64,
    approximate: i64,
    activate_left: bool,
    out: &Tensor,
    out_gelu: &Tensor,
) -> Planned {
    of_types(cx, "self", x, FLOATS)?;
    same_type("self and out", x, out)?;
    same_type("self and outGelu", x, out_gelu)?;
    let (left, right) = halves(x, dimension(x, dim)?)?;
    of_shape("out", out, &left.dims)?;
    of_shape("outGelu", out_gelu, &left.dims)?;
    let (gate, other) = if activate_left { (left, right) } else { (right, left) };
    let f = match approximate {
        0 => gelu,
        1 => gelu_tanh,
        n => return Err(invalid(format!("approximate {n} is not 0 or 1"))),
    };
    let (out, out_gelu) = (out.clone(), out_gelu.clone());
    plan(move |run| {
        let mut g = run.f64s(&gate)?;
        g.iter_mut().for_each(|v| *v = f(*v));
        run.put_f64(&out_gelu, &g)?;
        let o = run.f64s(&other)?;
        g.iter_mut().zip(o).for_each(|(g, o)| *g *= o);
        run.put_f64(&out, &g)
    })
}

/// A gradient: `grad * slope(x)`.
fn through(cx: &Cx, grad: &Tensor, x: &Tensor, out: &Tensor, slope: fn(f64) -> f64) -> Planned {
    of_types(cx, "gradOutput", grad, FLOATS64)?;
    same_type("gradOutput and the operand", grad, x)?;
    Pairs::new(cx, of(grad), of(x))?.write(cx, out, move |g, x| g * slope(x), |_, _| 0)
}

/// `approximate`: `"none"` or `"tanh"`.
pub(crate) fn GeluBackwardV2(
    cx: &Cx,
    grad_output: &Tensor,
    x: &Tensor,
    approximate: &str,
    grad_input: &Tensor,
) -> Planned {
    let slope = match approximate {
        "none" => gelu_slope,
        "tanh" => gelu_tanh_slope,
        other => return Err(invalid(format!("approximate {other:?} is not \"none\" or \"tanh\""))),
    };
    through(cx, grad_output, x, grad_input, slope)
}

pub(crate) fn SiluBackward(cx: &Cx, grad_output: &Tensor, x: &Tensor, grad_input: &Tensor) -> Planned {
    through(cx, grad_output, x, grad_input, |x| {
        let s = sigmoid(x);
        s + x * s * (1.0 - s)
    })
}

/// From the result of the function.
pub(crate) fn TanhBackward(cx: &Cx, grad_output: &Tensor, output: &Tensor, grad_input: &Tensor) -> Planned {
    through(cx, grad_output, output, grad_input, |y| 1.0 - y * y)
}

/// From the result of the function.
pub(crate) fn SigmoidBackward(cx: &Cx, grad_output: &Tensor, output: &Tensor, grad_input: &Tensor) -> Planned {
    through(cx, grad_output, output, grad_input, |y| y * (1.0 - y))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{Bench, assert_close, refusal};
    use crate::types::DType::{F16, F32, I32};

    #[test]
    fn values_are_pytorchs() {
        let mut b = Bench::new();
        let x = b.tensor(F32, &[3], &[-1.0, 0.5, 2.0]);
        let out = b.empty(F32, &[3]);
        for (approximate, want) in
            [(0, [-0.158_655_26, 0.345_731_23, 1.954_499_7]), (1, [-0.158_808_01, 0.345_714_02, 1.954_597_7])]
        {
            let p = GeluV2(&b.cx, &x, approximate, &out);
            b.run(p).unwrap();
            assert_close(&b.values(&out), &want, 1e-6);
        }
        let p = Silu(&b.cx, &x, &out);
        b.run(p).unwrap();
        assert_close(&b.values(&out), &[-0.268_941_43, 0.311_229_67, 1.761_594_2], 1e-6);
        let p = Softplus(&b.cx, &x, Scalar::float(F32, 1.0), Scalar::float(F32, 20.0), &out);
        b.run(p).unwrap();
        assert_close(&b.values(&out), &[0.313_261_7, 0.974_077, 2.126_928], 1e-6);
        assert_eq!(refusal(GeluV2(&b.cx, &x, 2, &out)), 161_002);
        let whole = b.tensor(I32, &[3], &[1.0, 2.0, 3.0]);
        assert_eq!(refusal(Gelu(&b.cx, &whole, &out)), 161_002);
    }

    #[test]
    fn gates_take_halves_and_their_gradients_agree_with_differences() {
        let mut b = Bench::new();
        let v = [0.3, -1.2, 0.8, 0.5];
        let x = b.tensor(F32, &[1, 4], &v);
        let out = b.empty(F32, &[1, 2]);
        let p = SwiGlu(&b.cx, &x, -1, &out);
        b.run(p).unwrap();
        let f = |v: &[f64]| [v[0] * sigmoid(v[0]) * v[2], v[1] * sigmoid(v[1]) * v[3]];
        assert_close(&b.values(&out), &f(&v), 1e-6);
        let grad = b.tensor(F32, &[1, 2], &[1.0, 2.0]);
        let dx = b.empty(F32, &[1, 4]);
        let p = SwiGluGrad(&b.cx, &grad, &x, -1, &dx);
        b.run(p).unwrap();
        let want: Vec<f64> = (0..4)
            .map(|i| {
                let (mut up, mut down) = (v, v);
                up[i] += 1e-6;
                down[i] -= 1e-6;
                let (a, c) = (f(&up), f(&down));
                (a[0] - c[0] + 2.0 * (a[1] - c[1])) / 2e-6
            })
            .collect();
        assert_close(&b.values(&dx), &want, 1e-5);
        let odd = b.tensor(F16, &[3], &[1.0, 2.0, 3.0]);
        let half = b.empty(F16, &[1]);
        assert_eq!(refusal(SwiGlu(&b.cx, &odd, 0, &half)), 161_002);
    }

    #[test]
    fn slopes_agree_with_differences() {
        for (f, slope) in [(gelu as fn(f64) -> f64, gelu_slope as fn(f64) -> f64), (gelu_tanh, gelu_tanh_slope)] {
            for x in [-3.0, -0.7, 0.0, 0.4, 2.5] {
                let found = (f(x + 1e-6) - f(x - 1e-6)) / 2e-6;
                assert!((found - slope(x)).abs() < 1e-8, "{x}");
            }
        }
    }
}
