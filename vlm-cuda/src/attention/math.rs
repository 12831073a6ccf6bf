//! Attention with all scores at once, by products of matrices: where no fused kernel takes the mask or the element type.
//! Products are in the operands' type, scores and softmax in the accumulator type.

use super::Sizes;
use super::mask::Hidden;
use tch::{Kind, TchError, Tensor};

/// `[b, h, s, d]` as one head per key head: the queries of a group are rows of it, so that keys are not repeated.
fn grouped(x: &Tensor, s: Sizes) -> Result<Tensor, TchError> {
    let (rows, d) = (x.size()[2], x.size()[3]);
    x.f_reshape([s.b, s.h_kv, s.group() * rows, d])
}

/// The scaled and masked scores `[b, h, s_q, s_kv]`.
fn scores(q: &Tensor, k: &Tensor, s: Sizes, hidden: &Hidden, scale: f64, wide: Kind) -> Result<Tensor, TchError> {
    let raw = grouped(q, s)?.f_matmul(&k.f_transpose(2, 3)?)?.f_view([s.b, s.h, s.s_q, s.s_kv])?;
    // A new tensor in any case, changed in place from here on.
    let mut scores = raw.f_to_kind(wide)?.f_mul_scalar_(scale)?;
    if let Some(bias) = &hidden.bias {
        scores = scores.f_add_(bias)?;
    }
    if hidden.causal {
        let later = Tensor::f_ones([s.s_q, s.s_kv], (Kind::Bool, q.device()))?.f_triu(1)?;
        scores = scores.f_masked_fill_(&later, f64::NEG_INFINITY)?;
    }
    Ok(scores)
}

/// The shares from scores and logarithms of sums. Of a row that sees nothing every share is `e^(-infinity - 0) = 0`.
fn shares(mut scores: Tensor, lse: &Tensor, small: Kind) -> Result<Tensor, TchError> {
    let shift = lse.f_masked_fill(&lse.f_eq(f64::NEG_INFINITY)?, 0.0)?;
    scores.f_sub_(&shift)?.f_exp_()?.f_to_kind(small)
}

/// Output `[b, h, s_q, d_v]` and logarithms of sums `[b, h, s_q]`.
pub(super) fn forward(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    s: Sizes,
    hidden: &Hidden,
    scale: f64,
) -> Result<(Tensor, Tensor), TchError> {
    let scores = scores(q, k, s, hidden, scale, wide(q.kind()))?;
    let lse = scores.f_logsumexp([3i64], true)?;
    let shares = shares(scores, &lse, v.kind())?;
    let out = grouped(&shares, s)?.f_matmul(v)?.f_view([s.b, s.h, s.s_q, s.d_v])?;
    Ok((out, lse.f_squeeze_dim(3)?))
}

fn wide(kind: Kind) -> Kind {
    if kind == Kind::Double { Kind::Double } else { Kind::Float }
}

/// Gradients for queries, keys and values.
pub(super) fn backward(
    r: &super::backward::Rows<'_>,
    s: Sizes,
    hidden: &Hidden,
    scale: f64,
) -> Result<[Tensor; 3], TchError> {
    let (small, wide) = (r.q.kind(), wide(r.q.kind()));
    let p = shares(scores(r.q, r.k, s, hidden, scale, wide)?, &r.lse.f_unsqueeze(3)?, wide)?;
    let g = grouped(r.grad, s)?;
    let dv = grouped(&p.f_to_kind(small)?, s)?.f_transpose(2, 3)?.f_matmul(&g)?;
    let dp = g.f_matmul(&r.v.f_transpose(2, 3)?)?.f_view([s.b, s.h, s.s_q, s.s_kv])?.f_to_kind(wide)?;
    let inner = r.grad.f_to_kind(wide)?.f_mul(&r.out.f_to_kind(wide)?)?.f_sum_dim_intlist(&[3i64][..], true, None)?;
    let ds = dp.f_sub(&inner)?.f_mul_(&p)?.f_mul_scalar_(scale)?.f_to_kind(small)?;
    let ds = grouped(&ds, s)?;
    let dq = ds.f_matmul(r.k)?.f_view([s.b, s.h, s.s_q, s.d])?;
    let dk = ds.f_transpose(2, 3)?.f_matmul(&grouped(r.q, s)?)?;
    Ok([dq, dk, dv])
}
