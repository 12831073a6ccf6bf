//! Group normalisation, and the norm of vectors.

// Operations have the names of the interface, and as many arguments.
#![allow(non_snake_case, clippy::too_many_arguments)]

use super::moments;
use crate::plan::{Cx, Planned, dimensions, invalid, of_shape, of_types, plan, same_type};
use crate::types::{FLOATS, Scalar, Tensor};

pub(crate) fn GroupNorm(
    cx: &Cx,
    x: &Tensor,
    gamma: Option<&Tensor>,
    beta: Option<&Tensor>,
    n: i64,
    c: i64,
    hxw: i64,
    group: i64,
    eps: f64,
    out: &Tensor,
    mean_out: Option<&Tensor>,
    rstd_out: Option<&Tensor>,
) -> Planned {
    of_types(cx, "self", x, FLOATS)?;
    let found = (x.rank() >= 2).then(|| (x.dims[0], x.dims[1], x.dims[2..].iter().product::<usize>()));
    let said = (usize::try_from(n), usize::try_from(c), usize::try_from(hxw));
    let (Some((n, c, hxw)), true) = (found, found.is_some_and(|(n, c, s)| said == (Ok(n), Ok(c), Ok(s)))) else {
        return Err(invalid(format!("self has shape {:?}, which is not N {n}, C {c}, HxW {hxw}", x.dims)));
    };
    let groups = usize::try_from(group).ok().filter(|&g| g > 0 && c % g == 0);
    let groups = groups.ok_or_else(|| invalid(format!("{group} groups do not divide {c} channels")))?;
    if eps <= 0.0 {
        return Err(invalid(format!("eps is {eps}, expected more than 0")));
    }
    for (what, t) in [("gamma", gamma), ("beta", beta)] {
        if let Some(t) = t {
            same_type(&format!("self and {what}"), x, t)?;
            of_shape(what, t, &[c])?;
        }
    }
    same_type("self and out", x, out)?;
    of_shape("out", out, &x.dims)?;
    for (what, t) in [("meanOut", mean_out), ("rstdOut", rstd_out)] {
        if let Some(t) = t {
            same_type(&format!("self and {what}"), x, t)?;
            of_shape(what, t, &[n, groups])?;
        }
    }
    let (x, out) = (x.clone(), out.clone());
    let [gamma, beta, mean_out, rstd_out] = [gamma, beta, mean_out, rstd_out].map(Option::<&Tensor>::cloned);
    plan(move |run| {
        let mut values = run.f32s(&x)?;
        let gamma = gamma.as_ref().map(|t| run.f32s(t)).transpose()?;
        let beta = beta.as_ref().map(|t| run.f32s(t)).transpose()?;
        let channels = c / groups;
        let (mut means, mut rstds) = (Vec::with_capacity(n * groups), Vec::with_capacity(n * groups));
        for (g, values) in values.chunks_exact_mut((channels * hxw).max(1)).enumerate() {
            let (mean, variance) = moments(values);
            let rstd = 1.0 / (variance + eps).sqrt();
            for (i, channel) in values.chunks_exact_mut(hxw).enumerate() {
                let at = g % groups * channels + i;
                let scale = gamma.as_ref().map_or(1.0, |g| f64::from(g[at])) * rstd;
                let shift = beta.as_ref().map_or(0.0, |b| f64::from(b[at]));
                channel.iter_mut().for_each(|v| *v = ((f64::from(*v) - mean) * scale + shift) as f32);
            }
            means.push(mean as f32);
            rstds.push(rstd as f32);
        }
        // Of groups without elements there is no mean.
        means.resize(n * groups, f32::NAN);
        rstds.resize(n * groups, f32::NAN);
        run.put_f32(&out, &values)?;
        if let Some(t) = &mean_out {
            run.put_f32(t, &means)?;
        }
        if let Some(t) = &rstd_out {
            run.put_f32(t, &rstds)?;
        }
        Ok(())
    })
}

pub(crate) fn Norm(cx: &Cx, x: &Tensor, p_scalar: Scalar, dim: &[i64], keepdim: bool, out: &Tensor) -> Planned {
    of_types(cx, "self", x, FLOATS)?;
    of_types(cx, "out", out, FLOATS)?;
    let over = dimensions(x, dim)?;
    // A tensor of rank 0 has a dimension 0 to name, but not to reduce.
    let reduced = |d: usize| over.contains(&d);
    let kept: Vec<usize> = (0..x.rank()).filter(|&d| !reduced(d)).collect();
    let expected: Vec<usize> = if keepdim {
        (0..x.rank()).map(|d| if reduced(d) { 1 } else { x.dims[d] }).collect()
    } else {
        kept.iter().map(|&d| x.dims[d]).collect()
    };
    of_shape("out", out, &expected)?;
    // The view with the reduced dimensions last: a row for each result.
    let order: Vec<usize> = kept.iter().copied().chain((0..x.rank()).filter(|&d| reduced(d))).collect();
    let pick = |from: &[usize]| order.iter().map(|&d| from[d]).collect();
    let view = x.with_view(pick(&x.dims), pick(&x.strides), x.offset);
    let (out, p) = (out.clone(), p_scalar.f64());
    plan(move |run| {
        let values = run.f64s(&view)?;
        let count = out.count();
        let width = values.len().checked_div(count).unwrap_or(0);
        let norms: Vec<f64> = (0..count).map(|i| norm(&values[i * width..][..width], p)).collect();
        run.put_f64(&out, &norms)
    })
}

fn norm(row: &[f64], p: f64) -> f64 {
    let sizes = row.iter().map(|v| v.abs());
    // `NaN` wins over all, which `f64::max` would drop.
    let pick = |a: f64, b: f64, better: bool| if b.is_nan() || better { b } else { a };
    if p == f64::INFINITY {
        sizes.fold(0.0, |a, b| pick(a, b, b > a))
    } else if p == f64::NEG_INFINITY {
        sizes.fold(f64::INFINITY, |a, b| pick(a, b, b < a))
    } else if p == 0.0 {
        sizes.filter(|&v| v != 0.0).count() as f64
    } else if p == 1.0 {
        sizes.sum()
    } else if p == 2.0 {
        sizes.map(|v| v * v).sum::<f64>().sqrt()
    } else {
        sizes.map(|v| v.powf(p)).sum::<f64>().powf(1.0 / p)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{Bench, assert_close, refusal};
    use crate::types::DType;

    #[test]
    fn normalises_groups() {
        let mut b = Bench::new();
        let x = b.tensor(DType::F32, &[1, 4, 1, 1], &[1.0, 3.0, 10.0, 14.0]);
        let g = b.tensor(DType::F32, &[4], &[1.0, 2.0, 1.0, 1.0]);
        let beta = b.tensor(DType::F32, &[4], &[0.0, 0.0, 0.0, 5.0]);
        let out = b.empty(DType::F32, &[1, 4, 1, 1]);
        let (mean, rstd) = (b.empty(DType::F32, &[1, 2]), b.empty(DType::F32, &[1, 2]));
        let p = GroupNorm(&b.cx, &x, Some(&g), Some(&beta), 1, 4, 1, 2, 1e-9, &out, Some(&mean), Some(&rstd));
        b.run(p).unwrap();
        assert_close(&b.values(&out), &[-1.0, 2.0, -1.0, 6.0], 1e-6);
        assert_close(&b.values(&mean), &[2.0, 12.0], 1e-6);
        assert_close(&b.values(&rstd), &[1.0, 0.5], 1e-6);
        let refused = GroupNorm(&b.cx, &x, None, None, 1, 4, 1, 3, 1e-9, &out, None, None);
        assert_eq!(refusal(refused), 161_002);
        let refused = GroupNorm(&b.cx, &x, None, None, 1, 2, 2, 2, 1e-9, &out, None, None);
        assert_eq!(refusal(refused), 161_002);
    }

    #[test]
    fn norms_of_views() {
        let mut b = Bench::new();
        let x = b.tensor(DType::F32, &[2, 2], &[3.0, -4.0, 0.0, 1.0]);
        let out = b.empty(DType::F16, &[2, 1]);
        let scalar = |p| Scalar::float(DType::F32, p);
        for (p, expected) in [
            (2.0, [5.0, 1.0]),
            (1.0, [7.0, 1.0]),
            (f64::INFINITY, [4.0, 1.0]),
            (f64::NEG_INFINITY, [3.0, 0.0]),
            (0.0, [2.0, 1.0]),
        ] {
            let planned = Norm(&b.cx, &x, scalar(p), &[1], true, &out);
            b.run(planned).unwrap();
            assert_close(&b.values(&out), &expected, 1e-3);
        }
        let out = b.empty(DType::F32, &[2]);
        let p = Norm(&b.cx, &x, scalar(2.0), &[0], false, &out);
        b.run(p).unwrap();
        assert_close(&b.values(&out), &[3.0, 17f64.sqrt()], 1e-6);
        let t = x.with_view(vec![2, 2], vec![1, 2], 0);
        let p = Norm(&b.cx, &t, scalar(3.0), &[-1], false, &out);
        b.run(p).unwrap();
        assert_close(&b.values(&out), &[3.0, 65f64.cbrt()], 1e-6);
        let all = b.empty(DType::F32, &[]);
        let p = Norm(&b.cx, &x, scalar(2.0), &[], false, &all);
        b.run(p).unwrap();
        assert_close(&b.values(&all), &[26f64.sqrt()], 1e-6);
        assert_eq!(refusal(Norm(&b.cx, &x, scalar(2.0), &[1, -1], true, &out)), 161_002);
    }
}
