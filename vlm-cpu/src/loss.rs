//! Cross-entropy of a last layer whose logits are never all held.

use crate::cpu_features::Isa;
use crate::gemm::{Gemm, Mat, MatMut, gemm};
use crate::matmul::mat;
use crate::rows;
use crate::storage::{CpuStorage, Small, with_small};
use vlm_core::backend::{StorageRef, View};
use vlm_core::{DType, Dims, Layout, Result};

/// At most this many logits are held at once.
const MAX_LOGITS: usize = 1 << 21;

fn chunk(v: usize) -> usize {
    (MAX_LOGITS / v.max(1)).max(1)
}

fn rows_of(m: Mat, start: usize) -> Mat {
    Mat { ptr: m.ptr.wrapping_offset(start as isize * m.row_stride * m.dtype.size() as isize), ..m }
}

/// The logits of rows `start .. start + n` in `f32`, as a storage with its layout.
fn logits(x: &View<'_>, w: &View<'_>, start: usize, n: usize) -> Result<(StorageRef, Layout)> {
    let (k, v) = (x.shape()[1], w.shape()[0]);
    let mut out = CpuStorage::new(DType::F32, n * v)?;
    let c = MatMut { ptr: out.bytes_mut()?.as_mut_ptr(), dtype: DType::F32, row_stride: v as isize, col_stride: 1 };
    let (a, b) = (rows_of(mat(x)?, start), mat(w)?.transposed());
    let g = Gemm { m: n, n: v, k, a, b, c, accumulate: false, bias: None, map: None };
    // SAFETY: rows lie inside the operands, which are borrowed; the result is new and large enough.
    unsafe { gemm(Isa::current(), &g)? };
    Ok((out.share(), Layout::contiguous(Dims::from_slice(&[n, v]))))
}

fn part(view: &View<'_>, start: usize, n: usize) -> Layout {
    view.layout.narrow(0, start, n)
}

pub(crate) fn linear_cross_entropy(
    x: View<'_>,
    w: View<'_>,
    targets: View<'_>,
    ignore: i64,
) -> Result<Option<(CpuStorage, CpuStorage)>> {
    if !matches!(x.dtype(), DType::F32 | DType::F16 | DType::BF16) {
        return Ok(None);
    }
    let (n, v) = (x.shape()[0], w.shape()[0]);
    let (mut losses, mut sums) = (CpuStorage::new(DType::F32, n)?, CpuStorage::new(DType::F32, n)?);
    for start in (0..n).step_by(chunk(v)) {
        let len = chunk(v).min(n - start);
        let (storage, layout) = logits(&x, &w, start, len)?;
        let t = part(&targets, start, len);
        let found = rows::cross_entropy(View::new(&storage, &layout), View::new(targets.storage, &t), ignore)?;
        let Some((loss, lse)) = found else { return Ok(None) };
        losses.slice_mut::<f32>()?[start..start + len].copy_from_slice(loss.slice());
        sums.slice_mut::<f32>()?[start..start + len].copy_from_slice(lse.slice());
    }
    Ok(Some((losses, sums)))
}

#[allow(clippy::too_many_arguments)]
pub(crate) fn linear_cross_entropy_backward(
    x: View<'_>,
    w: View<'_>,
    targets: View<'_>,
    ignore: i64,
    lse: View<'_>,
    grad: View<'_>,
    weight: bool,
) -> Result<Option<(CpuStorage, Option<CpuStorage>)>> {
    let (n, k, v, dtype) = (x.shape()[0], x.shape()[1], w.shape()[0], x.dtype());
    with_small!(dtype, T => {
        let mut dx = CpuStorage::new(dtype, n * k)?;
        let mut dw = if weight { vec![0.0f32; v * k] } else { Vec::new() };
        for start in (0..n).step_by(chunk(v)) {
            let len = chunk(v).min(n - start);
            let (storage, layout) = logits(&x, &w, start, len)?;
            let [t, l, g] = [&targets, &lse, &grad].map(|view| part(view, start, len));
            let d = rows::cross_entropy_backward(
                View::new(&storage, &layout),
                View::new(targets.storage, &t),
                ignore,
                View::new(lse.storage, &l),
                View::new(grad.storage, &g),
            )?;
            let Some(d) = d else { return Ok(None) };
            // Rounded to the element type, so that half floats are multiplied as such.
            let mut small = CpuStorage::new(dtype, len * v)?;
            T::narrow(d.slice(), small.slice_mut()?);
            let dm = Mat { ptr: small.bytes().as_ptr(), dtype, row_stride: v as isize, col_stride: 1 };
            let to = dx.slice_mut::<T>()?[start * k..].as_mut_ptr().cast();
            let c = MatMut { ptr: to, dtype, row_stride: k as isize, col_stride: 1 };
            let product = Gemm { m: len, n: k, k: v, a: dm, b: mat(&w)?, c, accumulate: false, bias: None, map: None };
            // SAFETY: as in `logits`; rows of this chunk lie inside the result.
            unsafe { gemm(Isa::current(), &product)? };
            if weight {
                let c = MatMut { ptr: dw.as_mut_ptr().cast(), dtype: DType::F32, row_stride: k as isize, col_stride: 1 };
                let b = rows_of(mat(&x)?, start);
                let product = Gemm { m: v, n: k, k: len, a: dm.transposed(), b, c, accumulate: true, bias: None, map: None };
                // SAFETY: as above.
                unsafe { gemm(Isa::current(), &product)? };
            }
        }
        let dw = if weight {
            let mut out = CpuStorage::new(dtype, v * k)?;
            T::narrow(&dw, out.slice_mut()?);
            Some(out)
        } else {
            None
        };
        Ok(Some((dx, dw)))
    }, _ => Ok(None))
}
