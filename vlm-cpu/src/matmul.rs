//! Products of matrices, over views.

use crate::cpu_features::Isa;
use crate::gemm::{Gemm, Mat, MatMut, gemm, gemm_batched};
use crate::storage::{CpuStorage, own};
use crate::strided::settle;
use vlm_core::backend::{QuantizedLinearArgs, View};
use vlm_core::{DType, Result};

/// The matrix that the last two dimensions of a view are, at its first batch.
pub(crate) fn mat(view: &View<'_>) -> Result<Mat> {
    let (l, r) = (view.layout, view.layout.rank());
    let base = own(view.storage)?.bytes().as_ptr();
    Ok(Mat {
        ptr: base.wrapping_add(l.offset() * view.dtype().size()),
        dtype: view.dtype(),
        row_stride: l.strides()[r - 2] as isize,
        col_stride: l.strides()[r - 1] as isize,
    })
}

pub(crate) fn matmul(a: View<'_>, b: View<'_>) -> Result<CpuStorage> {
    let r = a.layout.rank();
    let (m, k, n) = (a.shape()[r - 2], a.shape()[r - 1], b.shape()[r - 1]);
    let batch: usize = a.shape()[..r - 2].iter().product();
    let dtype = a.dtype();
    let mut out = CpuStorage::new(dtype, batch * m * n)?;
    if out.bytes().is_empty() {
        return Ok(out);
    }
    let c = MatMut { ptr: out.bytes_mut()?.as_mut_ptr(), dtype, row_stride: n as isize, col_stride: 1 };
    let g = Gemm { m, n, k, a: mat(&a)?, b: mat(&b)?, c, accumulate: false, bias: None, map: None };
    let offsets: Vec<[isize; 3]> = (0..batch)
        .map(|i| {
            let mut at = [0, 0, (i * m * n) as isize];
            let mut rest = i;
            for d in (0..r - 2).rev() {
                let index = rest % a.shape()[d];
                rest /= a.shape()[d];
                at[0] += (index * a.layout.strides()[d]) as isize;
                at[1] += (index * b.layout.strides()[d]) as isize;
            }
            at
        })
        .collect();
    // SAFETY: layouts stay inside their storages, which are borrowed; the result is new, contiguous and large enough;
    // the level is one that this machine has.
    unsafe { gemm_batched(Isa::current(), &g, &offsets)? };
    Ok(out)
}

pub(crate) fn linear(x: View<'_>, w: View<'_>, bias: Option<View<'_>>) -> Result<CpuStorage> {
    let (m, k, n) = (x.shape()[0], x.shape()[1], w.shape()[0]);
    let mut out = CpuStorage::new(x.dtype(), m * n)?;
    if out.bytes().is_empty() {
        return Ok(out);
    }
    let bias = bias.map(settle).transpose()?;
    let start = match &bias {
        None => None,
        Some(b) => {
            let skip = b.layout.offset() * x.dtype().size();
            Some((own(&b.storage)?.bytes()[skip..].as_ptr(), x.dtype()))
        }
    };
    let c = MatMut { ptr: out.bytes_mut()?.as_mut_ptr(), dtype: x.dtype(), row_stride: n as isize, col_stride: 1 };
    let g = Gemm { m, n, k, a: mat(&x)?, b: mat(&w)?.transposed(), c, accumulate: false, bias: start, map: None };
    // SAFETY: as in `matmul`; the bias has `n` contiguous elements and is held until the call returns.
    unsafe { gemm(Isa::current(), &g)? };
    Ok(out)
}

/// Weights of 8 or 4 bits, widened a strip of rows at a time.
pub(crate) fn quantized_linear(args: &QuantizedLinearArgs<'_>) -> Result<Option<CpuStorage>> {
    let dtype = args.x.dtype();
    if !matches!(dtype, DType::F32 | DType::F16 | DType::BF16) {
        return Ok(None);
    }
    let (m, k, n) = (args.x.shape()[0], args.x.shape()[1], args.data.shape()[0]);
    let mut out = CpuStorage::new(dtype, m * n)?;
    if out.bytes().is_empty() {
        return Ok(Some(out));
    }
    let bias = args.bias.map(settle).transpose()?;
    let bias_ptr = match &bias {
        None => None,
        Some(b) => Some(own(&b.storage)?.bytes()[b.layout.offset() * dtype.size()..].as_ptr()),
    };
    let data = &own(args.data.storage)?.slice::<u8>()[args.data.layout.offset()..];
    let scales = &own(args.scales.storage)?.slice::<f32>()[args.scales.layout.offset()..];
    let (row_bytes, groups, zero) = (k * args.bits as usize / 8, k / args.group, (1i32 << (args.bits - 1)) as f32);
    let strip = (1 << 18 >> k.ilog2()).clamp(16, 1024).min(n);
    let mut wide = vec![0.0f32; strip * k];
    let target = out.bytes_mut()?.as_mut_ptr();
    for start in (0..n).step_by(strip) {
        let rows = strip.min(n - start);
        crate::threads::parallel_chunks_mut(&mut wide[..rows * k], 16 * k, |at, part| {
            for (r, row) in part.chunks_mut(k).enumerate() {
                let at = start + at / k + r;
                widen_row(&data[at * row_bytes..][..row_bytes], &scales[at * groups..][..groups], args.bits, zero, row);
            }
        });
        let c = MatMut { ptr: target.wrapping_add(start * dtype.size()), dtype, row_stride: n as isize, col_stride: 1 };
        let b = Mat { ptr: wide.as_ptr().cast(), dtype: DType::F32, row_stride: 1, col_stride: k as isize };
        let bias = bias_ptr.map(|p| (p.wrapping_add(start * dtype.size()), dtype));
        let g = Gemm { m, n: rows, k, a: mat(&args.x)?, b, c, accumulate: false, bias, map: None };
        // SAFETY: as in `linear`; the strip's columns lie inside the result.
        unsafe { gemm(Isa::current(), &g)? };
    }
    Ok(Some(out))
}

fn widen_row(data: &[u8], scales: &[f32], bits: u32, zero: f32, row: &mut [f32]) {
    let group = row.len() / scales.len();
    if bits == 8 {
        for ((to, from), scale) in row.chunks_mut(group).zip(data.chunks(group)).zip(scales) {
            to.iter_mut().zip(from).for_each(|(t, &q)| *t = (f32::from(q) - zero) * scale);
        }
        return;
    }
    for (i, pair) in row.chunks_mut(2).enumerate() {
        for (j, t) in pair.iter_mut().enumerate() {
            let q = (data[i] >> (4 * j)) & 15;
            *t = (f32::from(q) - zero) * scales[(2 * i + j) / group];
        }
    }
}
