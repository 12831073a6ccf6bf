//! Scaled dot-product attention with all scores at once.

use super::eager::{Eager, Value};
use crate::backend::{AttentionArgs, CompareOp, Primitives, ReduceOp, StorageRef, UnaryOp, View};
use crate::shape::Dims;
use crate::{DType, Result};

/// Queries as `[b, h_kv, h / h_kv, s_q, d]` beside keys as `[b, h_kv, 1, s_kv, d]`.
struct Grouped {
    q: Value,
    k: Value,
    v: Value,
}

fn grouped<P: Primitives + ?Sized>(e: &Eager<'_, P>, args: &AttentionArgs<'_>) -> Result<Grouped> {
    let (q, k, v) = (e.wide(args.q)?, e.wide(args.k)?, e.wide(args.v)?);
    Ok(Grouped { q: split(e, &q, k.shape()[1])?, k: k.unsqueeze(2), v: v.unsqueeze(2) })
}

/// `[b, h, s, d]` as `[b, h_kv, h / h_kv, s, d]`.
fn split<P: Primitives + ?Sized>(e: &Eager<'_, P>, x: &Value, heads: usize) -> Result<Value> {
    let [b, h, s, d] = [x.shape()[0], x.shape()[1], x.shape()[2], x.shape()[3]];
    e.reshape(x, Dims::from_slice(&[b, heads, h / heads, s, d]))
}

/// The scaled and masked scores, `[b, h_kv, g, s_q, s_kv]`.
fn scores<P: Primitives + ?Sized>(e: &Eager<'_, P>, args: &AttentionArgs<'_>, x: &Grouped) -> Result<Value> {
    let mut scores = e.affine(&e.matmul(&x.q, &x.k.transpose())?, args.scale, 0.0)?;
    if let Some(mask) = args.mask {
        let mask = e.cast(&Value::of(mask), scores.dtype())?;
        scores = e.add(&scores, &split(e, &mask, x.k.shape()[1])?)?;
    }
    if args.causal || args.segments.is_some() {
        let (s_q, s_kv) = (args.q.shape()[2], args.k.shape()[2]);
        let mut hidden = vec![1u8; s_q * s_kv];
        for row in 0..s_q {
            let seen = args.visible(row);
            hidden[row * s_kv..][seen].fill(0);
        }
        let hidden = Value::new(e.0.upload(DType::Bool, &hidden)?, Dims::from_slice(&[s_q, s_kv]));
        scores = e.masked(&hidden, f64::NEG_INFINITY, &scores)?;
    }
    Ok(scores)
}

pub(in crate::backend) fn attention<P: Primitives + ?Sized>(
    p: &P,
    args: &AttentionArgs<'_>,
    save: bool,
) -> Result<(StorageRef, Option<StorageRef>)> {
    let e = Eager(p);
    let [b, h, s_q, d_v] = [args.q.shape()[0], args.q.shape()[1], args.q.shape()[2], args.v.shape()[3]];
    let dtype = args.q.dtype();
    if args.k.shape()[2] == 0 || args.q.count() == 0 {
        let out = e.full(Dims::from_slice(&[b, s_q, h, d_v]), 0.0, dtype)?;
        let lse = e.full(Dims::from_slice(&[b, h, s_q]), f64::NEG_INFINITY, dtype.accumulator())?;
        return Ok((out.storage, save.then_some(lse.storage)));
    }
    let x = grouped(&e, args)?;
    let scores = scores(&e, args, &x)?;
    let top = e.reduce(ReduceOp::Max, &scores, &[4])?;
    // A row that sees nothing: shifted by 0, its exponentials are 0 and so is its output.
    let empty = e.compare_to(CompareOp::Eq, &top, f64::NEG_INFINITY)?;
    let shift = e.masked(&empty, 0.0, &top)?;
    let exp = e.unary(UnaryOp::Exp, &e.sub(&scores, &shift)?)?;
    let sum = e.sum(&exp, 4)?;
    let divisor = e.masked(&empty, 1.0, &sum)?;
    let out = e.div(&e.matmul(&exp, &x.v)?, &divisor)?;
    let out = e.reshape(&out, Dims::from_slice(&[b, h, s_q, d_v]))?;
    let out = e.finish(out.with(out.layout.transpose(1, 2)), dtype)?;
    if !save {
        return Ok((out, None));
    }
    let lse = e.add(&e.unary(UnaryOp::Log, &sum)?, &shift)?;
    Ok((out, Some(e.finish(lse, dtype.accumulator())?)))
}

pub(in crate::backend) fn attention_backward<P: Primitives + ?Sized>(
    p: &P,
    args: &AttentionArgs<'_>,
    out: View<'_>,
    lse: View<'_>,
    grad: View<'_>,
) -> Result<(StorageRef, StorageRef, StorageRef)> {
    let e = Eager(p);
    let dtype = args.q.dtype();
    if args.k.count() == 0 || args.q.count() == 0 {
        let zeros = |v: View<'_>| e.full(*v.shape(), 0.0, dtype).map(|z| z.storage);
        return Ok((zeros(args.q)?, zeros(args.k)?, zeros(args.v)?));
    }
    let x = grouped(&e, args)?;
    let heads = args.k.shape()[1];
    let lse = e.cast(&Value::of(lse).unsqueeze(3), x.q.dtype())?;
    let lse = split(&e, &lse, heads)?;
    let empty = e.compare_to(CompareOp::Eq, &lse, f64::NEG_INFINITY)?;
    let probs = e.unary(UnaryOp::Exp, &e.sub(&scores(&e, args, &x)?, &e.masked(&empty, 0.0, &lse)?)?)?;
    let (g, o) = (split(&e, &e.wide(grad)?, heads)?, split(&e, &e.wide(out)?, heads)?);

    // Sums over the queries of one key head run over its group and the sequence.
    let dv = e.reduce(ReduceOp::Sum, &e.matmul(&probs.transpose(), &g)?, &[2])?;
    let d_probs = e.matmul(&g, &x.v.transpose())?;
    let inner = e.sum(&e.mul(&g, &o)?, 4)?;
    let d_scores = e.affine(&e.mul(&probs, &e.sub(&d_probs, &inner)?)?, args.scale, 0.0)?;
    let dq = e.matmul(&d_scores, &x.k)?;
    let dk = e.reduce(ReduceOp::Sum, &e.matmul(&d_scores.transpose(), &x.q)?, &[2])?;
    Ok((e.finish(dq, dtype)?, e.finish(dk, dtype)?, e.finish(dv, dtype)?))
}
