//! Normalisation by the root of the mean square.

// Operations have the names of the interface.
#![allow(non_snake_case)]

use super::{one_each, split, tiling};
use crate::plan::{Cx, Planned, Refusal, of_shape, of_types, plan, same_type};
use crate::types::{DType, FLOATS, Tensor};

/// Normalises each row in place with gamma, to which `more` is added; what each row was multiplied with.
fn normalise(x: &mut [f32], gamma: &[f32], more: f64, epsilon: f64) -> Vec<f32> {
    let width = gamma.len();
    let mut rstds = Vec::with_capacity(x.len() / width.max(1));
    for row in x.chunks_exact_mut(width.max(1)) {
        let square = row.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / width as f64;
        let rstd = 1.0 / (square + epsilon).sqrt();
        row.iter_mut().zip(gamma).for_each(|(v, &g)| *v = (f64::from(*v) * rstd * (f64::from(g) + more)) as f32);
        rstds.push(rstd as f32);
    }
    rstds
}

/// Requires the shapes of a forward operation.
fn shapes(x: &Tensor, gamma: &Tensor, y: &Tensor, rstd: &Tensor) -> Result<(), Refusal> {
    let (rows, _) = split("gamma", x, &gamma.dims)?;
    of_shape("yOut", y, &x.dims)?;
    one_each("rstdOut", rstd, rows)
}

fn forward(x: &Tensor, gamma: &Tensor, more: f64, epsilon: f64, y: &Tensor, rstd: &Tensor) -> Planned {
    let [x, gamma, y, rstd] = [x, gamma, y, rstd].map(Tensor::clone);
    plan(move |run| {
        let mut values = run.f32s(&x)?;
        let rstds = normalise(&mut values, &run.f32s(&gamma)?, more, epsilon);
        run.put_f32(&y, &values)?;
        put_rstds(run, &rstd, &rstds)
    })
}

/// Writes one value for each row, none where rows have no elements.
fn put_rstds(run: &mut crate::run::Run<'_>, t: &Tensor, rstds: &[f32]) -> Result<(), crate::plan::Fault> {
    if rstds.len() == t.count() { run.put_f32(t, rstds) } else { Ok(()) }
}

pub(crate) fn RmsNorm(cx: &Cx, x: &Tensor, gamma: &Tensor, epsilon: f64, y_out: &Tensor, rstd_out: &Tensor) -> Planned {
    of_types(cx, "x", x, FLOATS)?;
    of_types(cx, "gamma", gamma, &[x.dtype, DType::F32])?;
    same_type("x and yOut", x, y_out)?;
    of_types(cx, "rstdOut", rstd_out, &[DType::F32])?;
    shapes(x, gamma, y_out, rstd_out).map_err(tiling)?;
    forward(x, gamma, 0.0, epsilon, y_out, rstd_out)
}

pub(crate) fn GemmaRmsNorm(
    cx: &Cx,
    x: &Tensor,
    gamma: &Tensor,
    epsilon: f64,
    y_out: &Tensor,
    rstd_out: &Tensor,
) -> Planned {
    of_types(cx, "x", x, FLOATS)?;
    same_type("x and gamma", x, gamma)?;
    same_type("x and yOut", x, y_out)?;
    of_types(cx, "rstdOut", rstd_out, &[DType::F32])?;
    shapes(x, gamma, y_out, rstd_out).map_err(tiling)?;
    forward(x, gamma, 1.0, epsilon, y_out, rstd_out)
}

#[allow(clippy::too_many_arguments)]
pub(crate) fn AddRmsNorm(
    cx: &Cx,
    x1: &Tensor,
    x2: &Tensor,
    gamma: &Tensor,
    epsilon: f64,
    y_out: &Tensor,
    rstd_out: &Tensor,
    x_out: &Tensor,
) -> Planned {
    of_types(cx, "x1", x1, FLOATS)?;
    for (what, t) in [("x1 and x2", x2), ("x1 and gamma", gamma), ("x1 and yOut", y_out), ("x1 and xOut", x_out)] {
        same_type(what, x1, t)?;
    }
    of_types(cx, "rstdOut", rstd_out, &[DType::F32])?;
    of_shape("x2", x2, &x1.dims)?;
    of_shape("xOut", x_out, &x1.dims)?;
    shapes(x1, gamma, y_out, rstd_out)?;
    let [x1, x2, gamma, y_out, rstd_out, x_out] = [x1, x2, gamma, y_out, rstd_out, x_out].map(Tensor::clone);
    plan(move |run| {
        let mut x = run.f32s(&x1)?;
        x.iter_mut().zip(run.f32s(&x2)?).for_each(|(a, b)| *a += b);
        let gamma = run.f32s(&gamma)?;
        run.put_f32(&x_out, &x)?;
        let rstds = normalise(&mut x, &gamma, 0.0, epsilon);
        run.put_f32(&y_out, &x)?;
        put_rstds(run, &rstd_out, &rstds)
    })
}

pub(crate) fn RmsNormGrad(
    cx: &Cx,
    dy: &Tensor,
    x: &Tensor,
    rstd: &Tensor,
    gamma: &Tensor,
    dx_out: &Tensor,
    dgamma_out: &Tensor,
) -> Planned {
    of_types(cx, "dy", dy, FLOATS)?;
    same_type("dy and x", dy, x)?;
    same_type("dy and dxOut", dy, dx_out)?;
    of_types(cx, "gamma", gamma, &[x.dtype, DType::F32])?;
    of_types(cx, "rstd", rstd, &[DType::F32])?;
    of_types(cx, "dgammaOut", dgamma_out, &[DType::F32])?;
    let (rows, width) = split("gamma", x, &gamma.dims).map_err(tiling)?;
    of_shape("dy", dy, &x.dims).map_err(tiling)?;
    of_shape("dxOut", dx_out, &x.dims).map_err(tiling)?;
    of_shape("dgammaOut", dgamma_out, &gamma.dims).map_err(tiling)?;
    one_each("rstd", rstd, rows).map_err(tiling)?;
    let [dy, x, rstd, gamma, dx_out, dgamma_out] = [dy, x, rstd, gamma, dx_out, dgamma_out].map(Tensor::clone);
    plan(move |run| {
        let (mut d, x) = (run.f32s(&dy)?, run.f32s(&x)?);
        let (rstd, gamma) = (run.f64s(&rstd)?, run.f32s(&gamma)?);
        let mut dgamma = vec![0.0; width];
        let step = width.max(1);
        for ((d, x), rstd) in d.chunks_exact_mut(step).zip(x.chunks_exact(step)).zip(rstd) {
            let mut along = 0.0;
            for i in 0..width {
                let product = f64::from(d[i]) * f64::from(x[i]) * rstd;
                dgamma[i] += product;
                along += product * f64::from(gamma[i]);
            }
            along /= width as f64;
            for i in 0..width {
                let scaled = f64::from(d[i]) * f64::from(gamma[i]);
                d[i] = ((scaled - f64::from(x[i]) * rstd * along) * rstd) as f32;
            }
        }
        run.put_f32(&dx_out, &d)?;
        run.put_f64(&dgamma_out, &dgamma)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{Bench, assert_close, refusal};

    #[test]
    fn normalises_the_last_dimensions() {
        let mut b = Bench::new();
        let x = b.tensor(DType::F32, &[2, 2], &[3.0, 4.0, 1.0, 1.0]);
        let g = b.tensor(DType::F32, &[2], &[2.0, 1.0]);
        let (y, rstd) = (b.empty(DType::F32, &[2, 2]), b.empty(DType::F32, &[2, 1]));
        let p = RmsNorm(&b.cx, &x, &g, 0.0, &y, &rstd);
        b.run(p).unwrap();
        let r = 1.0 / 12.5f64.sqrt();
        assert_close(&b.values(&y), &[6.0 * r, 4.0 * r, 2.0, 1.0], 1e-6);
        assert_close(&b.values(&rstd), &[r, 1.0], 1e-6);
        let p = GemmaRmsNorm(&b.cx, &x, &g, 0.0, &y, &rstd);
        b.run(p).unwrap();
        assert_close(&b.values(&y), &[9.0 * r, 8.0 * r, 3.0, 2.0], 1e-6);
        // Over both dimensions, from a transposed view.
        let (x, g) = (x.with_view(vec![2, 2], vec![1, 2], 0), b.tensor(DType::F32, &[2, 2], &[1.0, 2.0, 3.0, 4.0]));
        let rstd = b.empty(DType::F32, &[1, 1]);
        let p = RmsNorm(&b.cx, &x, &g, 0.25, &y, &rstd);
        b.run(p).unwrap();
        let r = 1.0 / 7f64.sqrt();
        assert_close(&b.values(&y), &[3.0 * r, 2.0 * r, 12.0 * r, 4.0 * r], 1e-6);
        assert_eq!(refusal(RmsNorm(&b.cx, &x, &y, 0.0, &x, &g)), 561_002);
        let half = b.empty(DType::F16, &[2]);
        assert_eq!(refusal(RmsNorm(&b.cx, &x, &half, 0.0, &y, &rstd)), 161_002);
    }

    #[test]
    fn adds_halves_first() {
        let mut b = Bench::new();
        let (x1, x2) = (b.tensor(DType::F16, &[1, 2], &[1.0, 5.0]), b.tensor(DType::F16, &[1, 2], &[2.0, -1.0]));
        let g = b.tensor(DType::F16, &[2], &[1.0, 1.0]);
        let (y, rstd, x) = (b.empty(DType::F16, &[1, 2]), b.empty(DType::F32, &[1]), b.empty(DType::F16, &[1, 2]));
        let p = AddRmsNorm(&b.cx, &x1, &x2, &g, 0.0, &y, &rstd, &x);
        b.run(p).unwrap();
        let r = 1.0 / 12.5f64.sqrt();
        assert_close(&b.values(&x), &[3.0, 4.0], 0.0);
        assert_close(&b.values(&y), &[3.0 * r, 4.0 * r], 1e-3);
    }

    #[test]
    fn gradient_agrees_with_differences() {
        let mut b = Bench::new();
        let (x, g, dy) = ([0.5, -1.0, 2.0], [1.5, -0.5, 2.0], [1.0, -2.0, 0.5]);
        let eps = 1e-2;
        let loss = |x: [f64; 3], g: [f64; 3]| -> f64 {
            let rstd = 1.0 / (x.iter().map(|v| v * v).sum::<f64>() / 3.0 + eps).sqrt();
            (0..3).map(|i| x[i] * rstd * g[i] * dy[i]).sum()
        };
        let difference =
            |f: &dyn Fn(usize, f64) -> f64| -> Vec<f64> { (0..3).map(|i| (f(i, 1e-5) - f(i, -1e-5)) / 2e-5).collect() };
        let moved = |mut v: [f64; 3], i: usize, h: f64| {
            v[i] += h;
            v
        };
        let dx = difference(&|i, h| loss(moved(x, i, h), g));
        let dg = difference(&|i, h| loss(x, moved(g, i, h)));
        let (tx, tg) = (b.tensor(DType::F32, &[1, 3], &x), b.tensor(DType::F32, &[3], &g));
        let tdy = b.tensor(DType::F32, &[1, 3], &dy);
        let (y, rstd, dgamma) = (b.empty(DType::F32, &[1, 3]), b.empty(DType::F32, &[1, 1]), b.empty(DType::F32, &[3]));
        let p = RmsNorm(&b.cx, &tx, &tg, eps, &y, &rstd);
        b.run(p).unwrap();
        let p = RmsNormGrad(&b.cx, &tdy, &tx, &rstd, &tg, &y, &dgamma);
        b.run(p).unwrap();
        assert_close(&b.values(&y), &dx, 1e-4);
        assert_close(&b.values(&dgamma), &dg, 1e-4);
    }
}
