//! FlashAttention by the training operation, which also serves inference.

use super::Sizes;
use super::mask::{COMPRESSED, Masks, is_open};
use crate::aclnn::{Number, Operand, Stream};
use crate::make::{Held, result, room, strided};
use crate::storage::AscendStorage;
use std::sync::Arc;
use vlm_core::backend::{AttentionArgs, View};
use vlm_core::{DType, Dims, Result};

/// The widest head.
const WIDEST: usize = 768;
/// How many times what is kept of a row is repeated.
const LANES: usize = 8;

/// Whether the operation takes it.
pub(super) fn takes(stream: &Stream, s: &Sizes) -> bool {
    stream.has("FlashAttentionScore") && s.d <= WIDEST && s.d_v <= s.d
}

/// As [`takes`], for the gradient.
pub(super) fn takes_backward(stream: &Stream, s: &Sizes) -> bool {
    stream.has("FlashAttentionScoreGrad") && s.d <= WIDEST && s.d_v == s.d
}

/// A mask with the mode in which it is read.
struct Rule {
    mask: Option<(Arc<AscendStorage>, Dims)>,
    mode: i64,
}

impl Rule {
    fn of(stream: &Stream, masks: &Masks, args: &AttentionArgs<'_>, s: &Sizes) -> Result<Self> {
        if is_open(args, s) {
            return Ok(Rule { mask: None, mode: 0 });
        }
        if args.causal && args.window.is_none() && args.segments.is_none() {
            // Aligned at the last key.
            let dims = Dims::from_slice(&[COMPRESSED, COMPRESSED]);
            return Ok(Rule { mask: Some((masks.compressed(stream)?, dims)), mode: 3 });
        }
        let dims = Dims::from_slice(&[s.s_q, s.s_kv]);
        Ok(Rule { mask: Some((masks.full(stream, args, s)?, dims)), mode: 1 })
    }

    fn operand(&self) -> Option<Operand> {
        self.mask.as_ref().map(|(m, dims)| m.shaped(*dims))
    }
}

/// Keys before and after a query's own place: all, where a mask says which.
const ALL: i64 = i32::MAX as i64;

/// The view `[b, h, s, d]` as `[b, s, h, d]`.
fn by_rows(v: &View<'_>) -> Result<Operand> {
    let turned = v.layout.transpose(1, 2);
    strided(&View::new(v.storage, &turned))
}

pub(super) fn forward(
    stream: &Stream,
    masks: &Masks,
    args: &AttentionArgs<'_>,
    s: &Sizes,
    save: bool,
) -> Result<(AscendStorage, Option<AscendStorage>)> {
    let kept = Dims::from_slice(&[s.b, s.h, s.s_q, LANES]);
    let top = Held::made(room(stream, DType::F32, kept.count())?, kept);
    let sum = Held::made(room(stream, DType::F32, kept.count())?, kept);
    let rule = Rule::of(stream, masks, args, s)?;
    let (q, k, v) = (by_rows(&args.q)?, by_rows(&args.k)?, by_rows(&args.v)?);
    let shape = Dims::from_slice(&[s.b, s.s_q, s.h, s.d_v]);
    let out = result(stream, args.q.dtype(), &shape, |out| {
        stream.FlashAttentionScore(
            &q,
            &k,
            &v,
            None,
            None,
            None,
            rule.operand().as_ref(),
            None,
            args.scale,
            1.0,
            ALL,
            ALL,
            s.h as i64,
            c"BSND",
            0,
            rule.mode,
            &top,
            &sum,
            None,
            out,
        )
    })?;
    if !save {
        return Ok((out, None));
    }
    // ln Σ e^x = max + ln Σ e^(x - max); every lane has the same.
    let rows = Dims::from_slice(&[s.b, s.h, s.s_q]);
    let first = |held: &Held| {
        let wide = [s.h * s.s_q * LANES, s.s_q * LANES, LANES].map(|n| n as i64);
        held.operand.clone().with_view(&[s.b as i64, s.h as i64, s.s_q as i64], &wide)
    };
    let lse = result(stream, DType::F32, &rows, |out| {
        stream.Log(&first(&sum), out)?;
        stream.InplaceAdd(out, &first(&top), Number::F32(1.0))
    })?;
    Ok((out, Some(lse)))
}

pub(super) fn backward(
    stream: &Stream,
    masks: &Masks,
    args: &AttentionArgs<'_>,
    out: View<'_>,
    lse: View<'_>,
    grad: View<'_>,
    s: &Sizes,
) -> Result<[AscendStorage; 3]> {
    // Of shares e^(x - max) / Σ only the quotient matters: the logarithm of the sum as largest score, and 1 as sum.
    let kept = Dims::from_slice(&[s.b, s.h, s.s_q, LANES]);
    let repeated = lse.layout.unsqueeze(3).broadcast_to(&kept);
    let repeated = strided(&View::new(lse.storage, &repeated))?;
    let top = Held::made(result(stream, DType::F32, &kept, |o| stream.InplaceCopy(o, &repeated))?, kept);
    let sum = Held::made(result(stream, DType::F32, &kept, |o| stream.InplaceOne(o))?, kept);
    let rule = Rule::of(stream, masks, args, s)?;
    let (q, k, v) = (strided(&args.q)?, strided(&args.k)?, strided(&args.v)?);
    let (dy, y) = (strided(&grad)?, strided(&out)?);
    let like = |x: &View<'_>| room(stream, x.dtype(), x.count());
    let found = [like(&args.q)?, like(&args.k)?, like(&args.v)?];
    stream.FlashAttentionScoreGrad(
        &q,
        &k,
        &v,
        &dy,
        None,
        None,
        None,
        rule.operand().as_ref(),
        Some(&top),
        Some(&sum),
        None,
        Some(&y),
        None,
        args.scale,
        1.0,
        ALL,
        ALL,
        s.h as i64,
        c"BNSD",
        0,
        rule.mode,
        &found[0].shaped(*args.q.shape()),
        &found[1].shaped(*args.k.shape()),
        &found[2].shaped(*args.v.shape()),
        None,
    )?;
    Ok(found)
}
