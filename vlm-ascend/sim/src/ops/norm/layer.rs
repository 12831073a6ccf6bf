//! Layer normalisation and its gradient.

// Operations have the names of the interface, and as many arguments.
#![allow(non_snake_case, clippy::too_many_arguments)]

use super::{moments, one_each, split};
use crate::plan::{Cx, Planned, Refusal, invalid, null, of_shape, of_types, plan, same_type};
use crate::types::{DType, FLOATS, Tensor};

/// The shape to normalise as dimensions.
fn shape(normalized_shape: &[i64]) -> Result<Vec<usize>, Refusal> {
    normalized_shape
        .iter()
        .map(|&d| usize::try_from(d).map_err(|_| invalid(format!("normalizedShape {normalized_shape:?} is negative"))))
        .collect()
}

/// Requires the types and shapes of weight and bias.
fn affine(
    cx: &Cx,
    input: &Tensor,
    dims: &[usize],
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
) -> Result<(), Refusal> {
    for (what, t) in [("weight", weight), ("bias", bias)] {
        if let Some(t) = t {
            of_types(cx, what, t, &[input.dtype, DType::F32])?;
            of_shape(what, t, dims)?;
        }
    }
    match (weight, bias) {
        (Some(weight), Some(bias)) => same_type("weight and bias", weight, bias),
        _ => Ok(()),
    }
}

pub(crate) fn LayerNorm(
    cx: &Cx,
    input: &Tensor,
    normalized_shape: &[i64],
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    eps: f64,
    out: &Tensor,
    mean_out: Option<&Tensor>,
    rstd_out: Option<&Tensor>,
) -> Planned {
    of_types(cx, "input", input, FLOATS)?;
    let dims = shape(normalized_shape)?;
    let (rows, width) = split("normalizedShape", input, &dims)?;
    affine(cx, input, &dims, weight, bias)?;
    same_type("input and out", input, out)?;
    of_shape("out", out, &input.dims)?;
    for (what, t) in [("meanOut", mean_out), ("rstdOut", rstd_out)] {
        if let Some(t) = t {
            of_types(cx, what, t, &[input.dtype, DType::F32])?;
            one_each(what, t, rows)?;
        }
    }
    let (input, out) = (input.clone(), out.clone());
    let [weight, bias, mean_out, rstd_out] = [weight, bias, mean_out, rstd_out].map(Option::<&Tensor>::cloned);
    plan(move |run| {
        let mut x = run.f32s(&input)?;
        let weight = weight.as_ref().map(|t| run.f32s(t)).transpose()?;
        let bias = bias.as_ref().map(|t| run.f32s(t)).transpose()?;
        let (mut means, mut rstds) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
        for row in x.chunks_exact_mut(width.max(1)) {
            let (mean, variance) = moments(row);
            let rstd = 1.0 / (variance + eps).sqrt();
            for (i, v) in row.iter_mut().enumerate() {
                let scaled = (f64::from(*v) - mean) * rstd * weight.as_ref().map_or(1.0, |w| f64::from(w[i]));
                *v = (scaled + bias.as_ref().map_or(0.0, |b| f64::from(b[i]))) as f32;
            }
            means.push(mean as f32);
            rstds.push(rstd as f32);
        }
        // Of rows without elements there is no mean.
        means.resize(rows, f32::NAN);
        rstds.resize(rows, f32::NAN);
        run.put_f32(&out, &x)?;
        if let Some(t) = &mean_out {
            run.put_f32(t, &means)?;
        }
        if let Some(t) = &rstd_out {
            run.put_f32(t, &rstds)?;
        }
        Ok(())
    })
}

pub(crate) fn LayerNormBackward(
    cx: &Cx,
    grad_out: &Tensor,
    input: &Tensor,
    normalized_shape: &[i64],
    mean: &Tensor,
    rstd: &Tensor,
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    output_mask: &[bool],
    grad_input_out: Option<&Tensor>,
    grad_weight_out: Option<&Tensor>,
    grad_bias_out: Option<&Tensor>,
) -> Planned {
    of_types(cx, "gradOut", grad_out, FLOATS)?;
    same_type("gradOut and input", grad_out, input)?;
    of_shape("gradOut", grad_out, &input.dims)?;
    let dims = shape(normalized_shape)?;
    let (rows, width) = split("normalizedShape", input, &dims)?;
    for (what, t) in [("mean", mean), ("rstd", rstd)] {
        of_types(cx, what, t, &[input.dtype, DType::F32])?;
        one_each(what, t, rows)?;
    }
    same_type("mean and rstd", mean, rstd)?;
    affine(cx, input, &dims, weight, bias)?;
    let &[to_input, to_weight, to_bias] = output_mask else {
        return Err(invalid(format!("outputMask has {} values, expected 3", output_mask.len())));
    };
    let wanted = |what: &str, wanted: bool, t: Option<&Tensor>| match (wanted, t) {
        (true, None) => Err(null(what)),
        (true, Some(t)) => Ok(Some(t.clone())),
        (false, _) => Ok(None),
    };
    let grad_input_out = wanted("gradInputOut", to_input, grad_input_out)?;
    let grad_weight_out = wanted("gradWeightOut", to_weight, grad_weight_out)?;
    let grad_bias_out = wanted("gradBiasOut", to_bias, grad_bias_out)?;
    if let Some(t) = &grad_input_out {
        same_type("input and gradInputOut", input, t)?;
        of_shape("gradInputOut", t, &input.dims)?;
    }
    for (what, t) in [("gradWeightOut", &grad_weight_out), ("gradBiasOut", &grad_bias_out)] {
        if let Some(t) = t {
            match weight {
                Some(weight) => same_type(&format!("weight and {what}"), weight, t)?,
                None => of_types(cx, what, t, &[input.dtype, DType::F32])?,
            }
            of_shape(what, t, &dims)?;
        }
    }
    let [grad_out, input, mean, rstd] = [grad_out, input, mean, rstd].map(Tensor::clone);
    let weight = weight.cloned();
    plan(move |run| {
        let (mut dy, x) = (run.f32s(&grad_out)?, run.f32s(&input)?);
        let (mean, rstd) = (run.f64s(&mean)?, run.f64s(&rstd)?);
        let weight = weight.as_ref().map(|t| run.f32s(t)).transpose()?;
        let (mut dweight, mut dbias) = (vec![0.0; width], vec![0.0; width]);
        let step = width.max(1);
        let moments = mean.into_iter().zip(rstd);
        for ((dy, x), (mean, rstd)) in dy.chunks_exact_mut(step).zip(x.chunks_exact(step)).zip(moments) {
            let normal = |i: usize| (f64::from(x[i]) - mean) * rstd;
            let scale = |i: usize| weight.as_ref().map_or(1.0, |w| f64::from(w[i]));
            let (mut plain, mut along) = (0.0, 0.0);
            for (i, &d) in dy.iter().enumerate() {
                let d = f64::from(d);
                dbias[i] += d;
                dweight[i] += d * normal(i);
                plain += d * scale(i);
                along += d * scale(i) * normal(i);
            }
            let (plain, along) = (plain / width as f64, along / width as f64);
            for (i, d) in dy.iter_mut().enumerate() {
                *d = ((f64::from(*d) * scale(i) - plain - along * normal(i)) * rstd) as f32;
            }
        }
        if let Some(t) = &grad_input_out {
            run.put_f32(t, &dy)?;
        }
        if let Some(t) = &grad_weight_out {
            run.put_f64(t, &dweight)?;
        }
        if let Some(t) = &grad_bias_out {
            run.put_f64(t, &dbias)?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{Bench, assert_close, refusal};

    #[test]
    fn normalises_rows() {
        let mut b = Bench::new();
        let x = b.tensor(DType::F32, &[2, 2], &[1.0, 3.0, 5.0, 5.0]);
        let (w, c) = (b.tensor(DType::F32, &[2], &[2.0, 1.0]), b.tensor(DType::F32, &[2], &[0.5, 0.0]));
        let (out, mean, rstd) =
            (b.empty(DType::F32, &[2, 2]), b.empty(DType::F32, &[2, 1]), b.empty(DType::F32, &[2, 1]));
        let p = LayerNorm(&b.cx, &x, &[2], Some(&w), Some(&c), 0.25, &out, Some(&mean), Some(&rstd));
        b.run(p).unwrap();
        let r = 1.0 / 1.25f64.sqrt();
        assert_close(&b.values(&out), &[0.5 - 2.0 * r, r, 0.5, 0.0], 1e-6);
        assert_close(&b.values(&mean), &[2.0, 5.0], 0.0);
        assert_close(&b.values(&rstd), &[r, 2.0], 1e-6);
        // A transposed view of halves, without weight and bias.
        let x = b.tensor(DType::F16, &[2, 2], &[1.0, 3.0, 5.0, 5.0]).with_view(vec![2, 2], vec![1, 2], 0);
        let out = b.empty(DType::F16, &[2, 2]);
        let p = LayerNorm(&b.cx, &x, &[2], None, None, 0.0, &out, None, None);
        b.run(p).unwrap();
        assert_close(&b.values(&out), &[-1.0, 1.0, -1.0, 1.0], 1e-3);
        assert_eq!(refusal(LayerNorm(&b.cx, &x, &[3], None, None, 0.0, &out, None, None)), 161_002);
        assert_eq!(refusal(LayerNorm(&b.cx, &x, &[], None, None, 0.0, &out, None, None)), 161_002);
    }

    #[test]
    fn gradient_agrees_with_differences() {
        let mut b = Bench::new();
        let x = [0.5, -1.0, 2.0, 1.5, 0.25, -0.75];
        let dy = [1.0, -2.0, 0.5, 0.3, 0.7, -1.1];
        let w = [1.5, -0.5, 2.0];
        let eps = 1e-3;
        let loss = |x: &[f64]| -> f64 {
            x.chunks(3)
                .zip(dy.chunks(3))
                .map(|(x, dy)| {
                    let mean = x.iter().sum::<f64>() / 3.0;
                    let rstd = 1.0 / (x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 3.0 + eps).sqrt();
                    x.iter().zip(dy).zip(&w).map(|((v, d), w)| (v - mean) * rstd * w * d).sum::<f64>()
                })
                .sum()
        };
        let expected: Vec<f64> = (0..6)
            .map(|i| {
                let moved = |h: f64| {
                    let mut x = x;
                    x[i] += h;
                    loss(&x)
                };
                (moved(1e-5) - moved(-1e-5)) / 2e-5
            })
            .collect();
        let tx = b.tensor(DType::F32, &[2, 3], &x);
        let tdy = b.tensor(DType::F32, &[2, 3], &dy);
        let tw = b.tensor(DType::F32, &[3], &w);
        let (y, mean, rstd) =
            (b.empty(DType::F32, &[2, 3]), b.empty(DType::F32, &[2, 1]), b.empty(DType::F32, &[2, 1]));
        let (dw, db) = (b.empty(DType::F32, &[3]), b.empty(DType::F32, &[3]));
        let p = LayerNorm(&b.cx, &tx, &[3], Some(&tw), None, eps, &y, Some(&mean), Some(&rstd));
        b.run(p).unwrap();
        let p = LayerNormBackward(
            &b.cx,
            &tdy,
            &tx,
            &[3],
            &mean,
            &rstd,
            Some(&tw),
            None,
            &[true, true, true],
            Some(&y),
            Some(&dw),
            Some(&db),
        );
        b.run(p).unwrap();
        assert_close(&b.values(&y), &expected, 1e-4);
        assert_close(&b.values(&db), &[1.3, -1.3, -0.6], 1e-6);
        let p = LayerNormBackward(
            &b.cx,
            &tdy,
            &tx,
            &[3],
            &mean,
            &rstd,
            Some(&tw),
            None,
            &[true, false, false],
            None,
            None,
            None,
        );
        assert_eq!(refusal(p), 161_001);
    }
}
