//! The gradient of attention: probabilities of a tile are computed again from the saved sums.
//!
//! A task is one or more query heads of a key head. Each task sums the gradients of its keys and values by itself; the
//! sums of one key head are added up at the end, in the order of the heads.

use super::{Heads, KEYS, Mask, QUERIES, channels_last, matrix_f32, span};
use crate::alloc::Buffer;
use crate::cpu_features::Isa;
use crate::gemm::{Gemm, Mat, gemm};
use crate::simd::{self, simd_fn};
use crate::storage::{CpuStorage, Small, with_small};
use crate::strided::dense;
use crate::threads::{SendPtr, parallel_for};
use vlm_core::backend::{AttentionArgs, View};
use vlm_core::{DType, Result};

/// What one row of a tile is computed with.
struct Row {
    /// From stored scores to those that were exponentiated.
    scale: f32,
    /// The logarithm of the row's sum of exponentials.
    lse: f32,
    /// The product of the row's result with its gradient.
    inner: f32,
    /// From scores to the product of query and key.
    outer: f32,
}

simd_fn! {
    /// The scores `x` become the probabilities `e^(x scale - lse)`, and their gradients `dp` those of the scores before
    /// scaling: `p (dp - inner) outer`.
    fn score_gradient(x: &mut [f32], dp: &mut [f32], row: &Row) {
        for (x, d) in x.iter_mut().zip(dp) {
            let p = simd::exp(*x * row.scale - row.lse);
            *d = p * (*d - row.inner) * row.outer;
            *x = p;
        }
    }
}

simd_fn! {
    fn dot(a: &[f32], b: &[f32]) -> f32 {
        simd::sum2(a, b, |a, b| a * b)
    }
}

/// With fewer key heads than this, the query heads of one are divided among tasks: threads would run dry. (A rule of
/// shapes alone, so that results do not depend on the number of threads.)
const FEW_HEADS: usize = 16;

pub(crate) type Gradients = (CpuStorage, CpuStorage, CpuStorage);

pub(crate) fn backward(
    args: &AttentionArgs<'_>,
    out: View<'_>,
    lse: View<'_>,
    grad: View<'_>,
) -> Result<Option<Gradients>> {
    with_small!(args.q.dtype(), T => backward_typed::<T>(args, out, lse, grad).map(Some), _ => Ok(None))
}

fn backward_typed<T: Small>(
    args: &AttentionArgs<'_>,
    out: View<'_>,
    lse: View<'_>,
    grad: View<'_>,
) -> Result<Gradients> {
    let (qs, ks) = (*args.q.shape(), *args.k.shape());
    let [b, h, s_q, d] = [qs[0], qs[1], qs[2], qs[3]];
    let (hk, s_kv, d_v, dtype) = (ks[1], ks[2], args.v.shape()[3], args.q.dtype());
    let group = h / hk.max(1);
    let mut made = [
        CpuStorage::new(dtype, qs.count())?,
        CpuStorage::new(dtype, ks.count())?,
        CpuStorage::new(dtype, args.v.count())?,
    ];
    let held = [channels_last(args.q)?, channels_last(args.k)?, channels_last(args.v)?, channels_last(grad)?];
    let views = held.each_ref().map(|s| s.view());
    let [q, k, v, g] = [Heads::new(&views[0])?, Heads::new(&views[1])?, Heads::new(&views[2])?, Heads::new(&views[3])?];
    let (o_rows, g_rows, lse) = (dense::<T>(&out)?, dense::<T>(&grad)?, dense::<f32>(&lse)?);
    let mask = args.mask.map(|view| Mask { view });
    let [pq, pk, pv] = {
        let [dq, dk, dv] = &mut made;
        [dq, dk, dv].map(|s| s.slice_mut::<T>().map(|s| SendPtr(s.as_mut_ptr())))
    };
    let (pq, pk, pv) = (pq?, pk?, pv?);
    let isa = Isa::current();
    let failed = std::sync::Mutex::new(None);

    // Query heads of a task, tasks of a key head, and what a task leaves behind: gradients of keys, then of values.
    let each = if b * hk < FEW_HEADS { 1 } else { group };
    let (parts, left) = (group / each.max(1), s_kv * (d + d_v));
    let mut sums = CpuStorage::new(DType::F32, b * hk * parts * left)?;
    let ps = SendPtr(sums.slice_mut::<f32>()?.as_mut_ptr());

    let task = |t: usize| -> Result<()> {
        let (i, jk, part) = (t / parts / hk, t / parts % hk, t % parts);
        // SAFETY: each task has a stretch of its own, and the sums live until all are done.
        let mine = unsafe { std::slice::from_raw_parts_mut(ps.get().add(t * left), left) };
        mine.fill(0.0);
        let (dk, dv) = mine.split_at_mut(s_kv * d);
        let tile = QUERIES.min(s_q) * KEYS.min(s_kv);
        let (mut p, mut dp) = (Buffer::for_elements::<f32>(tile)?, Buffer::for_elements::<f32>(tile)?);
        let (mut p_small, mut ds_small) = (Buffer::for_elements::<T>(tile)?, Buffer::for_elements::<T>(tile)?);
        let (p, dp) = (p.as_mut_slice::<f32>(), dp.as_mut_slice::<f32>());
        let (p_small, ds_small) = (p_small.as_mut_slice::<T>(), ds_small.as_mut_slice::<T>());
        let (mut wide_o, mut wide_g) = (vec![0.0f32; d_v], vec![0.0f32; d_v]);
        let first_head = jk * group + part * each;
        for j in first_head..first_head + each {
            for first in (0..s_q).step_by(QUERIES) {
                let rows = QUERIES.min(s_q - first);
                let mut dq = vec![0.0f32; rows * d];
                let base = (i * h + j) * s_q + first;
                let inner: Vec<f32> = (0..rows)
                    .map(|r| {
                        let at = (base + r) * d_v..(base + r + 1) * d_v;
                        dot(T::as_f32(&o_rows[at.clone()], &mut wide_o), T::as_f32(&g_rows[at], &mut wide_g))
                    })
                    .collect();
                let keys = span(args, first..first + rows);
                for start in keys.clone().step_by(KEYS) {
                    let n = KEYS.min(keys.end - start);
                    let product = |a: Mat, b: Mat, c, m, n, k, accumulate| {
                        let g = Gemm { m, n, k, a, b, c, accumulate, bias: None, map: None };
                        // SAFETY: rows and keys lie inside the operands, tiles inside their buffers.
                        unsafe { gemm(isa, &g) }
                    };
                    product(q.mat(i, j, first), k.mat(i, jk, start).transposed(), matrix_f32(p, n), rows, n, d, false)?;
                    product(
                        g.mat(i, j, first),
                        v.mat(i, jk, start).transposed(),
                        matrix_f32(dp, n),
                        rows,
                        n,
                        d_v,
                        false,
                    )?;
                    for r in 0..rows {
                        let (row, d_row) = (&mut p[r * n..(r + 1) * n], &mut dp[r * n..(r + 1) * n]);
                        let total = lse[base + r];
                        let mut scale = args.scale as f32;
                        if let Some(mask) = &mask {
                            row.iter_mut().for_each(|x| *x *= scale);
                            mask.add(i, j, first + r, start, row)?;
                            scale = 1.0;
                        }
                        let seen = args.visible(first + r);
                        let within = |key: usize| key.clamp(start, start + n) - start;
                        // A row that sees nothing has no probabilities.
                        let to = if total == f32::NEG_INFINITY { 0 } else { within(seen.end) };
                        let from = within(seen.start).min(to);
                        let about = Row { scale, lse: total, inner: inner[r], outer: args.scale as f32 };
                        score_gradient(&mut row[from..to], &mut d_row[from..to], &about);
                        for part in [0..from, to..n] {
                            row[part.clone()].fill(0.0);
                            d_row[part].fill(0.0);
                        }
                        T::narrow(row, &mut p_small[r * n..(r + 1) * n]);
                        T::narrow(d_row, &mut ds_small[r * n..(r + 1) * n]);
                    }
                    let small = |x: &[T]| Mat { ptr: x.as_ptr().cast(), dtype, row_stride: n as isize, col_stride: 1 };
                    let (pm, dsm) = (small(p_small), small(ds_small));
                    product(
                        pm.transposed(),
                        g.mat(i, j, first),
                        matrix_f32(&mut dv[start * d_v..], d_v),
                        n,
                        d_v,
                        rows,
                        true,
                    )?;
                    product(
                        dsm.transposed(),
                        q.mat(i, j, first),
                        matrix_f32(&mut dk[start * d..], d),
                        n,
                        d,
                        rows,
                        true,
                    )?;
                    product(dsm, k.mat(i, jk, start), matrix_f32(&mut dq, d), rows, d, n, true)?;
                }
                // SAFETY: each query head belongs to one task, and the result lives until all are done.
                T::narrow(&dq, unsafe { std::slice::from_raw_parts_mut(pq.get().add(base * d), rows * d) });
            }
        }
        Ok(())
    };
    parallel_for(b * hk * parts, |t| {
        if let Err(e) = task(t) {
            failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get_or_insert(e);
        }
    });
    if let Some(e) = failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
        return Err(e);
    }
    let all = SendPtr(ps.get());
    parallel_for(b * hk, |head| {
        // SAFETY: the tasks of a key head lie one after the other, and each head is one task here.
        let sums = unsafe { std::slice::from_raw_parts_mut(all.get().add(head * parts * left), parts * left) };
        let (total, others) = sums.split_at_mut(left);
        for other in others.chunks(left.max(1)) {
            total.iter_mut().zip(other).for_each(|(t, o)| *t += o);
        }
        let (dk, dv) = total.split_at(s_kv * d);
        // SAFETY: each key head is written by one task, and the results live until all are done.
        unsafe {
            T::narrow(dk, std::slice::from_raw_parts_mut(pk.get().add(head * s_kv * d), s_kv * d));
            T::narrow(dv, std::slice::from_raw_parts_mut(pv.get().add(head * s_kv * d_v), s_kv * d_v));
        }
    });
    let [dq, dk, dv] = made;
    Ok((dq, dk, dv))
}
