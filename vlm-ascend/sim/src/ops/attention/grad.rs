//! The gradient of the attention of training.

// Operations have the names of the interface, and as many arguments.
#![allow(non_snake_case, clippy::too_many_arguments)]

use super::forward::Problem;
use super::head;
use super::scores::Seen;
use crate::ops::product::{Matrix, multiply};
use crate::plan::{Cx, Planned, null, of_shape, plan, same_type};
use crate::types::Tensor;

/// The gradients of query, key and value. Probabilities are `exp(score - softmaxMax) / softmaxSum`, from whatever the caller
/// passes as these: log-sum-exp and 1 do as well. `dpseOut` is not in use: nothing is written there.
pub(crate) fn FlashAttentionScoreGrad(
    cx: &Cx,
    query: &Tensor,
    key_in: &Tensor,
    value: &Tensor,
    dy: &Tensor,
    pse_shift: Option<&Tensor>,
    _drop_mask: Option<&Tensor>,
    _padding_mask: Option<&Tensor>,
    atten_mask: Option<&Tensor>,
    softmax_max: Option<&Tensor>,
    softmax_sum: Option<&Tensor>,
    _softmax_in: Option<&Tensor>,
    attention_in: Option<&Tensor>,
    _prefix: Option<&[i64]>,
    scale_value: f64,
    keep_prob: f64,
    pre_tokens: i64,
    next_tokens: i64,
    head_num: i64,
    input_layout: &str,
    _inner_precise: i64,
    sparse_mode: i64,
    dq_out: &Tensor,
    dk_out: &Tensor,
    dv_out: &Tensor,
    _dpse_out: Option<&Tensor>,
) -> Planned {
    let problem = Problem::new(
        cx,
        (query, key_in, value),
        pse_shift,
        atten_mask,
        (scale_value, keep_prob),
        (pre_tokens, next_tokens, sparse_mode),
        head_num,
        input_layout,
    )?;
    let softmax_max = softmax_max.ok_or_else(|| null("softmaxMax"))?.clone();
    let softmax_sum = softmax_sum.ok_or_else(|| null("softmaxSum"))?.clone();
    problem.of_rows(cx, "softmaxMax", &softmax_max)?;
    problem.of_rows(cx, "softmaxSum", &softmax_sum)?;
    let dy = problem.like_output("dy", query, dy)?;
    let attention_in = attention_in.ok_or_else(|| null("attentionIn"))?;
    let y = problem.like_output("attentionIn", query, attention_in)?;
    for (what, t, like) in [("dqOut", dq_out, query), ("dkOut", dk_out, key_in), ("dvOut", dv_out, value)] {
        same_type(&format!("query and {what}"), query, t)?;
        of_shape(what, t, &like.dims)?;
    }
    let kv_heads = problem.k.dims[1];
    let dq_out = problem.layout.heads("dqOut", dq_out, problem.q.dims[1])?;
    let dk_out = problem.layout.heads("dkOut", dk_out, kv_heads)?;
    let dv_out = problem.layout.heads("dvOut", dv_out, kv_heads)?;
    plan(move |run| {
        let Problem { q, k, v, scores, .. } = &problem;
        let (queries, width, keys, v_width) = (q.dims[2], q.dims[3], k.dims[2], v.dims[3]);
        scores.mask.check(run)?;
        let mut seen = Seen::default();
        for b in 0..q.dims[0] {
            for kv in 0..kv_heads {
                let keys_here = run.f32s(&head(k, b, kv, keys, width))?;
                let values = run.f32s(&head(v, b, kv, keys, v_width))?;
                let (mk, mv) = (Matrix::new(&keys_here, keys, width), Matrix::new(&values, keys, v_width));
                let (mut dk, mut dv) = (vec![0.0; keys * width], vec![0.0; keys * v_width]);
                for n in kv * problem.group()..(kv + 1) * problem.group() {
                    let rows = run.f32s(&head(q, b, n, queries, width))?;
                    let mq = Matrix::new(&rows, queries, width);
                    let mut p = scores.of(run, &mut seen, (b, n), mq, mk)?;
                    let most = run.f32s(&head(&softmax_max, b, n, queries, 1))?;
                    let sums = run.f32s(&head(&softmax_sum, b, n, queries, 1))?;
                    if keys > 0 {
                        for (row, (&most, &sum)) in p.chunks_exact_mut(keys).zip(most.iter().zip(&sums)) {
                            // Hidden keys have no probability, whatever the sums of a row that sees none.
                            let probability =
                                |s: f32| if s == f32::NEG_INFINITY { 0.0 } else { (s - most).exp() / sum };
                            row.iter_mut().for_each(|s| *s = probability(*s));
                        }
                    }
                    let grad = run.f32s(&head(&dy, b, n, queries, v_width))?;
                    let output = run.f32s(&head(&y, b, n, queries, v_width))?;
                    let mg = Matrix::new(&grad, queries, v_width);
                    multiply(Matrix::new(&p, queries, keys).transposed(), mg, &mut dv, true);
                    let mut ds = vec![0.0; queries * keys];
                    multiply(mg, mv.transposed(), &mut ds, false);
                    for i in 0..queries {
                        let of_row = i * v_width..(i + 1) * v_width;
                        let along = grad[of_row.clone()].iter().zip(&output[of_row]);
                        let along = along.map(|(&g, &o)| f64::from(g) * f64::from(o)).sum::<f64>() as f32;
                        let of_row = i * keys..(i + 1) * keys;
                        let row = ds[of_row.clone()].iter_mut().zip(&p[of_row]);
                        row.for_each(|(d, p)| *d = p * (*d - along) * scores.scale);
                    }
                    let ms = Matrix::new(&ds, queries, keys);
                    let mut dq = vec![0.0; queries * width];
                    multiply(ms, mk, &mut dq, false);
                    multiply(ms.transposed(), mq, &mut dk, true);
                    run.put_f32(&head(&dq_out, b, n, queries, width), &dq)?;
                }
                run.put_f32(&head(&dk_out, b, kv, keys, width), &dk)?;
                run.put_f32(&head(&dv_out, b, kv, keys, v_width), &dv)?;
            }
        }
        Ok(())
    })
}
