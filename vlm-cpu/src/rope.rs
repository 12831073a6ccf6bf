//! Rotary position embedding.

use crate::storage::{CpuStorage, with_small};
use crate::strided::dense;
use crate::threads::{SendPtr, parallel_for};
use vlm_core::Result;
use vlm_core::backend::{RopeArgs, RopeStyle};

use crate::simd::simd_fn;
use crate::storage::{Small, all};

simd_fn! {
    fn rotate_halves(x: &[f32], cos: &[f32], sin: &[f32], sign: f32, y: &mut [f32]) {
        let r = cos.len();
        let (a, b) = x.split_at(r);
        let (ya, yb) = y.split_at_mut(r);
        for i in 0..r {
            ya[i] = a[i] * cos[i] - b[i] * sin[i] * sign;
            yb[i] = b[i] * cos[i] + a[i] * sin[i] * sign;
        }
        yb[r..].copy_from_slice(&b[r..]);
    }
}

simd_fn! {
    fn rotate_pairs(x: &[f32], cos: &[f32], sin: &[f32], sign: f32, y: &mut [f32]) {
        let r = cos.len();
        for i in 0..r {
            let (a, b) = (x[2 * i], x[2 * i + 1]);
            y[2 * i] = a * cos[i] - b * sin[i] * sign;
            y[2 * i + 1] = b * cos[i] + a * sin[i] * sign;
        }
        y[2 * r..].copy_from_slice(&x[2 * r..]);
    }
}

pub(crate) fn rope(args: &RopeArgs<'_>) -> Result<Option<CpuStorage>> {
    let (x, shape) = (args.x, *args.x.shape());
    let [b, h, s, d] = [shape[0], shape[1], shape[2], shape[3]];
    let (half, batches) = (args.cos.shape()[2], args.cos.shape()[0]);
    let sign = if args.inverse { -1.0 } else { 1.0 };
    with_small!(x.dtype(), T => {
        let mut out = CpuStorage::new(x.dtype(), x.count())?;
        let (cos, sin) = (dense::<f32>(&args.cos)?, dense::<f32>(&args.sin)?);
        // Heads usually lie between channels and sequence; rows are read where they are.
        let settled = if x.layout.strides()[3] == 1 || d <= 1 { None } else { Some(crate::strided::settle(x)?) };
        let view = settled.as_ref().map_or(x, |s| s.view());
        let (values, l) = (all::<T>(&view)?, *view.layout);
        let place = SendPtr(out.slice_mut::<T>()?.as_mut_ptr());
        parallel_for(b * h, |bh| {
            let (i, j) = (bh / h, bh % h);
            let (mut wide, mut made) = (vec![0.0f32; d], vec![0.0f32; d]);
            for t in 0..s {
                let start = l.offset() + i * l.strides()[0] + j * l.strides()[1] + t * l.strides()[2];
                let row = T::as_f32(&values[start..start + d], &mut wide);
                let at = ((if batches == 1 { 0 } else { i }) * s + t) * half;
                let (cos, sin) = (&cos[at..at + half], &sin[at..at + half]);
                match args.style {
                    RopeStyle::Interleaved => rotate_pairs(row, cos, sin, sign, &mut made),
                    _ => rotate_halves(row, cos, sin, sign, &mut made),
                }
                // SAFETY: every row of the result is written by one task, and the result lives until all are done.
                T::narrow(&made, unsafe { std::slice::from_raw_parts_mut(place.get().add((bh * s + t) * d), d) });
            }
        });
        Ok(Some(out))
    }, _ => Ok(None))
}
