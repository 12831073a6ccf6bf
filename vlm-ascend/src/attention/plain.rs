//! Attention of inference by two products and a softmax.

use super::Sizes;
use super::mask::{Masks, is_open};
use crate::aclnn::{Number, Operand, Stream};
use crate::make::{Held, contiguous, result, strided};
use crate::storage::AscendStorage;
use vlm_core::backend::{AttentionArgs, View};
use vlm_core::{Dims, Layout, Result};

/// Keys and values of one head for all query heads of its group: `[b, h_kv, 1, s, d]`.
fn shared(v: &View<'_>) -> Result<Operand> {
    let layout = v.layout.unsqueeze(2);
    strided(&View::new(v.storage, &layout))
}

pub(super) fn forward(stream: &Stream, masks: &Masks, args: &AttentionArgs<'_>, s: &Sizes) -> Result<AscendStorage> {
    let (dtype, cube) = (args.q.dtype(), stream.queue().chip.cube_math_type());
    let group = s.h / s.h_kv;
    let grouped = |n: usize, last: usize| Dims::from_slice(&[s.b, s.h_kv, group, n, last]);
    let q_shape = grouped(s.s_q, s.d);
    let q = match args.q.layout.reshape(&q_shape) {
        Some(layout) => Held::made_of(strided(&View::new(args.q.storage, &layout))?),
        None => contiguous(stream, &args.q)?.seen_as(&q_shape),
    };
    let keys = args.k.layout.transpose(2, 3);
    let keys = shared(&View::new(args.k.storage, &keys))?;
    let score_shape = grouped(s.s_q, s.s_kv);
    let scores = result(stream, dtype, &score_shape, |out| {
        stream.Matmul(&q, &keys, out, cube)?;
        stream.InplaceMuls(out, Number::F32(args.scale as f32))?;
        if is_open(args, s) {
            return Ok(());
        }
        let mask = masks.full(stream, args, s)?;
        let mask = mask.shaped(Dims::from_slice(&[1, 1, 1, s.s_q, s.s_kv]));
        stream.InplaceMaskedFillScalar(out, &mask, Number::F32(f32::NEG_INFINITY))
    })?;
    let scores = Held::made(scores, score_shape);
    let shares = Held::made(result(stream, dtype, &score_shape, |out| stream.Softmax(&scores, -1, out))?, score_shape);
    let values = shared(&args.v)?;
    let out_shape = grouped(s.s_q, s.d_v);
    let out = result(stream, dtype, &out_shape, |out| stream.Matmul(&shares, &values, out, cube))?;
    if s.s_q == 1 || s.h == 1 {
        return Ok(out);
    }
    let out = out.share();
    let rows = Layout::contiguous(Dims::from_slice(&[s.b, s.h, s.s_q, s.d_v])).transpose(1, 2);
    crate::make::copied(stream, &View::new(&out, &rows))
}
