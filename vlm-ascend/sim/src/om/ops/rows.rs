//! What is computed of many elements at a time: softmax, norms, reductions.

use super::{axes, axis, float, int, operand};
use crate::om::proto::Node;
use crate::om::value::{Data, Value};

/// `Softmax` (opset 13 on).
pub(super) fn softmax(node: &Node, x: &[Option<&Value>]) -> Result<Value, String> {
    let x = operand(x, 0)?;
    let at = axis(int(node, "axis", -1), x.dims.len())?;
    let (size, inner) = (x.dims[at], x.dims[at + 1..].iter().product::<usize>());
    let mut values = x.as_floats("the operand")?.to_vec();
    for block in values.chunks_exact_mut((size * inner).max(1)) {
        for column in 0..inner {
            let places = || (0..size).map(|i| i * inner + column);
            let top = places().map(|p| block[p]).fold(f32::NEG_INFINITY, f32::max);
            let sum: f32 = places().map(|p| (block[p] - top).exp()).sum();
            for p in places() {
                block[p] = (block[p] - top).exp() / sum;
            }
        }
    }
    Ok(Value::floats(x.dtype, x.dims.clone(), values))
}

/// `LayerNormalization` (opset 17 on): over the dimensions from `axis` on.
pub(super) fn layer_normalization(node: &Node, all: &[Option<&Value>]) -> Result<Value, String> {
    let (x, scale) = (operand(all, 0)?, operand(all, 1)?);
    let at = axis(int(node, "axis", -1), x.dims.len())?;
    let width = x.dims[at..].iter().product::<usize>().max(1);
    let scale = scale.broadcast(&x.dims[at..])?;
    let bias = all.get(2).copied().flatten().map(|b| b.broadcast(&x.dims[at..])).transpose()?;
    let epsilon = f64::from(float(node, "epsilon", 1e-5));
    let mut values = x.as_floats("the operand")?.to_vec();
    for row in values.chunks_exact_mut(width) {
        let mean = row.iter().map(|&v| f64::from(v)).sum::<f64>() / width as f64;
        let variance = row.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / width as f64;
        let factor = (variance + epsilon).sqrt().recip();
        for (i, (v, s)) in row.iter_mut().zip(scale.as_floats("the scale")?).enumerate() {
            let shift = match &bias {
                Some(b) => b.as_floats("the bias")?[i],
                None => 0.0,
            };
            *v = ((f64::from(*v) - mean) * factor) as f32 * s + shift;
        }
    }
    Ok(Value::floats(x.dtype, x.dims.clone(), values))
}

/// `ReduceMean` and its fellows: `f` of the elements along the axes, of all without any.
pub(super) fn reduce(node: &Node, all: &[Option<&Value>], f: fn(&[f64]) -> f64) -> Result<Value, String> {
    let x = operand(all, 0)?;
    let rank = x.dims.len();
    let named = axes(node, all, 1)?.filter(|a| !a.is_empty());
    if named.is_none() && int(node, "noop_with_empty_axes", 0) != 0 {
        return Ok(x.clone());
    }
    let gone = match named {
        Some(a) => a.into_iter().map(|a| axis(a, rank)).collect::<Result<Vec<_>, _>>()?,
        None => (0..rank).collect(),
    };
    // The elements of each result side by side: the dimensions that stay first.
    let kept: Vec<usize> = (0..rank).filter(|d| !gone.contains(d)).collect();
    let view = x.view();
    let order: Vec<usize> = kept.iter().copied().chain((0..rank).filter(|d| gone.contains(d))).collect();
    let dims = order.iter().map(|&d| view.dims[d]).collect();
    let strides = order.iter().map(|&d| view.strides[d]).collect();
    let sorted = x.gather(&view.with_view(dims, strides, 0));
    let width = gone.iter().map(|&d| x.dims[d]).product::<usize>();
    if width == 0 {
        return Err(format!("{:?} has nothing to reduce", x.dims));
    }
    let numbers: Vec<f64> = match &sorted.data {
        Data::Float(v) => v.iter().map(|&v| f64::from(v)).collect(),
        Data::Int(v) => v.iter().map(|&v| v as f64).collect(),
    };
    let made = numbers.chunks_exact(width).map(f);
    let data = match &x.data {
        Data::Float(_) => Data::Float(made.map(|v| v as f32).collect()),
        Data::Int(_) => Data::Int(made.map(|v| v as i64).collect()),
    };
    let dims = if int(node, "keepdims", 1) != 0 {
        (0..rank).map(|d| if gone.contains(&d) { 1 } else { x.dims[d] }).collect()
    } else {
        kept.iter().map(|&d| x.dims[d]).collect()
    };
    Ok(Value { dtype: x.dtype, dims, data })
}
