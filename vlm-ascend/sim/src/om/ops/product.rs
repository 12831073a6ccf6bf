//! Matrix products and convolutions.

use super::{float, int, ints, operand};
use crate::om::proto::Node;
use crate::om::value::Value;
use crate::types::broadcast_dims;

/// `c += a b` of row-major matrices.
fn multiply(a: &[f32], b: &[f32], c: &mut [f32], k: usize, n: usize) {
    if n == 0 || k == 0 {
        return;
    }
    for (row, out) in a.chunks_exact(k).zip(c.chunks_exact_mut(n)) {
        for (&x, other) in row.iter().zip(b.chunks_exact(n)) {
            for (o, &y) in out.iter_mut().zip(other) {
                *o += x * y;
            }
        }
    }
}

/// `MatMul`, as NumPy's `matmul`.
pub(super) fn matmul(x: &[Option<&Value>]) -> Result<Value, String> {
    let (a, b) = (operand(x, 0)?, operand(x, 1)?);
    // A vector is a row on the left and a column on the right, which the result has not.
    let left = if a.dims.len() == 1 { a.reshaped(vec![1, a.dims[0]])? } else { a.clone() };
    let right = if b.dims.len() == 1 { b.reshaped(vec![b.dims[0], 1])? } else { b.clone() };
    let misfit = || format!("{:?} and {:?} have no product", a.dims, b.dims);
    let ([lead_a @ .., m, k], [lead_b @ .., k_b, n]) = (&left.dims[..], &right.dims[..]) else {
        return Err(misfit());
    };
    let lead = broadcast_dims(&[lead_a, lead_b]).filter(|_| k == k_b).ok_or_else(misfit)?;
    let whole = |rows: usize, cols: usize| [&lead[..], &[rows, cols]].concat();
    let (left, right) = (left.broadcast(&whole(*m, *k))?, right.broadcast(&whole(*k, *n))?);
    let mut out = vec![0.0; lead.iter().product::<usize>() * m * n];
    let (p, q) = (left.as_floats("the left operand")?, right.as_floats("the right operand")?);
    if !out.is_empty() && *k > 0 {
        for ((p, q), o) in p.chunks_exact(m * k).zip(q.chunks_exact(k * n)).zip(out.chunks_exact_mut(m * n)) {
            multiply(p, q, o, *k, *n);
        }
    }
    let mut dims = lead.clone();
    if a.dims.len() > 1 {
        dims.push(*m);
    }
    if b.dims.len() > 1 {
        dims.push(*n);
    }
    Ok(Value::floats(a.dtype, dims, out))
}

/// `Gemm`: `alpha a b + beta c`, either operand transposed.
pub(super) fn gemm(node: &Node, x: &[Option<&Value>]) -> Result<Value, String> {
    let turned = |v: &Value, on: i64| match v.dims[..] {
        [_, _] if on == 0 => Ok(v.clone()),
        [rows, cols] => {
            let view = v.view();
            Ok(v.gather(&view.with_view(vec![cols, rows], vec![1, cols.max(1)], 0)))
        }
        _ => Err(format!("{:?} is no matrix", v.dims)),
    };
    let a = turned(operand(x, 0)?, int(node, "transA", 0))?;
    let b = turned(operand(x, 1)?, int(node, "transB", 0))?;
    let mut out = matmul(&[Some(&a), Some(&b)])?;
    let (alpha, beta) = (float(node, "alpha", 1.0), float(node, "beta", 1.0));
    let mut values: Vec<f32> = out.as_floats("the product")?.iter().map(|v| v * alpha).collect();
    if let Some(c) = x.get(2).copied().flatten() {
        let c = c.broadcast(&out.dims)?;
        values.iter_mut().zip(c.as_floats("the bias")?).for_each(|(v, c)| *v += beta * c);
    }
    out.data = crate::om::value::Data::Float(values);
    Ok(out)
}

/// `Conv` of two spatial dimensions.
pub(super) fn conv(node: &Node, x: &[Option<&Value>]) -> Result<Value, String> {
    let (input, weight) = (operand(x, 0)?, operand(x, 1)?);
    let ([n, c, h, w], [o, c_group, kh, kw]) = (&input.dims[..], &weight.dims[..]) else {
        return Err(format!("{:?} and {:?}: only two spatial dimensions are simulated", input.dims, weight.dims));
    };
    let (n, c, h, w, o, c_group, kh, kw) = (*n, *c, *h, *w, *o, *c_group, *kh, *kw);
    let two = |name: &str, default: i64| -> Result<[usize; 2], String> {
        let found = ints(node, name).unwrap_or_else(|| vec![default; 2]);
        let two = <[i64; 2]>::try_from(found)
            .ok()
            .and_then(|t| Some([usize::try_from(t[0]).ok()?, usize::try_from(t[1]).ok()?]));
        two.filter(|t| !t.contains(&0)).ok_or_else(|| format!("{name} is no pair of sizes"))
    };
    let (stride, dilation) = (two("strides", 1)?, two("dilations", 1)?);
    let pads = ints(node, "pads").unwrap_or_else(|| vec![0; 4]);
    let pads: [i64; 4] = pads.try_into().map_err(|_| "pads are no four numbers".to_owned())?;
    let groups = int(node, "group", 1) as usize;
    if groups == 0 || c != c_group * groups || !o.is_multiple_of(groups) || pads.iter().any(|&p| p < 0) {
        return Err(format!("{c} channels in {groups} groups and a kernel of {:?}", weight.dims));
    }
    let padded = [h + (pads[0] + pads[2]) as usize, w + (pads[1] + pads[3]) as usize];
    let reach = [(kh - 1) * dilation[0] + 1, (kw - 1) * dilation[1] + 1];
    if padded[0] < reach[0] || padded[1] < reach[1] {
        return Err(format!("a kernel of {reach:?} on {padded:?}"));
    }
    let (oh, ow) = ((padded[0] - reach[0]) / stride[0] + 1, (padded[1] - reach[1]) / stride[1] + 1);
    let (values, kernel) = (input.as_floats("the input")?, weight.as_floats("the kernel")?);
    let bias = x.get(2).copied().flatten().map(|b| b.as_floats("the bias")).transpose()?;
    let mut out = vec![0.0; n * o * oh * ow];
    for (at, out) in out.iter_mut().enumerate() {
        let (i, channel, y, x) = (at / (o * oh * ow), at / (oh * ow) % o, at / ow % oh, at % ow);
        let first = channel / (o / groups) * c_group;
        let mut sum = bias.map_or(0.0, |b| b[channel]);
        for k in 0..c_group {
            for ky in 0..kh {
                let Some(row) = (y * stride[0] + ky * dilation[0]).checked_sub(pads[0] as usize).filter(|&r| r < h)
                else {
                    continue;
                };
                for kx in 0..kw {
                    let col = (x * stride[1] + kx * dilation[1]).checked_sub(pads[1] as usize).filter(|&c| c < w);
                    let Some(col) = col else { continue };
                    let weight = kernel[((channel * c_group + k) * kh + ky) * kw + kx];
                    sum += values[((i * c + first + k) * h + row) * w + col] * weight;
                }
            }
        }
        *out = sum;
    }
    Ok(Value::floats(input.dtype, vec![n, o, oh, ow], out))
}
