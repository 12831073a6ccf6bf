//! Scaled dot-product attention: by the fused operation, by products and a softmax where that needs few operations, and composed
//! where a query may see nothing or a mask is added.

mod fused;
mod mask;
mod plain;

pub(crate) use mask::Masks;

use crate::aclnn::Stream;
use crate::storage::AscendStorage;
use vlm_core::Result;
use vlm_core::backend::{AttentionArgs, View};

/// The sizes of one attention.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    b: usize,
    h: usize,
    h_kv: usize,
    s_q: usize,
    s_kv: usize,
    d: usize,
    d_v: usize,
}

impl Sizes {
    fn of(args: &AttentionArgs<'_>) -> Self {
        let (q, k, v) = (args.q.shape(), args.k.shape(), args.v.shape());
        Sizes { b: q[0], h: q[1], h_kv: k[1], s_q: q[2], s_kv: k[2], d: q[3], d_v: v[3] }
    }

    fn is_empty(&self) -> bool {
        self.b * self.h * self.s_q * self.s_kv * self.d * self.d_v == 0
    }
}

/// Whether every query sees a key. What is left of a softmax over nothing is not the same everywhere.
fn all_see(args: &AttentionArgs<'_>, s: &Sizes) -> bool {
    let window_open = args.window != Some(0);
    args.mask.is_none() && (!args.causal || (s.s_q <= s.s_kv && window_open))
}

/// Output `[b, s_q, h, d_v]` and, if `save` is set, the logarithms of sums; `None` where it is composed.
pub(crate) fn forward(
    stream: &Stream,
    masks: &Masks,
    args: &AttentionArgs<'_>,
    save: bool,
) -> Result<Option<(AscendStorage, Option<AscendStorage>)>> {
    let s = Sizes::of(args);
    if s.is_empty() || !all_see(args, &s) {
        return Ok(None);
    }
    crate::make::computes(stream, vlm_core::backend::OpKind::Attention, "rows", args.q.dtype())?;
    if fused::takes(stream, &s) {
        return fused::forward(stream, masks, args, &s, save).map(Some);
    }
    if save || args.q.dtype().size() == 2 {
        return Ok(None);
    }
    Ok(Some((plain::forward(stream, masks, args, &s)?, None)))
}

/// Gradients for queries, keys and values; `None` where they are composed.
pub(crate) fn backward(
    stream: &Stream,
    masks: &Masks,
    args: &AttentionArgs<'_>,
    out: View<'_>,
    lse: View<'_>,
    grad: View<'_>,
) -> Result<Option<[AscendStorage; 3]>> {
    let s = Sizes::of(args);
    if s.is_empty() || !all_see(args, &s) || !fused::takes_backward(stream, &s) {
        return Ok(None);
    }
    crate::make::computes(stream, vlm_core::backend::OpKind::AttentionBackward, "rows", args.q.dtype())?;
    fused::backward(stream, masks, args, out, lse, grad, &s).map(Some)
}
