//! Fills, the optimizer's step, triangular systems.

#![allow(non_snake_case)] // Operations have the names of the interface.

use super::map::NUMBERS;
use crate::plan::{Cx, Planned, Refusal, invalid, of_shape, of_types, plan, same_type};
use crate::types::{DType, FLOATS, Scalar, Tensor};

pub(crate) fn Arange(cx: &Cx, start: Scalar, end: Scalar, step: Scalar, out: &Tensor) -> Planned {
    of_types(cx, "out", out, NUMBERS)?;
    let (a, e, s) = (start.f64(), end.f64(), step.f64());
    if s == 0.0 || (e - a) * s < 0.0 {
        return Err(invalid(format!("no steps of {s} lead from {a} to {e}")));
    }
    let n = ((e - a) / s).ceil() as usize;
    if out.count() != n {
        return Err(invalid(format!("out has {} elements, expected {n}", out.count())));
    }
    let out = out.clone();
    plan(move |run| {
        let values: Vec<f64> = (0..n).map(|i| a + i as f64 * s).collect();
        run.put_f64(&out, &values)
    })
}

fn filled(cx: &Cx, x: &Tensor, value: Scalar) -> Planned {
    of_types(cx, "selfRef", x, NUMBERS)?;
    let x = x.clone();
    plan(move |run| {
        if x.dtype.is_float() {
            return run.put_f64(&x, &vec![value.f64(); x.count()]);
        }
        run.put_i64(&x, &vec![value.i64(); x.count()])
    })
}

pub(crate) fn InplaceZero(cx: &Cx, x: &Tensor) -> Planned {
    filled(cx, x, Scalar::int(DType::I64, 0))
}

pub(crate) fn InplaceOne(cx: &Cx, x: &Tensor) -> Planned {
    filled(cx, x, Scalar::int(DType::I64, 1))
}

pub(crate) fn InplaceFillScalar(cx: &Cx, x: &Tensor, value: Scalar) -> Planned {
    filled(cx, x, value)
}

/// AdamW (Loshchilov and Hutter 2019) in PyTorch's order of operations.
#[allow(clippy::too_many_arguments)] // The interface's.
pub(crate) fn ApplyAdamWV2(
    cx: &Cx,
    var_ref: &Tensor,
    m_ref: &Tensor,
    v_ref: &Tensor,
    max_grad_norm_ref: Option<&Tensor>,
    grad: &Tensor,
    step: &Tensor,
    lr: f32,
    beta1: f32,
    beta2: f32,
    weight_decay: f32,
    eps: f32,
    amsgrad: bool,
    maximize: bool,
) -> Planned {
    of_types(cx, "varRef", var_ref, FLOATS)?;
    for (what, t) in [("mRef", m_ref), ("vRef", v_ref), ("grad", grad)] {
        of_types(cx, what, t, FLOATS)?;
        of_shape(what, t, &var_ref.dims)?;
    }
    same_type("mRef and vRef", m_ref, v_ref)?;
    of_types(cx, "step", step, &[DType::F32, DType::I64])?;
    if step.count() != 1 {
        return Err(invalid(format!("step has {} elements, expected 1", step.count())));
    }
    let max = match (amsgrad, max_grad_norm_ref) {
        (true, None) => return Err(crate::plan::null("maxGradNormOptionalRef")),
        (true, Some(t)) => {
            of_shape("maxGradNormOptionalRef", t, &var_ref.dims)?;
            Some(t.clone())
        }
        (false, _) => None,
    };
    let [w, m, v, g, step] = [var_ref, m_ref, v_ref, grad, step].map(Tensor::clone);
    let [lr, beta1, beta2, decay, eps] = [lr, beta1, beta2, weight_decay, eps].map(f64::from);
    plan(move |run| {
        let t = run.f64s(&step)?[0];
        let (mut ws, mut ms, mut vs, gs) = (run.f64s(&w)?, run.f64s(&m)?, run.f64s(&v)?, run.f64s(&g)?);
        let mut tops = max.as_ref().map(|t| run.f64s(t)).transpose()?;
        let (c1, c2) = (1.0 - beta1.powf(t), (1.0 - beta2.powf(t)).sqrt());
        for i in 0..ws.len() {
            let g = if maximize { -gs[i] } else { gs[i] };
            ms[i] = beta1 * ms[i] + (1.0 - beta1) * g;
            vs[i] = beta2 * vs[i] + (1.0 - beta2) * g * g;
            let second = match &mut tops {
                Some(tops) => {
                    tops[i] = tops[i].max(vs[i]);
                    tops[i]
                }
                None => vs[i],
            };
            ws[i] = ws[i] * (1.0 - lr * decay) - lr / c1 * ms[i] / (second.sqrt() / c2 + eps);
        }
        run.put_f64(&w, &ws)?;
        run.put_f64(&m, &ms)?;
        run.put_f64(&v, &vs)?;
        match (&max, tops) {
            (Some(t), Some(tops)) => run.put_f64(t, &tops),
            _ => Ok(()),
        }
    })
}

/// The size of square matrices and of the right sides, and what is left of the shapes.
fn system(x: &Tensor, a: &Tensor) -> Result<(usize, usize), Refusal> {
    let ([lead @ .., n, k], [lead_a @ .., rows, columns]) = (&x.dims[..], &a.dims[..]) else {
        return Err(invalid(format!("shapes {:?} and {:?} are no matrices", x.dims, a.dims)));
    };
    if lead != lead_a || rows != columns || n != rows {
        return Err(invalid(format!("shapes {:?} and {:?} are no system", x.dims, a.dims)));
    }
    Ok((*n, *k))
}

/// Solves `A X = self` for triangular `A`. `mOut` gets a copy of `A`.
#[allow(clippy::too_many_arguments)] // The interface's.
pub(crate) fn TriangularSolve(
    cx: &Cx,
    x: &Tensor,
    a: &Tensor,
    upper: bool,
    transpose: bool,
    unitriangular: bool,
    x_out: &Tensor,
    m_out: &Tensor,
) -> Planned {
    of_types(cx, "self", x, &[DType::F32, DType::F64])?;
    same_type("self and A", x, a)?;
    same_type("self and xOut", x, x_out)?;
    let (n, k) = system(x, a)?;
    of_shape("xOut", x_out, &x.dims)?;
    of_shape("mOut", m_out, &a.dims)?;
    let [x, a, x_out, m_out] = [x, a, x_out, m_out].map(Tensor::clone);
    plan(move |run| {
        let (b, m) = (run.f64s(&x)?, run.f64s(&a)?);
        let mut all = b.clone();
        let lower = upper == transpose;
        for (batch, matrix) in all.chunks_exact_mut((n * k).max(1)).zip(m.chunks_exact((n * n).max(1))) {
            let at = |i: usize, j: usize| if transpose { matrix[j * n + i] } else { matrix[i * n + j] };
            for step in 0..n {
                let i = if lower { step } else { n - 1 - step };
                for c in 0..k {
                    let done = if lower { 0..i } else { i + 1..n };
                    let known: f64 = done.map(|j| at(i, j) * batch[j * k + c]).sum();
                    let divisor = if unitriangular { 1.0 } else { at(i, i) };
                    batch[i * k + c] = (batch[i * k + c] - known) / divisor;
                }
            }
        }
        run.put_f64(&x_out, &all)?;
        run.put_f64(&m_out, &m)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{Bench, assert_close, refusal};
    use crate::types::DType::{F16, F32, I64};

    #[test]
    fn fills_and_ranges() {
        let mut b = Bench::new();
        let x = b.empty(F16, &[2, 2]);
        let p = InplaceFillScalar(&b.cx, &x.with_view(vec![2], vec![2], 1), Scalar::float(F32, 0.5));
        b.run(p).unwrap();
        let got = b.values(&x);
        assert!(got[0].is_nan() && got[1] == 0.5 && got[3] == 0.5);
        let out = b.empty(I64, &[3]);
        let p = Arange(&b.cx, Scalar::int(I64, 1), Scalar::int(I64, 6), Scalar::int(I64, 2), &out);
        b.run(p).unwrap();
        assert_eq!(b.values(&out), [1.0, 3.0, 5.0]);
        let wrong = Arange(&b.cx, Scalar::int(I64, 1), Scalar::int(I64, 8), Scalar::int(I64, 2), &out);
        assert_eq!(refusal(wrong), 161_002);
    }

    #[test]
    fn a_step_is_pytorchs() {
        // torch.optim.AdamW([1.0, -2.0], lr=0.1, weight_decay=0.01), gradient [0.5, -1.0], first step.
        let mut b = Bench::new();
        let w = b.tensor(F32, &[2], &[1.0, -2.0]);
        let (m, v) = (b.tensor(F32, &[2], &[0.0; 2]), b.tensor(F32, &[2], &[0.0; 2]));
        let g = b.tensor(F32, &[2], &[0.5, -1.0]);
        let step = b.tensor(F32, &[1], &[1.0]);
        let p = ApplyAdamWV2(&b.cx, &w, &m, &v, None, &g, &step, 0.1, 0.9, 0.999, 0.01, 1e-8, false, false);
        b.run(p).unwrap();
        assert_close(&b.values(&w), &[0.899, -1.898], 1e-6);
        assert_close(&b.values(&m), &[0.05, -0.1], 1e-6);
        assert_eq!(
            refusal(ApplyAdamWV2(&b.cx, &w, &m, &v, None, &g, &g, 0.1, 0.9, 0.999, 0.0, 1e-8, false, false)),
            161_002
        );
    }

    #[test]
    fn triangular_systems_are_solved() {
        let mut b = Bench::new();
        let a = b.tensor(F32, &[2, 2], &[2.0, 0.0, 1.0, 4.0]);
        let rhs = b.tensor(F32, &[2, 1], &[4.0, 10.0]);
        let (x, m) = (b.empty(F32, &[2, 1]), b.empty(F32, &[2, 2]));
        let p = TriangularSolve(&b.cx, &rhs, &a, false, false, false, &x, &m);
        b.run(p).unwrap();
        assert_close(&b.values(&x), &[2.0, 2.0], 1e-6);
        let p = TriangularSolve(&b.cx, &rhs, &a, false, true, false, &x, &m);
        b.run(p).unwrap();
        assert_close(&b.values(&x), &[0.75, 2.5], 1e-6);
    }
}
