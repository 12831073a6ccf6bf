//! Layer norm and RMS norm, forward and backward.

use crate::rows::map_rows;
use crate::simd::{self, simd_fn};
use crate::storage::{CpuStorage, Small, with_small};
use crate::strided::dense;
use crate::threads::{SendPtr, parallel_for};
use vlm_core::Result;
use vlm_core::backend::View;

simd_fn! {
    /// Mean and `1 / sqrt(var + eps)` of a row; without centring the mean counts as 0.
    fn statistics(x: &[f32], eps: f32, centre: bool) -> (f32, f32) {
        let n = x.len() as f32;
        let mean = if centre { simd::sum1(x, |v| v) / n } else { 0.0 };
        let var = simd::sum1(x, |v| (v - mean) * (v - mean)) / n;
        (mean, 1.0 / (var + eps).sqrt())
    }
}

simd_fn! {
    fn scale_row(x: &[f32], mean: f32, factor: f32, w: &[f32], b: &[f32], y: &mut [f32]) {
        for i in 0..y.len() { y[i] = (x[i] - mean) * factor * w[i] + b[i]; }
    }
}

simd_fn! {
    /// The gradient of a row: `factor (gw - mean(gw) - n mean(gw n))`; `out` holds `gw` on the way.
    fn backward_row(x: &[f32], g: &[f32], w: &[f32], mean: f32, factor: f32, centre: bool, out: &mut [f32]) {
        let d = x.len() as f32;
        for i in 0..out.len() { out[i] = g[i] * w[i]; }
        let along = simd::sum2(out, x, |gw, x| gw * (x - mean)) * factor / d;
        let level = if centre { simd::sum1(out, |v| v) / d } else { 0.0 };
        for i in 0..out.len() {
            let n = (x[i] - mean) * factor;
            out[i] = factor * (out[i] - level - n * along);
        }
    }
}

simd_fn! {
    fn add_weight_row(x: &[f32], g: &[f32], mean: f32, factor: f32, dw: &mut [f32], db: &mut [f32]) {
        for i in 0..dw.len() {
            dw[i] += g[i] * (x[i] - mean) * factor;
            db[i] += g[i];
        }
    }
}

/// A vector in `f32`, or `missing` repeated.
fn vector<T: Small>(view: Option<View<'_>>, d: usize, missing: f32, offset: f32) -> Result<Vec<f32>> {
    let mut wide = vec![missing; d];
    if let Some(view) = view {
        T::widen(&dense::<T>(&view)?, &mut wide);
        wide.iter_mut().for_each(|w| *w += offset);
    }
    Ok(wide)
}

/// What kind of norm: centred with a bias (layer norm) or neither (RMS norm), and what is added to the weight.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) centre: bool,
    pub(crate) eps: f64,
    pub(crate) offset: f64,
}

pub(crate) fn forward(
    x: View<'_>,
    weight: Option<View<'_>>,
    bias: Option<View<'_>>,
    kind: Kind,
) -> Result<Option<CpuStorage>> {
    let d = x.shape()[x.layout.rank() - 1];
    with_small!(x.dtype(), T => {
        let mut out = CpuStorage::new(x.dtype(), x.count())?;
        let w = vector::<T>(weight, d, 1.0, kind.offset as f32)?;
        let b = vector::<T>(bias, d, 0.0, 0.0)?;
        let x = dense::<T>(&x)?;
        map_rows([&*x], out.slice_mut()?, d, |_, [x], y| {
            let (mean, factor) = statistics(x, kind.eps as f32, kind.centre);
            scale_row(x, mean, factor, &w, &b, y);
        });
        Ok(Some(out))
    }, _ => Ok(None))
}

/// Gradients of input, weight and bias.
pub(crate) type Gradients = (CpuStorage, Option<CpuStorage>, Option<CpuStorage>);

pub(crate) fn backward(
    x: View<'_>,
    weight: Option<View<'_>>,
    grad: View<'_>,
    kind: Kind,
    affine: bool,
) -> Result<Option<Gradients>> {
    // Rows whose sums for the weight are taken together: fixed, so that threads do not matter.
    const ROWS: usize = 64;
    let (dtype, d) = (x.dtype(), x.shape()[x.layout.rank() - 1]);
    with_small!(dtype, T => {
        let mut dx = CpuStorage::new(dtype, x.count())?;
        let w = vector::<T>(weight, d, 1.0, kind.offset as f32)?;
        let (x, g) = (dense::<T>(&x)?, dense::<T>(&grad)?);
        let n = x.len().checked_div(d).unwrap_or(0);
        let blocks = n.div_ceil(ROWS);
        let mut parts = vec![0.0f32; if affine { blocks * 2 * d } else { 0 }];
        let (place, sums) = (SendPtr(dx.slice_mut::<T>()?.as_mut_ptr()), SendPtr(parts.as_mut_ptr()));
        parallel_for(blocks, |block| {
            let (mut wx, mut wg, mut made) = (vec![0.0f32; d], vec![0.0f32; d], vec![0.0f32; d]);
            for r in block * ROWS..n.min((block + 1) * ROWS) {
                let (x, g) = (T::as_f32(&x[r * d..(r + 1) * d], &mut wx), T::as_f32(&g[r * d..(r + 1) * d], &mut wg));
                let (mean, factor) = statistics(x, kind.eps as f32, kind.centre);
                backward_row(x, g, &w, mean, factor, kind.centre, &mut made);
                // SAFETY: every row of the result is written by one task, and the result lives until all are done.
                T::narrow(&made, unsafe { std::slice::from_raw_parts_mut(place.get().add(r * d), d) });
                if affine {
                    // SAFETY: every block has its own sums.
                    let part = unsafe { std::slice::from_raw_parts_mut(sums.get().add(block * 2 * d), 2 * d) };
                    let (dw, db) = part.split_at_mut(d);
                    add_weight_row(x, g, mean, factor, dw, db);
                }
            }
        });
        if !affine {
            return Ok(Some((dx, None, None)));
        }
        let mut total = vec![0.0f32; 2 * d];
        for part in parts.chunks(2 * d) {
            total.iter_mut().zip(part).for_each(|(t, p)| *t += p);
        }
        let made = |from: &[f32]| -> Result<CpuStorage> {
            let mut out = CpuStorage::new(dtype, d)?;
            T::narrow(from, out.slice_mut()?);
            Ok(out)
        };
        Ok(Some((dx, Some(made(&total[..d])?), Some(made(&total[d..])?))))
    }, _ => Ok(None))
}
