//! FlashAttention (Dao 2023) on GPUs: half floats without a mask; causal, windows and packed sequences in one call.

use super::Sizes;
use crate::shim;
use tch::{Device, Kind, TchError, Tensor};
use vlm_core::Result;
use vlm_core::backend::AttentionArgs;

/// Whether the kernel takes these operands.
pub(super) fn takes(args: &AttentionArgs<'_>, s: Sizes, q: &Tensor) -> bool {
    let half = matches!(q.kind(), Kind::Half | Kind::BFloat16);
    q.device().is_cuda() && half && args.mask.is_none() && s.d.max(s.d_v) <= 256
}

/// Boundaries of packed sequences over all rows of the batch, and the longest one.
struct Packed {
    bounds: Tensor,
    longest: i64,
}

fn packed(bounds: &[usize], s: Sizes, device: Device) -> Result<Packed, TchError> {
    let lengths = bounds.windows(2).map(|w| (w[1] - w[0]) as i64);
    let longest = lengths.max().unwrap_or(0);
    let all: Vec<i32> = (0..s.b)
        .flat_map(|row| bounds[..bounds.len() - 1].iter().map(move |&n| (row * s.s_q) as i32 + n as i32))
        .collect();
    let all: Vec<i32> = all.into_iter().chain([(s.b * s.s_q) as i32]).collect();
    Ok(Packed { bounds: Tensor::f_from_slice(&all)?.f_to_device(device)?, longest })
}

/// `[b, h, s, d]` as the kernel reads it: `[b, s, h, d]`, or all rows in one, with channels up to a multiple of 8.
fn arranged(x: &Tensor, packed: bool, d: i64) -> Result<Tensor, TchError> {
    let missing = d - x.size()[3];
    let x = if missing == 0 { x.shallow_clone() } else { x.f_constant_pad_nd([0, missing])? };
    let x = x.f_transpose(1, 2)?;
    let x = if x.stride()[3] == 1 { x } else { x.f_contiguous()? };
    let size = x.size();
    if packed { x.f_reshape([size[0] * size[1], size[2], size[3]]) } else { Ok(x) }
}

fn channels(s: Sizes) -> i64 {
    (s.d.max(s.d_v) + 7) / 8 * 8
}

/// What the C++ side gets besides tensors.
fn rules(args: &AttentionArgs<'_>, packed: Option<&Packed>) -> shim::FlashRules {
    shim::FlashRules {
        longest: packed.map_or(0, |p| p.longest),
        causal: args.causal,
        // The query's own key counts as one of the window.
        before: args.window.filter(|_| args.causal).map_or(-1, |w| i64::try_from(w).unwrap_or(i64::MAX) - 1),
        scale: args.scale,
    }
}

/// Output `[b, s_q, h, d_v]` and logarithms of sums `[b, h, s_q]`.
pub(super) fn forward(
    args: &AttentionArgs<'_>,
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    s: Sizes,
) -> Result<(Tensor, Tensor), TchError> {
    let d = channels(s);
    let packed = args.segments.as_ref().map(|b| packed(b, s, q.device())).transpose()?;
    let ready = |x: &Tensor| arranged(x, packed.is_some(), d);
    let (q, k, v) = (ready(q)?, ready(k)?, ready(v)?);
    let (out, lse) = shim::flash(&q, &k, &v, packed.as_ref().map(|p| &p.bounds), rules(args, packed.as_ref()))
        .map_err(|e| TchError::Torch(e.to_string()))?;
    let out = if s.d_v < d { out.f_narrow(-1, 0, s.d_v)? } else { out };
    let out = out.f_reshape([s.b, s.s_q, s.h, s.d_v])?;
    // Packed rows come as [h, b * s].
    let lse = match packed {
        Some(_) => lse.f_reshape([s.h, s.b, s.s_q])?.f_transpose(0, 1)?.f_contiguous()?,
        None => lse,
    };
    // The kernel says +infinity for a row that sees nothing.
    Ok((out, lse.f_masked_fill(&lse.f_eq(f64::INFINITY)?, f64::NEG_INFINITY)?))
}

/// Gradients for queries, keys and values.
pub(super) fn backward(
    args: &AttentionArgs<'_>,
    r: &super::backward::Rows<'_>,
    s: Sizes,
) -> Result<[Tensor; 3], TchError> {
    let d = channels(s);
    let packed = args.segments.as_ref().map(|b| packed(b, s, r.q.device())).transpose()?;
    let ready = |x: &Tensor| arranged(x, packed.is_some(), d);
    let lse = r.lse.f_masked_fill(&r.lse.f_eq(f64::NEG_INFINITY)?, f64::INFINITY)?;
    let lse = match packed {
        Some(_) => lse.f_transpose(0, 1)?.f_reshape([s.h, s.b * s.s_q])?.f_contiguous()?,
        None => lse.f_contiguous()?,
    };
    let operands = [ready(r.grad)?, ready(r.q)?, ready(r.k)?, ready(r.v)?, ready(r.out)?];
    let bounds = packed.as_ref().map(|p| &p.bounds);
    let grads = shim::flash_backward(&operands, &lse, bounds, rules(args, packed.as_ref()))
        .map_err(|e| TchError::Torch(e.to_string()))?;
    let back = |x: Tensor, heads: i64, rows: i64, d: i64| {
        x.f_narrow(-1, 0, d)?.f_reshape([s.b, rows, heads, d])?.f_transpose(1, 2)?.f_contiguous()
    };
    let [dq, dk, dv] = grads;
    Ok([back(dq, s.h, s.s_q, s.d)?, back(dk, s.h_kv, s.s_kv, s.d)?, back(dv, s.h_kv, s.s_kv, s.d_v)?])
}
