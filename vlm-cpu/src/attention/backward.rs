//! The gradient of attention, one task per key head: probabilities of a tile are computed again from the saved sums.

use super::{Heads, KEYS, Mask, QUERIES, channels_last, matrix_f32, span};
use crate::cpu_features::Isa;
use crate::gemm::{Gemm, Mat, gemm};
use crate::simd::{self, simd_fn};
use crate::storage::{CpuStorage, Small, with_small};
use crate::strided::dense;
use crate::threads::{SendPtr, parallel_for};
use vlm_core::Result;
use vlm_core::backend::{AttentionArgs, View};

simd_fn! {
    /// `x` becomes the probabilities `e^(x scale - lse)`.
    fn probabilities(x: &mut [f32], scale: f32, lse: f32) {
        x.iter_mut().for_each(|x| *x = simd::exp(*x * scale - lse));
    }
}

simd_fn! {
    /// `dp` becomes the gradient of the scores before scaling: `p (dp - inner) scale`.
    fn score_gradient(p: &[f32], dp: &mut [f32], inner: f32, scale: f32) {
        dp.iter_mut().zip(p).for_each(|(d, &p)| *d = p * (*d - inner) * scale);
    }
}

simd_fn! {
    fn dot(a: &[f32], b: &[f32]) -> f32 {
        simd::sum2(a, b, |a, b| a * b)
    }
}

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

    let task = |t: usize| -> Result<()> {
        let (i, jk) = (t / hk, t % hk);
        let (mut dk, mut dv) = (vec![0.0f32; s_kv * d], vec![0.0f32; s_kv * d_v]);
        let (mut p, mut dp) = (vec![0.0f32; QUERIES * KEYS], vec![0.0f32; QUERIES * KEYS]);
        let (mut p_small, mut ds_small) = (vec![T::zeroed(); QUERIES * KEYS], vec![T::zeroed(); QUERIES * KEYS]);
        let (mut wide_o, mut wide_g) = (vec![0.0f32; d_v], vec![0.0f32; d_v]);
        for j in jk * group..(jk + 1) * group {
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
                    product(
                        q.mat(i, j, first),
                        k.mat(i, jk, start).transposed(),
                        matrix_f32(&mut p, n),
                        rows,
                        n,
                        d,
                        false,
                    )?;
                    product(
                        g.mat(i, j, first),
                        v.mat(i, jk, start).transposed(),
                        matrix_f32(&mut dp, n),
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
                        if total == f32::NEG_INFINITY {
                            row.fill(0.0);
                        } else {
                            probabilities(row, scale, total);
                        }
                        let seen = args.visible(first + r);
                        let (from, to) =
                            (seen.start.clamp(start, start + n) - start, seen.end.clamp(start, start + n) - start);
                        row[..from.min(to)].fill(0.0);
                        row[to..].fill(0.0);
                        score_gradient(row, d_row, inner[r], args.scale as f32);
                        T::narrow(row, &mut p_small[r * n..(r + 1) * n]);
                        T::narrow(d_row, &mut ds_small[r * n..(r + 1) * n]);
                    }
                    let tile = |x: &[T]| Mat { ptr: x.as_ptr().cast(), dtype, row_stride: n as isize, col_stride: 1 };
                    let (pm, dsm) = (tile(&p_small), tile(&ds_small));
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
        let base = (i * hk + jk) * s_kv;
        // SAFETY: each key head is one task.
        T::narrow(&dk, unsafe { std::slice::from_raw_parts_mut(pk.get().add(base * d), s_kv * d) });
        // SAFETY: as above.
        T::narrow(&dv, unsafe { std::slice::from_raw_parts_mut(pv.get().add(base * d_v), s_kv * d_v) });
        Ok(())
    };
    parallel_for(b * hk, |t| {
        if let Err(e) = task(t) {
            failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get_or_insert(e);
        }
    });
    if let Some(e) = failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
        return Err(e);
    }
    let [dq, dk, dv] = made;
    Ok((dq, dk, dv))
}
