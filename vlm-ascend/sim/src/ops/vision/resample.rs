//! Images as columns of windows, and images enlarged.

// Operations have the names of the interface.
#![allow(non_snake_case)]

use super::sizes;
use super::window::{Axis, columns};
use crate::plan::{Cx, Planned, invalid, of_shape, of_types, plan, same_type};
use crate::types::{DType, FLOATS, Tensor};

pub(crate) fn Im2col(
    cx: &Cx,
    x: &Tensor,
    kernel_size: &[i64],
    dilation: &[i64],
    padding: &[i64],
    stride: &[i64],
    out: &Tensor,
) -> Planned {
    of_types(cx, "self", x, FLOATS)?;
    same_type("self and out", x, out)?;
    let lead = x.rank().wrapping_sub(3);
    if lead > 1 {
        return Err(invalid(format!("self has shape {:?}, expected 3 or 4 dimensions", x.dims)));
    }
    let two = |what: &str, numbers: &[i64], least| match sizes(what, numbers, least)?[..] {
        [h, w] => Ok([h, w]),
        _ => Err(invalid(format!("{what} is {numbers:?}, expected 2 numbers"))),
    };
    let (kernel, dilation) = (two("kernelSize", kernel_size, 1)?, two("dilation", dilation, 1)?);
    let (padding, stride) = (two("padding", padding, 0)?, two("stride", stride, 1)?);
    let mut axes = [Axis::NONE; 3];
    for i in 0..2 {
        let (size, span) = (x.dims[lead + 1 + i], dilation[i] * (kernel[i] - 1) + 1);
        let free = (size + 2 * padding[i]).checked_sub(span);
        let free = free.ok_or_else(|| invalid(format!("self of shape {:?} is smaller than a window", x.dims)))?;
        let steps = free / stride[i] + 1;
        axes[1 + i] =
            Axis { size, kernel: kernel[i], steps, stride: stride[i], before: padding[i], dilation: dilation[i] };
    }
    let (channels, windows) = (x.dims[lead], axes[1].steps * axes[2].steps);
    let mut expected = x.dims[..lead].to_vec();
    expected.extend([channels * kernel[0] * kernel[1], windows]);
    of_shape("out", out, &expected)?;
    let (x, out) = (x.clone(), out.clone());
    plan(move |run| {
        let values = run.f32s(&x)?;
        let mut cols = vec![0.0; out.count()];
        if !cols.is_empty() {
            let block = cols.len() / x.dims[..lead].iter().product::<usize>();
            let image = channels * axes[1].size * axes[2].size;
            for (i, cols) in cols.chunks_exact_mut(block).enumerate() {
                columns(&values[i * image..][..image], channels, &axes, cols);
            }
        }
        run.put_f32(&out, &cols)
    })
}

/// The source of each place along a dimension.
fn nearest(from: usize, to: usize) -> Vec<usize> {
    let scale = from as f32 / to as f32;
    (0..to).map(|i| ((i as f32 * scale) as usize).min(from - 1)).collect()
}

pub(crate) fn UpsampleNearest2d(cx: &Cx, x: &Tensor, output_size: &[i64], out: &Tensor) -> Planned {
    of_types(cx, "self", x, &[DType::F32, DType::F16, DType::BF16, DType::F64, DType::U8])?;
    same_type("self and out", x, out)?;
    if x.rank() != 4 || x.is_empty() {
        return Err(invalid(format!("self has shape {:?}, expected 4 dimensions, none of them 0", x.dims)));
    }
    // Where height lies: in NCHW or in NHWC.
    let at = match (x.format, out.format) {
        (0, 0) => 2,
        (1, 1) => 1,
        (a, b) => {
            return Err(invalid(format!("self and out have formats {a} and {b}, expected both NCHW or both NHWC")));
        }
    };
    let [height, width] = sizes("outputSize", output_size, 1)?[..] else {
        return Err(invalid(format!("outputSize is {output_size:?}, expected 2 numbers")));
    };
    let mut dims = x.dims.clone();
    dims[at] = height;
    dims[at + 1] = width;
    of_shape("out", out, &dims)?;
    let (rows, cols) = (nearest(x.dims[at], height), nearest(x.dims[at + 1], width));
    let inner: usize = x.dims[at + 2..].iter().product();
    let (x, out) = (x.clone(), out.clone());
    plan(move |run| {
        let values = run.f64s(&x)?;
        let mut y = Vec::with_capacity(out.count());
        let line = x.dims[at + 1] * inner;
        for plane in values.chunks_exact(x.dims[at] * line) {
            for &r in &rows {
                for &c in &cols {
                    y.extend_from_slice(&plane[r * line + c * inner..][..inner]);
                }
            }
        }
        run.put_f64(&out, &y)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{Bench, refusal};

    #[test]
    fn windows_as_columns() {
        let mut b = Bench::new();
        let x = b.tensor(DType::F16, &[1, 2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let out = b.empty(DType::F16, &[4, 2]);
        let p = Im2col(&b.cx, &x, &[2, 2], &[1, 1], &[0, 0], &[1, 1], &out);
        b.run(p).unwrap();
        assert_eq!(b.values(&out), [1.0, 2.0, 2.0, 3.0, 4.0, 5.0, 5.0, 6.0]);
        // Padded and dilated, from a transposed view of two images.
        let x = b.tensor(DType::F32, &[2, 1, 2, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
        let x = x.with_view(vec![2, 1, 2, 2], vec![4, 4, 1, 2], 0);
        let out = b.empty(DType::F32, &[2, 2, 4]);
        let p = Im2col(&b.cx, &x, &[1, 2], &[1, 2], &[0, 1], &[1, 1], &out);
        b.run(p).unwrap();
        // The first image is (1 3) (2 4).
        let expected = [0.0, 1.0, 0.0, 2.0, 3.0, 0.0, 4.0, 0.0, 0.0, 5.0, 0.0, 6.0, 7.0, 0.0, 8.0, 0.0];
        assert_eq!(b.values(&out), expected);
        assert_eq!(refusal(Im2col(&b.cx, &x, &[1, 2], &[1, 2], &[0, 0], &[1, 1], &out)), 161_002);
        assert_eq!(refusal(Im2col(&b.cx, &x, &[2], &[1, 2], &[0, 0], &[1, 1], &out)), 161_002);
    }

    #[test]
    fn enlarges() {
        let mut b = Bench::new();
        let x = b.tensor(DType::F32, &[1, 1, 2, 2], &[1.0, 2.0, 3.0, 4.0]);
        let y = b.empty(DType::F32, &[1, 1, 3, 4]);
        assert_eq!(refusal(UpsampleNearest2d(&b.cx, &x, &[3, 4], &y)), 161_002);
        let (x, y) = (Tensor { format: 0, ..x }, Tensor { format: 0, ..y });
        let p = UpsampleNearest2d(&b.cx, &x, &[3, 4], &y);
        b.run(p).unwrap();
        assert_eq!(b.values(&y), [1.0, 1.0, 2.0, 2.0, 1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0]);
        // Channels last.
        let x = Tensor { format: 1, ..b.tensor(DType::U8, &[1, 1, 1, 2], &[7.0, 200.0]) };
        let y = Tensor { format: 1, ..b.empty(DType::U8, &[1, 1, 2, 2]) };
        let p = UpsampleNearest2d(&b.cx, &x, &[1, 2], &y);
        b.run(p).unwrap();
        assert_eq!(b.values(&y), [7.0, 200.0, 7.0, 200.0]);
    }
}
