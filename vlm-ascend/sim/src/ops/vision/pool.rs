//! Pooling over windows of two dimensions.

// Operations have the names of the interface, and as many arguments.
#![allow(non_snake_case, clippy::too_many_arguments)]

use super::window::Axis;
use super::{both, named_format, sizes};
use crate::ops::product::{CubeRules, cube_rounding};
use crate::plan::{Cx, Planned, Refusal, invalid, of_shape, of_types, plan, same_type};
use crate::types::{DType, FLOATS, Tensor};

/// How many windows fit along a dimension. With `ceil`, one more that begins in the image or in the padding before it.
fn steps(size: usize, kernel: usize, stride: usize, pads: (usize, usize), ceil: bool) -> Result<usize, Refusal> {
    let free = (size + pads.0 + pads.1).checked_sub(kernel);
    let free =
        free.ok_or_else(|| invalid(format!("a window of {kernel} does not fit in {size} with padding {pads:?}")))?;
    let steps = if ceil { free.div_ceil(stride) } else { free / stride } + 1;
    Ok(if (steps - 1) * stride >= size + pads.0 { steps - 1 } else { steps })
}

/// The planes of a tensor of three or four dimensions, and their windows.
fn windows(
    x: &Tensor,
    out: &Tensor,
    kernel: [usize; 2],
    stride: [usize; 2],
    pads: [(usize, usize); 2],
    ceil: bool,
) -> Result<[Axis; 2], Refusal> {
    let lead = x.rank().wrapping_sub(2);
    if !(1..=2).contains(&lead) {
        return Err(invalid(format!("self has shape {:?}, expected 3 or 4 dimensions", x.dims)));
    }
    let mut axes = [Axis::NONE; 2];
    let mut expected = x.dims[..lead].to_vec();
    for i in 0..2 {
        let (size, kernel, stride) = (x.dims[lead + i], kernel[i], stride[i]);
        let steps = steps(size, kernel, stride, pads[i], ceil)?;
        axes[i] = Axis { size, kernel, steps, stride, before: pads[i].0, dilation: 1 };
        expected.push(steps);
    }
    of_shape("out", out, &expected)?;
    Ok(axes)
}

pub(crate) fn AvgPool2d(
    cx: &Cx,
    x: &Tensor,
    kernel_size: &[i64],
    strides: &[i64],
    paddings: &[i64],
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: i64,
    cube_math_type: i8,
    out: &Tensor,
) -> Planned {
    of_types(cx, "self", x, FLOATS)?;
    same_type("self and out", x, out)?;
    named_format("self", x)?;
    named_format("out", out)?;
    let f32 = x.dtype == DType::F32;
    if cube_math_type == 3 || (cube_math_type == 1 && f32 && !cx.chip.f32_products_as_f16) {
        return Err(invalid(format!("cubeMathType {cube_math_type} is not supported for {:?}", x.dtype)));
    }
    let rules = CubeRules { last: 2, no_bf16_as_f16: true, hf32_of_f32_only: true };
    let rounding = cube_rounding(cx, rules, x.dtype, cube_math_type)?;
    let kernel = both("kernelSize", kernel_size, 1)?;
    let stride = if strides.is_empty() { kernel } else { both("strides", strides, 1)? };
    let padding = both("paddings", paddings, 0)?;
    if padding.iter().zip(&kernel).any(|(p, k)| p * 2 > *k) {
        return Err(invalid(format!("paddings {padding:?} are more than half of kernelSize {kernel:?}")));
    }
    let [h, w] = windows(x, out, kernel, stride, padding.map(|p| (p, p)), ceil_mode)?;
    let (x, out) = (x.clone(), out.clone());
    plan(move |run| {
        let mut values = run.f32s(&x)?;
        rounding.apply(&mut values);
        let mut y = Vec::with_capacity(out.count());
        // Of a window: where it begins and ends in the image, and how long it is with padding.
        let span = |axis: &Axis, step: usize| {
            let from = step * axis.stride;
            let to = (from + axis.kernel).min(axis.size + 2 * axis.before);
            (from.saturating_sub(axis.before), to.saturating_sub(axis.before).min(axis.size), to - from)
        };
        for plane in values.chunks_exact((h.size * w.size).max(1)) {
            for oh in 0..h.steps {
                let (top, bottom, height) = span(&h, oh);
                for ow in 0..w.steps {
                    let (left, right, width) = span(&w, ow);
                    let rows = (top..bottom).map(|r| &plane[r * w.size + left..r * w.size + right]);
                    let sum: f64 = rows.flatten().map(|&v| f64::from(v)).sum();
                    let divisor = match divisor_override {
                        0 if count_include_pad => (height * width) as f64,
                        0 => ((bottom - top) * (right - left)) as f64,
                        d => d as f64,
                    };
                    y.push((sum / divisor) as f32);
                }
            }
        }
        run.put_f32(&out, &y)
    })
}

pub(crate) fn MaxPool(
    cx: &Cx,
    x: &Tensor,
    kernel_shape: &[i64],
    strides: &[i64],
    auto_pad: i64,
    pads: &[i64],
    dilations: &[i64],
    ceil_mode: i64,
    out: &Tensor,
) -> Planned {
    of_types(cx, "self", x, &[DType::F32, DType::F16])?;
    same_type("self and out", x, out)?;
    if auto_pad != 0 {
        return Err(invalid(format!("autoPad {auto_pad}, expected 0")));
    }
    if !matches!(dilations.len(), 0 | 1 | 2 | 4) || dilations.iter().any(|&d| d != 1) {
        return Err(invalid(format!("dilations are {dilations:?}, expected ones")));
    }
    let kernel = both("kernelShape", kernel_shape, 1)?;
    let stride = if strides.is_empty() { [1; 2] } else { both("strides", strides, 1)? };
    let pads = match sizes("pads", pads, 0)?[..] {
        [] => [(0, 0); 2],
        [p] => [(p, p); 2],
        [h, w] => [(h, h), (w, w)],
        [top, left, bottom, right] => [(top, bottom), (left, right)],
        _ => return Err(invalid(format!("pads are {pads:?}, expected up to 2 or 4 numbers"))),
    };
    if pads.iter().zip(&kernel).any(|(p, k)| p.0 + p.1 > *k) {
        return Err(invalid(format!("pads {pads:?} are more than kernelShape {kernel:?}")));
    }
    let [h, w] = windows(x, out, kernel, stride, pads, ceil_mode != 0)?;
    let (x, out) = (x.clone(), out.clone());
    plan(move |run| {
        let values = run.f32s(&x)?;
        let mut y = Vec::with_capacity(out.count());
        for plane in values.chunks_exact((h.size * w.size).max(1)) {
            for oh in 0..h.steps {
                for ow in 0..w.steps {
                    let mut most = f32::NEG_INFINITY;
                    for r in (0..h.kernel).filter_map(|k| h.at(oh, k)) {
                        for c in (0..w.kernel).filter_map(|k| w.at(ow, k)) {
                            let v = plane[r * w.size + c];
                            // `NaN` stays.
                            if v > most || v.is_nan() {
                                most = v;
                            }
                        }
                    }
                    y.push(most);
                }
            }
        }
        run.put_f32(&out, &y)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{Bench, assert_close, refusal};

    fn plane(b: &mut Bench, dtype: DType, h: usize, w: usize) -> Tensor {
        let t = b.tensor(dtype, &[1, 1, h, w], &(0..h * w).map(|i| i as f64).collect::<Vec<_>>());
        Tensor { format: 0, ..t }
    }

    fn room(b: &mut Bench, dtype: DType, h: usize, w: usize) -> Tensor {
        Tensor { format: 0, ..b.empty(dtype, &[1, 1, h, w]) }
    }

    #[test]
    fn averages() {
        let mut b = Bench::new();
        let x = plane(&mut b, DType::F32, 3, 3);
        let y = room(&mut b, DType::F32, 2, 2);
        for (include, expected) in [(true, [0.0, 0.75, 2.25, 6.0]), (false, [0.0, 1.5, 4.5, 6.0])] {
            let p = AvgPool2d(&b.cx, &x, &[2], &[], &[1], false, include, 0, 0, &y);
            b.run(p).unwrap();
            assert_close(&b.values(&y), &expected, 1e-6);
        }
        // Windows that are cut off at the end count what is left.
        let p = AvgPool2d(&b.cx, &x, &[2, 2], &[2, 2], &[0], true, true, 0, 0, &y);
        b.run(p).unwrap();
        assert_close(&b.values(&y), &[2.0, 3.5, 6.5, 8.0], 1e-6);
        // A transposed view, divided by what is said.
        let t = x.with_view(x.dims.clone(), vec![9, 9, 1, 3], 0);
        let p = AvgPool2d(&b.cx, &t, &[2], &[1], &[0], false, true, 2, 0, &y);
        b.run(p).unwrap();
        assert_close(&b.values(&y), &[4.0, 10.0, 6.0, 12.0], 1e-6);
        let y3 = room(&mut b, DType::F32, 3, 3);
        assert_eq!(refusal(AvgPool2d(&b.cx, &x, &[2], &[1], &[0], false, true, 0, 0, &y3)), 161_002);
        assert_eq!(refusal(AvgPool2d(&b.cx, &x, &[2], &[1], &[0], false, true, 0, 1, &y)), 161_002);
        assert_eq!(refusal(AvgPool2d(&b.cx, &x, &[2], &[], &[2], false, true, 0, 0, &y)), 161_002);
    }

    #[test]
    fn maxima() {
        let mut b = Bench::new();
        let x = plane(&mut b, DType::F16, 3, 3);
        let y = room(&mut b, DType::F16, 2, 2);
        let p = MaxPool(&b.cx, &x, &[2, 2], &[2, 2], 0, &[1, 1, 0, 0], &[1, 1], 0, &y);
        b.run(p).unwrap();
        assert_close(&b.values(&y), &[0.0, 2.0, 6.0, 8.0], 0.0);
        let p = MaxPool(&b.cx, &x, &[2], &[2], 0, &[], &[], 1, &y);
        b.run(p).unwrap();
        assert_close(&b.values(&y), &[4.0, 5.0, 7.0, 8.0], 0.0);
        assert_eq!(refusal(MaxPool(&b.cx, &x, &[2], &[2], 0, &[], &[2], 1, &y)), 161_002);
        assert_eq!(refusal(MaxPool(&b.cx, &x, &[2], &[2], 0, &[], &[], 0, &y)), 161_002);
    }
}
