//! The gradients of attention.

use super::mask::{self, Hidden, bias};
use super::{Sizes, packed, padded, prepare, segments};
use crate::error::Of;
use crate::storage::operand;
use tch::{TchError, Tensor};
use vlm_core::Result;
use vlm_core::backend::{AttentionArgs, View};

/// What one part of the sequence gave and gets.
struct Rows<'a> {
    q: &'a Tensor,
    k: &'a Tensor,
    v: &'a Tensor,
    out: &'a Tensor,
    lse: &'a Tensor,
    grad: &'a Tensor,
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

fn backward_rows(r: &Rows<'_>, s: Sizes, hidden: Hidden, scale: f64) -> Result<[Tensor; 3], TchError> {
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

/// Gradients for queries, keys and values; `None` where the composition has to do it.
pub(crate) fn backward(
    args: &AttentionArgs<'_>,
    out: View<'_>,
    lse: View<'_>,
    grad: View<'_>,
) -> Result<Option<[Tensor; 3]>> {
    let s = Sizes::of(args);
    let (q, k, v) = (operand(&args.q)?, operand(&args.k)?, operand(&args.v)?);
    if args.k.count() == 0 || args.q.count() == 0 || s.d_v == 0 || q.device() != tch::Device::Cpu {
        return Ok(None);
    }
    let (out, lse, grad) = (operand(&out)?, operand(&lse)?, operand(&grad)?);
    let run = || -> Result<_, TchError> {
        let Some(bounds) = args.segments.as_ref().filter(|_| args.mask.is_none()) else {
            let rows = Rows { q: &q, k: &k, v: &v, out: &out, lse: &lse, grad: &grad };
            return backward_rows(&rows, s, bias(args, q.device())?, args.scale);
        };
        let all = [&*q, &*k, &*v];
        let grads = [Tensor::f_zeros(q.size(), (q.kind(), q.device()))?, k.f_zeros_like()?, v.f_zeros_like()?];
        for (start, len) in segments(bounds) {
            let part = |t: &Tensor| t.f_narrow(2, start, len);
            let [q, k, v] = all;
            let (q, k, v) = (part(q)?, part(k)?, part(v)?);
            let (out, lse, grad) = (part(&out)?, part(&lse)?, part(&grad)?);
            let rows = Rows { q: &q, k: &k, v: &v, out: &out, lse: &lse, grad: &grad };
            let s = Sizes { s_q: len, s_kv: len, ..s };
            let found = backward_rows(&rows, s, mask::of_segment(args, len, q.device())?, args.scale)?;
            for (to, from) in grads.iter().zip(&found) {
                part(to)?.f_copy_(from)?;
            }
        }
        Ok(grads)
    };
    run().of("attention_backward").map(Some)
}
