//! Cross-entropy.

#![allow(non_snake_case, clippy::too_many_arguments)] // Operations have the names of the interface, and as many arguments.

use crate::plan::{Cx, Planned, Refusal, fault, invalid, null, of_shape, of_types, plan, same_type};
use crate::types::{DType, FLOATS, Tensor};

/// How losses are put together.
#[derive(Clone, Copy, PartialEq)]
enum Reduction {
    None,
    Sum,
    Mean,
}

impl Reduction {
    fn named(text: Option<&str>) -> Result<Self, Refusal> {
        match text.unwrap_or("mean") {
            "none" => Ok(Reduction::None),
            "sum" => Ok(Reduction::Sum),
            "mean" => Ok(Reduction::Mean),
            other => Err(invalid(format!("reduction {other:?} is not none, sum or mean"))),
        }
    }
}

fn matrix(what: &str, t: &Tensor) -> Result<(usize, usize), Refusal> {
    match t.dims[..] {
        [n, c] => Ok((n, c)),
        _ => Err(invalid(format!("{what} has shape {:?}, expected 2 dimensions", t.dims))),
    }
}

/// The largest element and the logarithm of the sum of exponentials.
fn log_sum(row: &[f64]) -> f64 {
    let top = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if top.is_infinite() {
        return if row.iter().any(|v| v.is_nan()) { f64::NAN } else { top };
    }
    top + row.iter().map(|v| (v - top).exp()).sum::<f64>().ln()
}

/// Of `zlossOut` and `lseForZlossOut` nothing is written: they are reserved.
pub(crate) fn CrossEntropyLoss(
    cx: &Cx,
    input: &Tensor,
    target: &Tensor,
    weight: Option<&Tensor>,
    reduction: Option<&str>,
    ignore_index: i64,
    label_smoothing: f64,
    _lse_square_scale_for_zloss: f64,
    return_zloss: bool,
    loss_out: &Tensor,
    log_prob_out: &Tensor,
    zloss_out: Option<&Tensor>,
    lse_for_zloss_out: Option<&Tensor>,
) -> Planned {
    of_types(cx, "input", input, FLOATS)?;
    of_types(cx, "target", target, &[DType::I64, DType::I32])?;
    same_type("input and lossOut", input, loss_out)?;
    same_type("input and logProbOut", input, log_prob_out)?;
    let (n, c) = matrix("input", input)?;
    of_shape("target", target, &[n])?;
    of_shape("logProbOut", log_prob_out, &input.dims)?;
    zloss_out.ok_or_else(|| null("zlossOut"))?;
    lse_for_zloss_out.ok_or_else(|| null("lseForZlossOut"))?;
    if return_zloss || label_smoothing != 0.0 {
        return Err(invalid("zloss and label smoothing are not simulated"));
    }
    if let Some(w) = weight {
        of_types(cx, "weight", w, &[DType::F32])?;
        of_shape("weight", w, &[c])?;
    }
    let reduction = Reduction::named(reduction)?;
    of_shape("lossOut", loss_out, if reduction == Reduction::None { &target.dims } else { &[1] })?;
    let [input, target, loss, log_prob] = [input, target, loss_out, log_prob_out].map(Tensor::clone);
    let weight = weight.cloned();
    plan(move |run| {
        let (x, t) = (run.f64s(&input)?, run.i64s(&target)?);
        let weight = weight.as_ref().map(|w| run.f64s(w)).transpose()?;
        let (mut logs, mut losses, mut total) = (Vec::with_capacity(x.len()), Vec::with_capacity(n), 0.0);
        for (row, &t) in x.chunks_exact(c.max(1)).zip(&t) {
            let lse = log_sum(row);
            logs.extend(row.iter().map(|v| v - lse));
            if t == ignore_index {
                losses.push(0.0);
                continue;
            }
            let at = usize::try_from(t).ok().filter(|&t| t < c).ok_or_else(|| fault(format!("target {t} of {c}")))?;
            let w = weight.as_ref().map_or(1.0, |w| w[at]);
            total += w;
            losses.push(w * (lse - row[at]));
        }
        run.put_f64(&log_prob, &logs)?;
        match reduction {
            Reduction::None => run.put_f64(&loss, &losses),
            Reduction::Sum => run.put_f64(&loss, &[losses.iter().sum()]),
            Reduction::Mean => run.put_f64(&loss, &[losses.iter().sum::<f64>() / total]),
        }
    })
}

pub(crate) fn CrossEntropyLossGrad(
    cx: &Cx,
    grad_loss: &Tensor,
    log_prob: &Tensor,
    target: &Tensor,
    weight: Option<&Tensor>,
    grad_zloss: Option<&Tensor>,
    lse_for_zloss: Option<&Tensor>,
    reduction: Option<&str>,
    ignore_index: i64,
    label_smoothing: f64,
    _lse_square_scale_for_zloss: f64,
    out: &Tensor,
) -> Planned {
    of_types(cx, "gradLoss", grad_loss, FLOATS)?;
    same_type("gradLoss and logProb", grad_loss, log_prob)?;
    same_type("logProb and out", log_prob, out)?;
    of_types(cx, "target", target, &[DType::I64, DType::I32])?;
    let (n, c) = matrix("logProb", log_prob)?;
    of_shape("target", target, &[n])?;
    of_shape("out", out, &log_prob.dims)?;
    if grad_zloss.is_some() || lse_for_zloss.is_some() || label_smoothing != 0.0 {
        return Err(invalid("zloss and label smoothing are not simulated"));
    }
    let reduction = Reduction::named(reduction)?;
    if reduction == Reduction::None {
        of_shape("gradLoss", grad_loss, &[n])?;
    } else if grad_loss.count() != 1 {
        return Err(invalid(format!("gradLoss has shape {:?}, expected one element", grad_loss.dims)));
    }
    let [grad, log_prob, target, out] = [grad_loss, log_prob, target, out].map(Tensor::clone);
    let weight = weight.cloned();
    plan(move |run| {
        let (g, logs, t) = (run.f64s(&grad)?, run.f64s(&log_prob)?, run.i64s(&target)?);
        let weight = weight.as_ref().map(|w| run.f64s(w)).transpose()?;
        let factor = |t: i64| match usize::try_from(t) {
            Ok(at) if t != ignore_index && at < c => weight.as_ref().map_or(1.0, |w| w[at]),
            _ => 0.0,
        };
        let total: f64 = t.iter().map(|&t| factor(t)).sum();
        let mut all = Vec::with_capacity(logs.len());
        for (i, (row, &t)) in logs.chunks_exact(c.max(1)).zip(&t).enumerate() {
            let g = match reduction {
                Reduction::None => g[i],
                Reduction::Sum => g[0],
                Reduction::Mean => g[0] / total,
            };
            // Not left out: what an ignored row holds takes part, times 0.
            let g = g * factor(t);
            all.extend(row.iter().enumerate().map(|(j, l)| g * (l.exp() - f64::from(u8::from(j as i64 == t)))));
        }
        run.put_f64(&out, &all)
    })
}

/// Losses of rows with probabilities as labels, and their gradient for the features.
pub(crate) fn SoftmaxCrossEntropyWithLogits(
    cx: &Cx,
    features: &Tensor,
    labels: &Tensor,
    loss: &Tensor,
    backprop: &Tensor,
) -> Planned {
    of_types(cx, "features", features, FLOATS)?;
    same_type("features and labels", features, labels)?;
    let (n, c) = matrix("features", features)?;
    of_shape("labels", labels, &features.dims)?;
    of_shape("backprop", backprop, &features.dims)?;
    of_shape("loss", loss, &[n])?;
    let [features, labels, loss, backprop] = [features, labels, loss, backprop].map(Tensor::clone);
    plan(move |run| {
        let (x, y) = (run.f64s(&features)?, run.f64s(&labels)?);
        let (mut losses, mut grads) = (Vec::with_capacity(n), Vec::with_capacity(x.len()));
        for (row, y) in x.chunks_exact(c.max(1)).zip(y.chunks_exact(c.max(1))) {
            let lse = log_sum(row);
            losses.push(row.iter().zip(y).map(|(v, y)| y * (lse - v)).sum());
            grads.extend(row.iter().zip(y).map(|(v, y)| (v - lse).exp() - y));
        }
        run.put_f64(&loss, &losses)?;
        run.put_f64(&backprop, &grads)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{Bench, assert_close, refusal};
    use crate::types::DType::{F32, I64};

    #[test]
    fn losses_and_gradients_are_pytorchs() {
        let mut b = Bench::new();
        let x = b.tensor(F32, &[2, 3], &[1.0, 2.0, 3.0, 0.5, 0.0, -0.5]);
        let t = b.tensor(I64, &[2], &[2.0, -100.0]);
        let (loss, logs) = (b.empty(F32, &[2]), b.empty(F32, &[2, 3]));
        let (z, l) = (b.empty(F32, &[1]), b.empty(F32, &[2]));
        let p = CrossEntropyLoss(
            &b.cx,
            &x,
            &t,
            None,
            Some("none"),
            -100,
            0.0,
            0.0,
            false,
            &loss,
            &logs,
            Some(&z),
            Some(&l),
        );
        b.run(p).unwrap();
        assert_close(&b.values(&loss), &[0.407_605_96, 0.0], 1e-6);
        let (g, dx) = (b.tensor(F32, &[2], &[2.0, 1.0]), b.empty(F32, &[2, 3]));
        let p = CrossEntropyLossGrad(&b.cx, &g, &logs, &t, None, None, None, Some("none"), -100, 0.0, 0.0, &dx);
        b.run(p).unwrap();
        assert_close(&b.values(&dx), &[0.180_061_15, 0.489_456_94, -0.669_518_1, 0.0, 0.0, 0.0], 1e-6);
        let p =
            CrossEntropyLoss(&b.cx, &x, &t, None, Some("all"), -100, 0.0, 0.0, false, &loss, &logs, Some(&z), Some(&l));
        assert_eq!(refusal(p), 161_002);
        let p = CrossEntropyLoss(&b.cx, &x, &t, None, None, -100, 0.0, 0.0, false, &loss, &logs, None, Some(&l));
        assert_eq!(refusal(p), 161_001);
    }

    #[test]
    fn soft_labels_have_their_gradient() {
        let mut b = Bench::new();
        let x = b.tensor(F32, &[1, 2], &[0.0, 0.0]);
        let y = b.tensor(F32, &[1, 2], &[0.25, 0.75]);
        let (loss, back) = (b.empty(F32, &[1]), b.empty(F32, &[1, 2]));
        let p = SoftmaxCrossEntropyWithLogits(&b.cx, &x, &y, &loss, &back);
        b.run(p).unwrap();
        assert_close(&b.values(&loss), &[std::f64::consts::LN_2], 1e-6);
        assert_close(&b.values(&back), &[0.25, -0.25], 1e-6);
    }
}
