//! Scaled dot-product attention by libtorch's fused kernels.

mod backward;
mod mask;

pub(crate) use backward::backward;

use crate::error::Of;
use crate::storage::{kind, operand};
use mask::{Hidden, bias};
use tch::{TchError, Tensor};
use vlm_core::Result;
use vlm_core::backend::AttentionArgs;

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

/// How the operands were changed to suit the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sizes {
    b: i64,
    h: i64,
    h_kv: i64,
    s_q: i64,
    s_kv: i64,
    d: i64,
    d_v: i64,
}

impl Sizes {
    fn of(args: &AttentionArgs<'_>) -> Self {
        let n = |i: usize| i as i64;
        let (q, k, v) = (args.q.shape(), args.k.shape(), args.v.shape());
        Sizes { b: n(q[0]), h: n(q[1]), h_kv: n(k[1]), s_q: n(q[2]), s_kv: n(k[2]), d: n(q[3]), d_v: n(v[3]) }
    }

    fn group(self) -> i64 {
        self.h / self.h_kv
    }

    /// A single query per head sees the same keys as its neighbours of the group: they become rows of one head, so that
    /// keys and values need not be repeated.
    fn folds(self, bias: Option<&Tensor>) -> bool {
        self.group() > 1 && self.s_q == 1 && bias.is_none_or(|b| b.size()[1] == 1)
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

/// Output `[b, s_q, h, d_v]`, contiguous, and logarithms of sums `[b, h, s_q]`.
fn forward_rows(
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
    // Contiguous already, unless it was cut.
    Ok((out.f_transpose(1, 2)?, lse))
}

/// Output and, if `save` is set, logarithms of sums; `None` where the composition has to do it.
pub(crate) fn forward(args: &AttentionArgs<'_>, save: bool) -> Result<Option<(Tensor, Option<Tensor>)>> {
    const OP: &str = "attention";
    let s = Sizes::of(args);
    let (q, k, v) = (operand(&args.q)?, operand(&args.k)?, operand(&args.v)?);
    if s.s_kv == 0 || args.q.count() == 0 || s.d_v == 0 || q.device() != tch::Device::Cpu {
        return Ok(None);
    }
    let run = || -> Result<_, TchError> {
        let Some(bounds) = args.segments.as_ref().filter(|_| args.mask.is_none()) else {
            let hidden = bias(args, q.device())?;
            return forward_rows(&q, &k, &v, s, hidden, args.scale);
        };
        let options = (kind(args.q.dtype()), q.device());
        let out = Tensor::f_empty([s.b, s.s_q, s.h, s.d_v], options)?;
        let lse = Tensor::f_empty([s.b, s.h, s.s_q], (kind(args.q.dtype().accumulator()), q.device()))?;
        for (start, len) in segments(bounds) {
            let part = |t: &Tensor| t.f_narrow(2, start, len);
            let s = Sizes { s_q: len, s_kv: len, ..s };
            let hidden = mask::of_segment(args, len, q.device())?;
            let (o, l) = forward_rows(&part(&q)?, &part(&k)?, &part(&v)?, s, hidden, args.scale)?;
            out.f_narrow(1, start, len)?.f_copy_(&o)?;
            lse.f_narrow(2, start, len)?.f_copy_(&l)?;
        }
        Ok((out, lse))
    };
    let (out, lse) = run().of(OP)?;
    Ok(Some((out, save.then_some(lse))))
}

/// Start and length of those that are not empty.
fn segments(bounds: &[usize]) -> impl Iterator<Item = (i64, i64)> {
    bounds.windows(2).filter(|w| w[1] > w[0]).map(|w| (w[0] as i64, (w[1] - w[0]) as i64))
}
