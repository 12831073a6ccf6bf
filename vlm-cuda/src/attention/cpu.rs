//! The fused kernel of libtorch's CPU: no mask or numbers added to the scores, as many key heads as query heads.

use super::Sizes;
use super::backward::Rows;
use super::mask::Hidden;
use tch::{TchError, Tensor};

/// One call of the kernel: queries `[b, h, s_q, d]`, keys and values with as many heads, all of one size per head.
struct Call {
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Option<Tensor>,
    causal: bool,
    scale: f64,
}

impl Call {
    /// The output `[b, h, s_q, d]` (as `[b, s_q, h, d]` in memory) and the logarithms of the sums `[b, h, s_q]`.
    fn run(&self) -> Result<(Tensor, Tensor), TchError> {
        Tensor::f_internal_scaled_dot_product_flash_attention_for_cpu(
            &self.q,
            &self.k,
            &self.v,
            0.0,
            self.causal,
            self.bias.as_ref(),
            self.scale,
        )
    }
}

/// `[b, h_kv, s, d]` for every query head.
fn repeat(x: &Tensor, s: Sizes) -> Result<Tensor, TchError> {
    if s.group() == 1 {
        return Ok(x.shallow_clone());
    }
    let shape = x.size();
    let wide = x.f_unsqueeze(2)?.f_expand([shape[0], shape[1], s.group(), shape[2], shape[3]], false)?;
    wide.f_reshape([shape[0], s.h, shape[2], shape[3]])
}

/// With zeros behind the last dimension up to `d`.
fn padded(x: Tensor, d: i64) -> Result<Tensor, TchError> {
    let missing = d - x.size()[3];
    if missing == 0 { Ok(x) } else { x.f_constant_pad_nd([0, missing]) }
}

/// With the channels of a head side by side, as the kernels read them.
fn packed(x: Tensor) -> Result<Tensor, TchError> {
    if x.stride()[3] == 1 { Ok(x) } else { x.f_contiguous() }
}

/// The whole attention of some rows: `q`, `k`, `v` as in the contract.
fn prepare(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    s: Sizes,
    bias: Option<Tensor>,
    causal: bool,
    scale: f64,
) -> Result<Call, TchError> {
    let widest = s.d.max(s.d_v);
    let (q, k, v) = if s.folds(bias.as_ref()) {
        (q.f_reshape([s.b, s.h_kv, s.group(), s.d])?, k.shallow_clone(), v.shallow_clone())
    } else {
        (q.shallow_clone(), repeat(k, s)?, repeat(v, s)?)
    };
    let ready = |t: Tensor| packed(padded(t, widest)?);
    let (q, k, v) = (ready(q)?, ready(k)?, ready(v)?);
    Ok(Call { q, k, v, bias, causal, scale })
}

/// Output `[b, h, s_q, d_v]` and logarithms of sums `[b, h, s_q]`.
pub(super) fn forward(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    s: Sizes,
    hidden: Hidden,
    scale: f64,
) -> Result<(Tensor, Tensor), TchError> {
    let call = prepare(q, k, v, s, hidden.bias, hidden.causal, scale)?;
    let (out, lse) = call.run()?;
    let out = if s.d_v < s.d { out.f_narrow(3, 0, s.d_v)? } else { out };
    // Folded heads come back as rows of their group.
    let out = if call.q.size()[1] == s.h { out } else { out.f_reshape([s.b, s.h, s.s_q, s.d_v])? };
    let lse = if call.q.size()[1] == s.h { lse } else { lse.f_reshape([s.b, s.h, s.s_q])? };
    Ok((out, lse))
}

/// The gradients of a head's group are one: `[b, h, s, d] -> [b, h_kv, s, d]`.
fn gathered(x: Tensor, s: Sizes, d: i64) -> Result<Tensor, TchError> {
    let x = if x.size()[3] > d { x.f_narrow(3, 0, d)? } else { x };
    let (heads, rows) = (x.size()[1], x.size()[2]);
    if heads == s.h_kv {
        return x.f_contiguous();
    }
    x.f_reshape([s.b, s.h_kv, s.group(), rows, d])?.f_sum_dim_intlist(&[2i64][..], false, None)
}

/// Gradients for queries, keys and values.
pub(super) fn backward(r: &Rows<'_>, s: Sizes, hidden: Hidden, scale: f64) -> Result<[Tensor; 3], TchError> {
    let call = prepare(r.q, r.k, r.v, s, hidden.bias, hidden.causal, scale)?;
    let folded = call.q.size()[1] != s.h;
    let widest = s.d.max(s.d_v);
    let as_rows =
        |t: &Tensor| if folded { t.f_reshape([s.b, s.h_kv, s.group(), s.d_v]) } else { Ok(t.shallow_clone()) };
    let ready = |t: &Tensor| packed(padded(as_rows(t)?, widest)?);
    let (out, grad) = (ready(r.out)?, ready(r.grad)?);
    let lse = if folded { r.lse.f_reshape([s.b, s.h_kv, s.group()])? } else { r.lse.shallow_clone() };
    // Of a query that saw nothing every share is e^(score - infinity) = 0.
    let nothing = lse.f_eq(f64::NEG_INFINITY)?;
    let lse = lse.f_masked_fill(&nothing, f64::INFINITY)?;
    let (dq, dk, dv) = Tensor::f_internal_scaled_dot_product_flash_attention_for_cpu_backward(
        &grad,
        &call.q,
        &call.k,
        &call.v,
        &out,
        &lse,
        0.0,
        call.causal,
        call.bias.as_ref(),
        call.scale,
    )?;
    let dq = if s.d < widest { dq.f_narrow(3, 0, s.d)? } else { dq };
    let dq = dq.f_reshape([s.b, s.h, s.s_q, s.d])?.f_contiguous()?;
    Ok([dq, gathered(dk, s, s.d)?, gathered(dv, s, s.d_v)?])
}
