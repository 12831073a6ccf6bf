//! The gradients of attention.

use super::mask::{self, Hidden, bias};
use super::{Choice, Kernel, Sizes, choose, cpu, flash, math, segments};
use crate::error::Of;
use crate::storage::operand;
use tch::{TchError, Tensor};
use vlm_core::Result;
use vlm_core::backend::{AttentionArgs, View};

/// What one part of the sequence gave and gets.
pub(super) struct Rows<'a> {
    pub(super) q: &'a Tensor,
    pub(super) k: &'a Tensor,
    pub(super) v: &'a Tensor,
    pub(super) out: &'a Tensor,
    pub(super) lse: &'a Tensor,
    pub(super) grad: &'a Tensor,
}

fn backward_rows(kernel: Kernel, r: &Rows<'_>, s: Sizes, hidden: Hidden, scale: f64) -> Result<[Tensor; 3], TchError> {
    match kernel {
        Kernel::Cpu => cpu::backward(r, s, hidden, scale),
        _ => math::backward(r, s, &hidden, scale),
    }
}

/// Gradients for queries, keys and values; `None` where there is nothing to attend to.
pub(crate) fn backward(
    args: &AttentionArgs<'_>,
    out: View<'_>,
    lse: View<'_>,
    grad: View<'_>,
    choice: Choice,
) -> Result<Option<[Tensor; 3]>> {
    let s = Sizes::of(args);
    if args.k.count() == 0 || args.q.count() == 0 || s.d_v == 0 {
        return Ok(None);
    }
    let (q, k, v) = (operand(&args.q)?, operand(&args.k)?, operand(&args.v)?);
    let kernel = choose(args, s, &q, choice);
    let (out, lse, grad) = (operand(&out)?, operand(&lse)?, operand(&grad)?);
    let run = || -> Result<_, TchError> {
        let rows = Rows { q: &q, k: &k, v: &v, out: &out, lse: &lse, grad: &grad };
        if kernel == Kernel::Flash {
            return flash::backward(args, &rows, s);
        }
        let Some(bounds) = args.segments.as_ref().filter(|_| args.mask.is_none()) else {
            return backward_rows(kernel, &rows, s, bias(args, q.device())?, args.scale);
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
            let found = backward_rows(kernel, &rows, s, mask::of_segment(args, len, q.device())?, args.scale)?;
            for (to, from) in grads.iter().zip(&found) {
                part(to)?.f_copy_(from)?;
            }
        }
        Ok(grads)
    };
    run().of("attention_backward").map(Some)
}
