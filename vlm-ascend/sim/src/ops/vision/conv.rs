//! Convolution, of one to three dimensions, plain and transposed.

// Operations have the names of the interface, and as many arguments.
#![allow(non_snake_case, clippy::too_many_arguments)]

use super::window::{Axis, add_columns, columns};
use super::{named_format, sizes};
use crate::ops::product::{CubeRules, Matrix, cube_rounding, multiply, promoted};
use crate::plan::{Cx, Planned, Refusal, invalid, of_shape, of_types, plan, same_type};
use crate::types::{FLOATS, Tensor};

/// Padding before and after each of `n` dimensions.
fn padding(numbers: &[i64], n: usize, transposed: bool) -> Result<Vec<(usize, usize)>, Refusal> {
    let p = sizes("padding", numbers, 0)?;
    match p[..] {
        [before, after] if n == 1 && !transposed => Ok(vec![(before, after)]),
        [top, bottom, left, right] if n == 2 => Ok(vec![(top, bottom), (left, right)]),
        _ if p.len() == n => Ok(p.iter().map(|&p| (p, p)).collect()),
        _ => Err(invalid(format!("padding is {numbers:?} for {n} dimensions"))),
    }
}

/// One number for each dimension.
fn each(what: &str, numbers: &[i64], n: usize, least: usize) -> Result<Vec<usize>, Refusal> {
    if numbers.len() != n {
        return Err(invalid(format!("{what} is {numbers:?}, expected {n} numbers")));
    }
    sizes(what, numbers, least)
}

pub(crate) fn Convolution(
    cx: &Cx,
    input: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    stride: &[i64],
    padding: &[i64],
    dilation: &[i64],
    transposed: bool,
    output_padding: Option<&[i64]>,
    groups: i64,
    output: &Tensor,
    cube_math_type: i8,
) -> Planned {
    for (what, t) in [("input", input), ("weight", weight), ("output", output)] {
        of_types(cx, what, t, FLOATS)?;
        named_format(what, t)?;
        if t.rank() != input.rank() {
            return Err(invalid(format!("input and {what} have shapes {:?} and {:?}", input.dims, t.dims)));
        }
    }
    let dtype = promoted(input, weight)?;
    if transposed {
        same_type("input and output", input, output)?;
    }
    let rules = CubeRules { last: 3, no_bf16_as_f16: true, hf32_of_f32_only: false };
    let rounding = cube_rounding(cx, rules, dtype, cube_math_type)?;

    let n = input.rank() - 2;
    let groups = usize::try_from(groups).ok().filter(|g| (1..=65_535).contains(g));
    let groups = groups.ok_or_else(|| invalid("groups is not within 1 and 65535"))?;
    let stride = each("stride", stride, n, 1)?;
    let dilation = each("dilation", dilation, n, 1)?;
    let padding = self::padding(padding, n, transposed)?;
    let more = match output_padding {
        Some(p) if transposed => each("outputPadding", p, n, 0)?,
        _ => vec![0; n],
    };
    let kernel = &weight.dims[2..];
    if more.iter().zip(stride.iter().zip(&dilation)).any(|(m, (s, d))| m >= s && m >= d && *m > 0) {
        return Err(invalid(format!(
            "outputPadding {more:?} is not less than stride {stride:?} or dilation {dilation:?}"
        )));
    }
    // Limits that the chip's convolution has for height and width.
    let flat = if n == 3 { 1.. } else { 0.. };
    let most_kernel = if transposed {
        255
    } else if n == 3 {
        511
    } else {
        usize::MAX
    };
    let padding_limit = if transposed && n < 3 { usize::MAX } else { 255 };
    if kernel.contains(&0)
        || kernel[flat.clone()].iter().any(|&k| k > most_kernel)
        || dilation[flat.clone()].iter().any(|&d| d > 255)
        || padding[flat.clone()].iter().any(|p| p.0.max(p.1) > padding_limit)
        || (n == 3 && stride[flat].iter().any(|&s| s > 63))
    {
        let text =
            format!("kernel {kernel:?}, stride {stride:?}, padding {padding:?}, dilation {dilation:?}: too large");
        return Err(invalid(text));
    }

    let (batch, c_in) = (input.dims[0], input.dims[1]);
    let c_out = if transposed { weight.dims[1] * groups } else { weight.dims[0] };
    let fits = if transposed {
        weight.dims[0] == c_in && c_in % groups == 0
    } else {
        weight.dims[1] * groups == c_in && c_out % groups == 0
    };
    if !fits {
        let text = format!(
            "input of shape {:?} does not fit weight of shape {:?} in {groups} groups",
            input.dims, weight.dims
        );
        return Err(invalid(text));
    }
    // The image that windows slide over is the input, or the output where transposed.
    let mut axes = [Axis::NONE; 3];
    let mut expected = vec![batch, c_out];
    for i in 0..n {
        let (size, span, (before, after)) = (input.dims[2 + i], dilation[i] * (kernel[i] - 1) + 1, padding[i]);
        let axis = Axis { size, kernel: kernel[i], steps: size, stride: stride[i], before, dilation: dilation[i] };
        let too_small = || invalid(format!("input of shape {:?} is too small for the weight", input.dims));
        axes[3 - n + i] = if transposed {
            let size = (size.max(1) - 1) * stride[i] + span + more[i];
            Axis { size: size.checked_sub(before + after).ok_or_else(too_small)?, ..axis }
        } else {
            let free = (size + before + after).checked_sub(span).ok_or_else(too_small)?;
            Axis { steps: free / stride[i] + 1, ..axis }
        };
        expected.push(if transposed { axes[3 - n + i].size } else { axes[3 - n + i].steps });
    }
    of_shape("output", output, &expected)?;
    if let Some(t) = bias {
        of_types(cx, "bias", t, FLOATS)?;
        of_shape("bias", t, &[c_out])?;
    }

    let [input, weight, output] = [input, weight, output].map(Tensor::clone);
    let bias = bias.cloned();
    plan(move |run| {
        let (mut x, mut w) = (run.f32s(&input)?, run.f32s(&weight)?);
        rounding.apply(&mut x);
        rounding.apply(&mut w);
        let windows: usize = axes.iter().map(|a| a.steps).product();
        let image: usize = axes.iter().map(|a| a.size).product();
        let taps: usize = axes.iter().map(|a| a.kernel).product();
        let (in_size, out_size) = if transposed { (windows, image) } else { (image, windows) };
        let (in_group, out_group) = (c_in / groups, c_out / groups);
        // A window of one element at each place: the image is its own columns.
        let plain = axes.iter().all(|a| a.kernel == 1 && a.stride == 1 && a.before == 0 && a.size == a.steps);
        let mut cols = vec![
            0.0;
            if transposed {
                out_group
            } else if plain {
                0
            } else {
                in_group
            } * taps
                * windows
        ];
        let mut y = vec![0.0; batch * c_out * out_size];
        if let Some(bias) = &bias {
            let bias = run.f32s(bias)?;
            y.chunks_exact_mut(out_size.max(1)).enumerate().for_each(|(i, y)| y.fill(bias[i % c_out]));
        }
        if y.is_empty() || x.is_empty() {
            return run.put_f32(&output, &y);
        }
        for b in 0..batch {
            for g in 0..groups {
                let x = &x[(b * c_in + g * in_group) * in_size..][..in_group * in_size];
                let y = &mut y[(b * c_out + g * out_group) * out_size..][..out_group * out_size];
                if transposed {
                    let w = Matrix::new(&w[g * in_group * out_group * taps..], in_group, out_group * taps);
                    multiply(w.transposed(), Matrix::new(x, in_group, windows), &mut cols, false);
                    add_columns(&cols, out_group, &axes, y);
                } else {
                    let w = Matrix::new(&w[g * out_group * in_group * taps..], out_group, in_group * taps);
                    if !plain {
                        columns(x, in_group, &axes, &mut cols);
                    }
                    let x = Matrix::new(if plain { x } else { &cols }, in_group * taps, windows);
                    multiply(w, x, y, true);
                }
            }
        }
        run.put_f32(&output, &y)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{Bench, assert_close, refusal};
    use crate::types::DType;

    fn named(t: Tensor) -> Tensor {
        let format = [47, 0, 30][t.rank() - 3];
        Tensor { format, ..t }
    }

    fn count(dims: &[usize]) -> Vec<f64> {
        (0..dims.iter().product::<usize>()).map(|i| i as f64 % 7.0 - 3.0).collect()
    }

    #[test]
    fn one_dimension() {
        let mut b = Bench::new();
        let x = named(b.tensor(DType::F32, &[1, 1, 4], &[1.0, 2.0, 3.0, 4.0]));
        let w = named(b.tensor(DType::F32, &[1, 1, 2], &[1.0, 10.0]));
        let bias = b.tensor(DType::F32, &[1], &[0.5]);
        let y = named(b.empty(DType::F32, &[1, 1, 5]));
        let p = Convolution(&b.cx, &x, &w, Some(&bias), &[1], &[1], &[1], false, None, 1, &y, 0);
        b.run(p).unwrap();
        assert_close(&b.values(&y), &[10.5, 21.5, 32.5, 43.5, 4.5], 0.0);
        let p = Convolution(&b.cx, &x, &w, None, &[1], &[0], &[1], true, Some(&[0]), 1, &y, 0);
        b.run(p).unwrap();
        assert_close(&b.values(&y), &[1.0, 12.0, 23.0, 34.0, 40.0], 0.0);
        // Strided and dilated, padded on one side.
        let y = named(b.empty(DType::F32, &[1, 1, 2]));
        let p = Convolution(&b.cx, &x, &w, None, &[2], &[1, 0], &[2], false, None, 1, &y, 0);
        b.run(p).unwrap();
        assert_close(&b.values(&y), &[20.0, 42.0], 0.0);
        let y = named(b.empty(DType::F32, &[1, 1, 10]));
        let p = Convolution(&b.cx, &x, &w, None, &[2], &[0], &[2], true, Some(&[1]), 1, &y, 0);
        b.run(p).unwrap();
        assert_close(&b.values(&y), &[1.0, 0.0, 12.0, 0.0, 23.0, 0.0, 34.0, 0.0, 40.0, 0.0], 0.0);
    }

    #[test]
    fn two_dimensions_in_groups() {
        let mut b = Bench::new();
        let (xd, wd, yd) = ([2, 4, 5, 4], [6, 2, 2, 3], [2, 6, 3, 4]);
        let (xv, wv) = (count(&xd), count(&wd));
        let mut expected = vec![0.0; 2 * 6 * 3 * 4];
        for n in 0..2 {
            for o in 0..6 {
                for y in 0..3usize {
                    for x in 0..4usize {
                        for c in 0..2 {
                            for ky in 0..2 {
                                for kx in 0..3 {
                                    let (iy, ix) = (2 * y + ky, x + kx);
                                    if !(1..=5).contains(&iy) || !(1..=4).contains(&ix) {
                                        continue;
                                    }
                                    let channel = o / 3 * 2 + c;
                                    expected[((n * 6 + o) * 3 + y) * 4 + x] += xv
                                        [((n * 4 + channel) * 5 + iy - 1) * 4 + ix - 1]
                                        * wv[((o * 2 + c) * 2 + ky) * 3 + kx];
                                }
                            }
                        }
                    }
                }
            }
        }
        let (x, w) = (named(b.tensor(DType::F16, &xd, &xv)), named(b.tensor(DType::F16, &wd, &wv)));
        let y = named(b.empty(DType::F16, &yd));
        let p = Convolution(&b.cx, &x, &w, None, &[2, 1], &[1, 1], &[1, 1], false, None, 2, &y, 1);
        b.run(p).unwrap();
        assert_close(&b.values(&y), &expected, 0.0);
        // The transpose: the product with anything is the same from either side.
        let gv = count(&yd);
        let g = named(b.tensor(DType::F32, &yd, &gv));
        let w = named(b.tensor(DType::F32, &wd, &wv));
        let back = named(b.empty(DType::F32, &xd));
        let p = Convolution(&b.cx, &g, &w, None, &[2, 1], &[1, 1], &[1, 1], true, Some(&[1, 0]), 2, &back, 0);
        b.run(p).unwrap();
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        assert_close(&[dot(&b.values(&back), &xv)], &[dot(&gv, &expected)], 1e-6);
    }

    #[test]
    fn patches_of_three_dimensions_and_refusals() {
        let mut b = Bench::new();
        let x = named(b.tensor(DType::F32, &[1, 1, 2, 2, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]));
        let w = named(b.tensor(DType::F32, &[1, 1, 2, 1, 2], &[1.0, 10.0, 100.0, 1000.0]));
        let y = named(b.empty(DType::F32, &[1, 1, 1, 2, 1]));
        let (ones, none) = ([1, 1, 1], [0, 0, 0]);
        let p = Convolution(&b.cx, &x, &w, None, &ones, &none, &ones, false, None, 1, &y, 0);
        b.run(p).unwrap();
        assert_close(&b.values(&y), &[6521.0, 8743.0], 0.0);
        let refused = Convolution(&b.cx, &x, &w, None, &ones, &none, &ones, false, None, 2, &y, 0);
        assert_eq!(refusal(refused), 161_002);
        let nd = Tensor { format: 2, ..x.clone() };
        let refused = Convolution(&b.cx, &nd, &w, None, &ones, &none, &ones, false, None, 1, &y, 0);
        assert_eq!(refusal(refused), 161_002);
        b.cx.chip = crate::chip::Chip::named("Ascend310P3").unwrap();
        let refused = Convolution(&b.cx, &x, &w, None, &ones, &none, &ones, false, None, 1, &y, 0);
        assert_eq!(refusal(refused), 161_002);
    }
}
