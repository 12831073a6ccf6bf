//! The attention of training.

// Operations have the names of the interface, and as many arguments.
#![allow(non_snake_case, clippy::too_many_arguments)]

use super::mask::Mask;
use super::scores::{Scores, Seen, softmax};
use super::{Layout, head, head_count};
use crate::ops::product::{Matrix, multiply};
use crate::plan::{Cx, Planned, Refusal, invalid, of_shape, of_types, plan, same_type};
use crate::types::{DType, FLOATS, Tensor};

/// What attention of training and its gradient have in common.
pub(super) struct Problem {
    pub(super) layout: Layout,
    /// All three as `[B, N, S, D]`.
    pub(super) q: Tensor,
    pub(super) k: Tensor,
    pub(super) v: Tensor,
    pub(super) scores: Scores,
}

impl Problem {
    pub(super) fn new(
        cx: &Cx,
        (query, key, value): (&Tensor, &Tensor, &Tensor),
        shift: Option<&Tensor>,
        atten_mask: Option<&Tensor>,
        (scale, keep_prob): (f64, f64),
        (pre_tokens, next_tokens, sparse_mode): (i64, i64, i64),
        head_num: i64,
        input_layout: &str,
    ) -> Result<Self, Refusal> {
        of_types(cx, "query", query, FLOATS)?;
        same_type("query and key", query, key)?;
        same_type("query and value", query, value)?;
        if keep_prob != 1.0 {
            return Err(invalid(format!("keepProb {keep_prob}: dropout is not simulated")));
        }
        if !(0..=6).contains(&sparse_mode) {
            return Err(invalid(format!("sparseMode {sparse_mode} is not one that this operation has")));
        }
        let (layout, heads) = (Layout::named(input_layout)?, head_count(head_num)?);
        let q = layout.heads("query", query, heads)?;
        let width = q.dims[3];
        // Only where heads have a dimension of their own can there be another number of them.
        let kv_heads = match layout {
            Layout::Bsnd => key.dims.get(2).copied(),
            Layout::Bnsd => key.dims.get(1).copied(),
            Layout::Bsh | Layout::Sbh => key.dims.get(2).and_then(|h| h.checked_div(width)),
        };
        let kv_heads = kv_heads.filter(|&n| n > 0 && heads % n == 0).ok_or_else(|| {
            invalid(format!("key has shape {:?}, whose heads do not divide the {heads} of the query", key.dims))
        })?;
        let (k, v) = (layout.heads("key", key, kv_heads)?, layout.heads("value", value, kv_heads)?);
        if k.dims[0] != q.dims[0]
            || k.dims[3] != width
            || k.dims[..3] != v.dims[..3]
            || v.dims[3] > width
            || width > 768
        {
            let text =
                format!("query, key and value have shapes {:?}, {:?} and {:?}", query.dims, key.dims, value.dims);
            return Err(invalid(text));
        }
        let (batch, queries, keys) = (q.dims[0], q.dims[2], k.dims[2]);
        let all = [batch, heads, queries, keys];
        let shift = match shift {
            Some(t) => {
                same_type("query and realShift", query, t)?;
                let known = [[batch, heads, queries, keys], [batch, heads, 1, keys], [1, heads, queries, keys]];
                if !known.iter().any(|dims| t.dims == dims) {
                    return Err(invalid(format!("realShift has shape {:?}, expected one of {known:?}", t.dims)));
                }
                t.broadcast(&all)
            }
            None => None,
        };
        let mask = match atten_mask {
            Some(t) => {
                of_types(cx, "attenMask", t, &[DType::Bool, DType::U8])?;
                Mask::new(t, sparse_mode, pre_tokens, next_tokens, |t| {
                    let known = [[batch, heads, queries, keys], [batch, 1, queries, keys], [1, 1, queries, keys]];
                    let fits = t.dims == [queries, keys] || known.iter().any(|dims| t.dims == dims);
                    t.broadcast(&all).filter(|_| fits).ok_or_else(|| {
                        invalid(format!("attenMask has shape {:?}, expected one of {known:?} or the last two", t.dims))
                    })
                })?
            }
            // Modes and tokens have no effect without a mask.
            None => Mask::default(),
        };
        Ok(Problem { layout, q, k, v, scores: Scores { scale: scale as f32, shift, shift_first: true, mask } })
    }

    /// How many heads of the query share one of the key.
    pub(super) fn group(&self) -> usize {
        self.q.dims[1] / self.k.dims[1]
    }

    /// A tensor of the shape of the attention's output, as `[B, N, S, D]`.
    pub(super) fn like_output(&self, what: &str, query: &Tensor, t: &Tensor) -> Result<Tensor, Refusal> {
        same_type(&format!("query and {what}"), query, t)?;
        let view = self.layout.heads(what, t, self.q.dims[1])?;
        let [b, n, s, _] = self.q.dims[..] else { return Err(invalid("query has not 4 dimensions")) };
        of_shape(what, &view, &[b, n, s, self.v.dims[3]])?;
        Ok(view)
    }

    /// Requires the shape of what is kept of each row.
    pub(super) fn of_rows(&self, cx: &Cx, what: &str, t: &Tensor) -> Result<(), Refusal> {
        of_types(cx, what, t, &[DType::F32])?;
        of_shape(what, t, &[self.q.dims[0], self.q.dims[1], self.q.dims[2], 8])
    }
}

/// `softmax(mask((query key^T + realShift) * scale)) value`.
///
/// A query that sees no key gets zeros, `-inf` as its largest score and 0 as its sum. `softmaxOut` is reserved: nothing is
/// written there.
pub(crate) fn FlashAttentionScore(
    cx: &Cx,
    query: &Tensor,
    key: &Tensor,
    value: &Tensor,
    real_shift: Option<&Tensor>,
    _drop_mask: Option<&Tensor>,
    _padding_mask: Option<&Tensor>,
    atten_mask: Option<&Tensor>,
    _prefix: Option<&[i64]>,
    scale_value: f64,
    keep_prob: f64,
    pre_tokens: i64,
    next_tokens: i64,
    head_num: i64,
    input_layout: &str,
    _inner_precise: i64,
    sparse_mode: i64,
    softmax_max_out: &Tensor,
    softmax_sum_out: &Tensor,
    _softmax_out_out: Option<&Tensor>,
    attention_out_out: &Tensor,
) -> Planned {
    let problem = Problem::new(
        cx,
        (query, key, value),
        real_shift,
        atten_mask,
        (scale_value, keep_prob),
        (pre_tokens, next_tokens, sparse_mode),
        head_num,
        input_layout,
    )?;
    problem.of_rows(cx, "softmaxMaxOut", softmax_max_out)?;
    problem.of_rows(cx, "softmaxSumOut", softmax_sum_out)?;
    let out = problem.like_output("attentionOut", query, attention_out_out)?;
    let (max_out, sum_out) = (softmax_max_out.clone(), softmax_sum_out.clone());
    plan(move |run| {
        let Problem { q, k, v, scores, .. } = &problem;
        let (queries, width, keys, v_width) = (q.dims[2], q.dims[3], k.dims[2], v.dims[3]);
        scores.mask.check(run)?;
        let mut seen = Seen::default();
        let eight = |row: &[f32]| row.iter().flat_map(|&x| [x; 8]).collect::<Vec<_>>();
        for b in 0..q.dims[0] {
            for kv in 0..k.dims[1] {
                let keys_here = run.f32s(&head(k, b, kv, keys, width))?;
                let values = run.f32s(&head(v, b, kv, keys, v_width))?;
                for n in kv * problem.group()..(kv + 1) * problem.group() {
                    let rows = run.f32s(&head(q, b, n, queries, width))?;
                    let (rows, columns) = (Matrix::new(&rows, queries, width), Matrix::new(&keys_here, keys, width));
                    let mut p = scores.of(run, &mut seen, (b, n), rows, columns)?;
                    let (most, sums) = softmax(&mut p, queries);
                    let mut o = vec![0.0; queries * v_width];
                    multiply(Matrix::new(&p, queries, keys), Matrix::new(&values, keys, v_width), &mut o, false);
                    run.put_f32(&head(&out, b, n, queries, v_width), &o)?;
                    run.put_f32(&head(&max_out, b, n, queries, 8), &eight(&most))?;
                    run.put_f32(&head(&sum_out, b, n, queries, 8), &eight(&sums))?;
                }
            }
        }
        Ok(())
    })
}
