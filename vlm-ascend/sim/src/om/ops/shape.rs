//! What moves elements, or computes with shapes.

use super::{axes, axis, int, ints, operand};
use crate::om::proto::Node;
use crate::om::value::{Data, Value, from_onnx};
use crate::types::{DType, broadcast_dims};

pub(super) fn cast(node: &Node, x: &[Option<&Value>]) -> Result<Value, String> {
    let x = operand(x, 0)?;
    let to = from_onnx(int(node, "to", 0) as i32)?;
    let data = match (&x.data, to.is_float()) {
        (Data::Float(v), true) => Data::Float(v.iter().map(|&v| to.round(f64::from(v)) as f32).collect()),
        (Data::Float(v), false) if to == DType::Bool => Data::Int(v.iter().map(|&v| i64::from(v != 0.0)).collect()),
        (Data::Float(v), false) => Data::Int(v.iter().map(|&v| v as i64).collect()),
        (Data::Int(v), true) => Data::Float(v.iter().map(|&v| to.round(v as f64) as f32).collect()),
        (Data::Int(v), false) if to == DType::Bool => Data::Int(v.iter().map(|&v| i64::from(v != 0)).collect()),
        (Data::Int(v), false) => Data::Int(v.clone()),
    };
    // Integers wrap as their bytes do.
    let made = Value { dtype: to, dims: x.dims.clone(), data };
    Value::decode(to, made.dims.clone(), &made.encode())
}

pub(super) fn concat(node: &Node, all: &[Option<&Value>]) -> Result<Value, String> {
    let first = operand(all, 0)?;
    let at = axis(int(node, "axis", 0), first.dims.len())?;
    let mut dims = first.dims.clone();
    dims[at] = 0;
    let mut parts = Vec::new();
    for i in 0..all.len() {
        let part = operand(all, i)?;
        let fits = part.dims.len() == dims.len() && (0..dims.len()).all(|d| d == at || part.dims[d] == dims[d]);
        if !fits || part.dtype != first.dtype {
            return Err(format!("{:?} and {:?} cannot be joined along {at}", first.dims, part.dims));
        }
        dims[at] += part.dims[at];
        parts.push(part);
    }
    let outer = dims[..at].iter().product::<usize>();
    let inner = dims[at + 1..].iter().product::<usize>();
    let mut out = Value::zeros(first.dtype, dims)?;
    let mut floats = Vec::new();
    let mut whole = Vec::new();
    for o in 0..outer {
        for part in &parts {
            let range = o * part.dims[at] * inner..(o + 1) * part.dims[at] * inner;
            match &part.data {
                Data::Float(v) => floats.extend_from_slice(&v[range]),
                Data::Int(v) => whole.extend_from_slice(&v[range]),
            }
        }
    }
    out.data = if first.dtype.is_float() { Data::Float(floats) } else { Data::Int(whole) };
    Ok(out)
}

pub(super) fn constant(node: &Node) -> Result<Value, String> {
    let a = node.attribute.first().ok_or("it has no value")?;
    match (a.name.as_str(), &a.t, a.f, a.i) {
        ("value", Some(t), ..) => Value::of(t),
        ("value_float", _, Some(f), _) => Ok(Value::floats(DType::F32, vec![], vec![f])),
        ("value_int", _, _, Some(i)) => Ok(Value::ints(DType::I64, vec![], vec![i])),
        ("value_ints", ..) => Ok(Value::ints(DType::I64, vec![a.ints.len()], a.ints.clone())),
        (other, ..) => Err(format!("a constant by {other} is not simulated")),
    }
}

/// Sizes as an operand has them.
fn sizes(v: &Value) -> Result<Vec<usize>, String> {
    let all = v.as_ints("the shape")?;
    all.iter().map(|&d| usize::try_from(d).map_err(|_| format!("the shape {all:?}"))).collect()
}

pub(super) fn constant_of_shape(node: &Node, x: &[Option<&Value>]) -> Result<Value, String> {
    let dims = sizes(operand(x, 0)?)?;
    let value = match node.attribute.iter().find(|a| a.name == "value").and_then(|a| a.t.as_ref()) {
        Some(t) => Value::of(t)?,
        None => Value::floats(DType::F32, vec![1], vec![0.0]),
    };
    value.reshaped(vec![1])?.broadcast(&dims)
}

pub(super) fn expand(x: &[Option<&Value>]) -> Result<Value, String> {
    let (x, to) = (operand(x, 0)?, sizes(operand(x, 1)?)?);
    let dims = broadcast_dims(&[&x.dims, &to]).ok_or_else(|| format!("{:?} does not expand to {to:?}", x.dims))?;
    x.broadcast(&dims)
}

pub(super) fn flatten(node: &Node, x: &[Option<&Value>]) -> Result<Value, String> {
    let x = operand(x, 0)?;
    let rank = x.dims.len();
    let at = int(node, "axis", 1);
    let at = if at == rank as i64 { rank } else { axis(at, rank)? };
    x.reshaped(vec![x.dims[..at].iter().product(), x.dims[at..].iter().product()])
}

pub(super) fn gather(node: &Node, x: &[Option<&Value>]) -> Result<Value, String> {
    let (x, indices) = (operand(x, 0)?, operand(x, 1)?);
    let at = axis(int(node, "axis", 0), x.dims.len())?;
    let (size, inner) = (x.dims[at], x.dims[at + 1..].iter().product::<usize>());
    let outer = x.dims[..at].iter().product::<usize>();
    let mut places = Vec::new();
    for o in 0..outer {
        for &i in indices.as_ints("the indices")? {
            let from = axis(i, size).map_err(|_| format!("index {i} is not in 0..{size}"))?;
            places.extend((0..inner).map(|k| (o * size + from) * inner + k));
        }
    }
    let dims = [&x.dims[..at], &indices.dims, &x.dims[at + 1..]].concat();
    let data = match &x.data {
        Data::Float(v) => Data::Float(places.iter().map(|&p| v[p]).collect()),
        Data::Int(v) => Data::Int(places.iter().map(|&p| v[p]).collect()),
    };
    Ok(Value { dtype: x.dtype, dims, data })
}

/// `Reshape`: 0 keeps a dimension, -1 is what is left.
pub(super) fn reshape(node: &Node, x: &[Option<&Value>]) -> Result<Value, String> {
    let (x, to) = (operand(x, 0)?, operand(x, 1)?.as_ints("the shape")?);
    let keeps = int(node, "allowzero", 0) == 0;
    let mut dims = Vec::with_capacity(to.len());
    let mut open = None;
    for (i, &d) in to.iter().enumerate() {
        dims.push(match d {
            0 if keeps => *x.dims.get(i).ok_or_else(|| format!("there is no dimension {i} to keep"))?,
            -1 if open.is_none() => {
                open = Some(i);
                1
            }
            _ => usize::try_from(d).map_err(|_| format!("the shape {to:?}"))?,
        });
    }
    if let Some(i) = open {
        let rest = dims.iter().product::<usize>();
        dims[i] = x.len().checked_div(rest).unwrap_or(0);
    }
    x.reshaped(dims)
}

pub(super) fn shape(node: &Node, x: &[Option<&Value>]) -> Result<Value, String> {
    let rank = operand(x, 0)?.dims.len() as i64;
    let at = |name: &str, default: i64| {
        let i = int(node, name, default);
        (if i < 0 { i + rank } else { i }).clamp(0, rank) as usize
    };
    let (start, end) = (at("start", 0), at("end", rank));
    let dims: Vec<i64> = operand(x, 0)?.dims[start..end.max(start)].iter().map(|&d| d as i64).collect();
    Ok(Value::ints(DType::I64, vec![dims.len()], dims))
}

pub(super) fn slice(all: &[Option<&Value>]) -> Result<Value, String> {
    let x = operand(all, 0)?;
    let list = |i: usize, what| all.get(i).copied().flatten().map(|v| v.as_ints(what)).transpose();
    let starts = operand(all, 1)?.as_ints("the starts")?;
    let ends = operand(all, 2)?.as_ints("the ends")?;
    let axes = list(3, "the axes")?.map_or_else(|| (0..starts.len() as i64).collect(), <[i64]>::to_vec);
    let steps = list(4, "the steps")?.map_or_else(|| vec![1; starts.len()], <[i64]>::to_vec);
    if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] {
        return Err("starts, ends, axes and steps are of different lengths".to_owned());
    }
    let mut view = x.view();
    for (((&start, &end), &a), &step) in starts.iter().zip(ends).zip(&axes).zip(&steps) {
        let at = axis(a, x.dims.len())?;
        let size = x.dims[at] as i64;
        let clamp = |i: i64| (if i < 0 { i.saturating_add(size) } else { i }).clamp(0, size);
        let (from, to) = (clamp(start), clamp(end));
        let Some(step) = usize::try_from(step).ok().filter(|&s| s > 0) else {
            return Err(format!("a step of {step} is not simulated"));
        };
        view.offset += from as usize * view.strides[at];
        view.dims[at] = ((to - from).max(0) as usize).div_ceil(step);
        view.strides[at] *= step;
    }
    Ok(x.gather(&view))
}

pub(super) fn squeeze(node: &Node, all: &[Option<&Value>]) -> Result<Value, String> {
    let x = operand(all, 0)?;
    let gone = match axes(node, all, 1)? {
        Some(a) => a.into_iter().map(|a| axis(a, x.dims.len())).collect::<Result<Vec<_>, _>>()?,
        None => (0..x.dims.len()).filter(|&d| x.dims[d] == 1).collect(),
    };
    x.reshaped((0..x.dims.len()).filter(|d| !gone.contains(d)).map(|d| x.dims[d]).collect())
}

pub(super) fn tile(x: &[Option<&Value>]) -> Result<Value, String> {
    let (x, times) = (operand(x, 0)?, sizes(operand(x, 1)?)?);
    if times.len() != x.dims.len() {
        return Err(format!("{times:?} repeats of {:?}", x.dims));
    }
    // Each dimension behind one that repeats it.
    let apart = x.dims.iter().flat_map(|&d| [1, d]).collect();
    let repeated: Vec<usize> = times.iter().zip(&x.dims).flat_map(|(&n, &d)| [n, d]).collect();
    let whole = times.iter().zip(&x.dims).map(|(n, d)| n * d).collect();
    x.reshaped(apart)?.broadcast(&repeated)?.reshaped(whole)
}

pub(super) fn transpose(node: &Node, x: &[Option<&Value>]) -> Result<Value, String> {
    let x = operand(x, 0)?;
    let rank = x.dims.len();
    let order = match ints(node, "perm") {
        Some(p) => p.into_iter().map(|d| axis(d, rank)).collect::<Result<Vec<_>, _>>()?,
        None => (0..rank).rev().collect(),
    };
    let mut sorted = order.clone();
    sorted.sort_unstable();
    if sorted != (0..rank).collect::<Vec<_>>() {
        return Err(format!("{order:?} is no order of {rank} dimensions"));
    }
    let view = x.view();
    let dims = order.iter().map(|&d| view.dims[d]).collect();
    let strides = order.iter().map(|&d| view.strides[d]).collect();
    Ok(x.gather(&view.with_view(dims, strides, 0)))
}

pub(super) fn unsqueeze(node: &Node, all: &[Option<&Value>]) -> Result<Value, String> {
    let x = operand(all, 0)?;
    let new = axes(node, all, 1)?.ok_or("no axes are named")?;
    let rank = x.dims.len() + new.len();
    let new = new.into_iter().map(|a| axis(a, rank)).collect::<Result<Vec<_>, _>>()?;
    let mut old = x.dims.iter();
    let dims = (0..rank).map(|d| if new.contains(&d) { 1 } else { *old.next().unwrap_or(&1) }).collect();
    x.reshaped(dims)
}
