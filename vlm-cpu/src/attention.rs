//! Scaled dot-product attention in tiles: memory grows with the sequence, not with its square (Dao et al. 2022).
//!
//! A task is one head and one block of queries (or of keys, backward). Scores of a tile are a product of matrices with
//! `f32` results; exponentials and sums are `f32`; probabilities are rounded to the element type for the second product,
//! as the forward pass of every fused kernel does.

mod backward;

pub(crate) use backward::backward;

use crate::cpu_features::Isa;
use crate::gemm::{Gemm, Mat, MatMut, gemm};
use crate::simd::{self, simd_fn};
use crate::storage::{CpuStorage, Small, all, with_small};
use crate::strided::settle;
use crate::threads::{SendPtr, parallel_for};
use vlm_core::backend::{AttentionArgs, View};
use vlm_core::{DType, Result};

/// Queries and keys of one tile.
pub(super) const QUERIES: usize = 128;
pub(super) const KEYS: usize = 512;

/// One operand `[b, h, s, d]` with channels side by side.
pub(super) struct Heads<'a> {
    ptr: *const u8,
    dtype: DType,
    strides: [usize; 3],
    _held: std::marker::PhantomData<&'a ()>,
}

// SAFETY: a `Heads` only reads elements that are borrowed for as long as it lives.
unsafe impl Sync for Heads<'_> {}

impl<'a> Heads<'a> {
    pub(super) fn new(view: &View<'a>) -> Result<Self> {
        let (l, size) = (view.layout, view.dtype().size());
        let base = crate::storage::own(view.storage)?.bytes().as_ptr();
        Ok(Heads {
            ptr: base.wrapping_add(l.offset() * size),
            dtype: view.dtype(),
            strides: [l.strides()[0], l.strides()[1], l.strides()[2]],
            _held: std::marker::PhantomData,
        })
    }

    /// Rows from `row` on of one head.
    pub(super) fn mat(&self, b: usize, h: usize, row: usize) -> Mat {
        let at = b * self.strides[0] + h * self.strides[1] + row * self.strides[2];
        let ptr = self.ptr.wrapping_add(at * self.dtype.size());
        Mat { ptr, dtype: self.dtype, row_stride: self.strides[2] as isize, col_stride: 1 }
    }
}

/// A view whose channels lie side by side, or a copy of it.
pub(super) fn channels_last(view: View<'_>) -> Result<crate::strided::Settled> {
    if view.layout.strides()[3] == 1 || view.shape()[3] <= 1 {
        return Ok(crate::strided::Settled { storage: view.storage.clone(), layout: *view.layout });
    }
    settle(view)
}

pub(super) fn matrix_f32(data: &mut [f32], row: usize) -> MatMut {
    MatMut { ptr: data.as_mut_ptr().cast(), dtype: DType::F32, row_stride: row as isize, col_stride: 1 }
}

/// The additive mask of a tile's row, widened, if there is one.
pub(super) struct Mask<'a> {
    view: View<'a>,
}

impl Mask<'_> {
    pub(super) fn add(&self, b: usize, h: usize, row: usize, start: usize, scores: &mut [f32]) -> Result<()> {
        let l = self.view.layout;
        let s = l.strides();
        let base = l.offset() + b * s[0] + h * s[1] + row * s[2] + start * s[3];
        with_small!(self.view.dtype(), T => {
            let values = all::<T>(&self.view)?;
            let mut one = [0.0f32];
            for (i, score) in scores.iter_mut().enumerate() {
                T::widen(&values[base + i * s[3]..=base + i * s[3]], &mut one);
                *score += one[0];
            }
        }, _ => ());
        Ok(())
    }
}

simd_fn! {
    /// `x * by`, and the largest element of the result.
    fn scale_max(x: &mut [f32], by: f32) -> f32 {
        x.iter_mut().for_each(|x| *x *= by);
        simd::largest(x)
    }
}

simd_fn! {
    /// `e^(x - top)`, and the sum of the result.
    fn exp_sum(x: &mut [f32], top: f32) -> f32 {
        x.iter_mut().for_each(|x| *x = simd::exp(*x - top));
        simd::sum1(x, |v| v)
    }
}

simd_fn! {
    fn scale(x: &mut [f32], by: f32) {
        x.iter_mut().for_each(|x| *x *= by);
    }
}

/// The keys that any query of `rows` may see.
pub(super) fn span(args: &AttentionArgs<'_>, rows: std::ops::Range<usize>) -> std::ops::Range<usize> {
    let (mut start, mut end) = (usize::MAX, 0);
    for row in rows {
        let seen = args.visible(row);
        if !seen.is_empty() {
            (start, end) = (start.min(seen.start), end.max(seen.end));
        }
    }
    start.min(end)..end
}

pub(crate) fn forward(args: &AttentionArgs<'_>, save: bool) -> Result<Option<(CpuStorage, Option<CpuStorage>)>> {
    let dtype = args.q.dtype();
    with_small!(dtype, T => forward_typed::<T>(args, save).map(Some), _ => Ok(None))
}

fn forward_typed<T: Small>(args: &AttentionArgs<'_>, save: bool) -> Result<(CpuStorage, Option<CpuStorage>)> {
    let (qs, ks) = (*args.q.shape(), *args.k.shape());
    let [b, h, s_q, d] = [qs[0], qs[1], qs[2], qs[3]];
    let (group, d_v, dtype) = (h / ks[1].max(1), args.v.shape()[3], args.q.dtype());
    let mut out = CpuStorage::new(dtype, b * s_q * h * d_v)?;
    let mut lse = CpuStorage::new(DType::F32, b * h * s_q)?;
    let held = [channels_last(args.q)?, channels_last(args.k)?, channels_last(args.v)?];
    let views = [held[0].view(), held[1].view(), held[2].view()];
    let (q, k, v) = (Heads::new(&views[0])?, Heads::new(&views[1])?, Heads::new(&views[2])?);
    let mask = args.mask.map(|view| Mask { view });
    let (o, l) = (SendPtr(out.slice_mut::<T>()?.as_mut_ptr()), SendPtr(lse.slice_mut::<f32>()?.as_mut_ptr()));
    let blocks = s_q.div_ceil(QUERIES);
    let failed = std::sync::Mutex::new(None);
    let isa = Isa::current();
    let task = |t: usize| -> Result<()> {
        let (bh, block) = (t / blocks, t % blocks);
        let (i, j) = (bh / h, bh % h);
        let first = block * QUERIES;
        let rows = QUERIES.min(s_q - first);
        let keys = span(args, first..first + rows);
        let mut scores = vec![0.0f32; rows * KEYS.min(keys.len())];
        let mut probs = vec![T::zeroed(); scores.len()];
        let mut sum = vec![0.0f32; rows * d_v];
        let (mut top, mut total) = ([f32::NEG_INFINITY; QUERIES], [0.0f32; QUERIES]);
        for start in keys.clone().step_by(KEYS) {
            let n = KEYS.min(keys.end - start);
            let g = Gemm {
                m: rows,
                n,
                k: d,
                a: q.mat(i, j, first),
                b: k.mat(i, j / group, start).transposed(),
                c: matrix_f32(&mut scores, n),
                accumulate: false,
                bias: None,
                map: None,
            };
            // SAFETY: rows and keys lie inside the operands, the tile inside its buffer.
            unsafe { gemm(isa, &g)? };
            for r in 0..rows {
                let row = &mut scores[r * n..(r + 1) * n];
                if let Some(mask) = &mask {
                    scale(row, args.scale as f32);
                    mask.add(i, j, first + r, start, row)?;
                }
                let seen = args.visible(first + r);
                let (from, to) = (seen.start.clamp(start, start + n) - start, seen.end.clamp(start, start + n) - start);
                row[..from.min(to)].fill(f32::NEG_INFINITY);
                row[to..].fill(f32::NEG_INFINITY);
                let best = scale_max(row, if mask.is_some() { 1.0 } else { args.scale as f32 });
                let new = if best > top[r] || best.is_nan() { best } else { top[r] };
                let out = &mut probs[r * n..(r + 1) * n];
                if new == f32::NEG_INFINITY {
                    out.fill(T::zeroed());
                    continue;
                }
                if new > top[r] && top[r] > f32::NEG_INFINITY {
                    let shrink = (top[r] - new).exp();
                    total[r] *= shrink;
                    scale(&mut sum[r * d_v..(r + 1) * d_v], shrink);
                }
                top[r] = new;
                total[r] += exp_sum(row, new);
                T::narrow(row, out);
            }
            let p = Mat { ptr: probs.as_ptr().cast(), dtype, row_stride: n as isize, col_stride: 1 };
            let g = Gemm {
                m: rows,
                n: d_v,
                k: n,
                a: p,
                b: v.mat(i, j / group, start),
                c: matrix_f32(&mut sum, d_v),
                accumulate: true,
                bias: None,
                map: None,
            };
            // SAFETY: as above.
            unsafe { gemm(isa, &g)? };
        }
        for r in 0..rows {
            let row = &mut sum[r * d_v..(r + 1) * d_v];
            scale(row, if total[r] > 0.0 || total[r].is_nan() { 1.0 / total[r] } else { 0.0 });
            let at = ((i * s_q + first + r) * h + j) * d_v;
            // SAFETY: every row of the result is written by one task, and the result lives until all are done.
            T::narrow(row, unsafe { std::slice::from_raw_parts_mut(o.get().add(at), d_v) });
            // SAFETY: as above.
            unsafe { *l.get().add(bh * s_q + first + r) = top[r] + total[r].ln() };
        }
        Ok(())
    };
    parallel_for(b * h * blocks, |t| {
        if let Err(e) = task(t) {
            failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get_or_insert(e);
        }
    });
    match failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
        Some(e) => Err(e),
        None => Ok((out, save.then_some(lse))),
    }
}
