//! The operators of ONNX that are simulated: <https://onnx.ai/onnx/operators/>, as opsets 11 to 18 have them.

mod math;
mod product;
mod rows;
mod shape;

use super::proto::Node;
use super::value::Value;

/// Computes an operator's output.
pub(super) type Operator = fn(&Node, &[Option<&Value>]) -> Result<Value, String>;

/// The operator of that name.
pub(super) fn find(name: &str) -> Option<Operator> {
    Some(match name {
        "Add" => |_, x| math::arithmetic(x, "Add"),
        "Sub" => |_, x| math::arithmetic(x, "Sub"),
        "Mul" => |_, x| math::arithmetic(x, "Mul"),
        "Div" => |_, x| math::arithmetic(x, "Div"),
        "Pow" => |_, x| math::arithmetic(x, "Pow"),
        "Mod" => |_, x| math::arithmetic(x, "Mod"),
        "Equal" => |_, x| math::compare(x, |a, b| a == b),
        "Less" => |_, x| math::compare(x, |a, b| a < b),
        "Greater" => |_, x| math::compare(x, |a, b| a > b),
        "Where" => |_, x| math::choose(x),
        "Abs" => |_, x| math::unary(x, f32::abs),
        "Cos" => |_, x| math::unary(x, f32::cos),
        "Erf" => |_, x| math::unary(x, |v| crate::ops::erf(f64::from(v)) as f32),
        "Exp" => |_, x| math::unary(x, f32::exp),
        "Neg" => |_, x| math::unary(x, |v| -v),
        "Reciprocal" => |_, x| math::unary(x, |v| 1.0 / v),
        "Relu" => |_, x| math::unary(x, |v| v.max(0.0)),
        "Sigmoid" => |_, x| math::unary(x, |v| 1.0 / (1.0 + (-v).exp())),
        "Sin" => |_, x| math::unary(x, f32::sin),
        "Sqrt" => |_, x| math::unary(x, f32::sqrt),
        "Tanh" => |_, x| math::unary(x, f32::tanh),
        "MatMul" => |_, x| product::matmul(x),
        "Gemm" => product::gemm,
        "Conv" => product::conv,
        "Softmax" => rows::softmax,
        "LayerNormalization" => rows::layer_normalization,
        "ReduceMean" => |n, x| rows::reduce(n, x, |r| r.iter().sum::<f64>() / r.len() as f64),
        "ReduceSum" => |n, x| rows::reduce(n, x, |r| r.iter().sum()),
        "ReduceMax" => |n, x| rows::reduce(n, x, |r| r.iter().copied().fold(f64::NEG_INFINITY, f64::max)),
        "ReduceL2" => |n, x| rows::reduce(n, x, |r| r.iter().map(|v| v * v).sum::<f64>().sqrt()),
        "Cast" => shape::cast,
        "Concat" => shape::concat,
        "Constant" => |n, _| shape::constant(n),
        "ConstantOfShape" => shape::constant_of_shape,
        "Expand" => |_, x| shape::expand(x),
        "Flatten" => shape::flatten,
        "Gather" => shape::gather,
        "Identity" => |_, x| Ok(operand(x, 0)?.clone()),
        "Reshape" => shape::reshape,
        "Shape" => shape::shape,
        "Slice" => |_, x| shape::slice(x),
        "Squeeze" => shape::squeeze,
        "Tile" => |_, x| shape::tile(x),
        "Transpose" => shape::transpose,
        "Unsqueeze" => shape::unsqueeze,
        _ => return None,
    })
}

fn operand<'a>(all: &[Option<&'a Value>], i: usize) -> Result<&'a Value, String> {
    all.get(i).copied().flatten().ok_or_else(|| format!("operand {i} is missing"))
}

fn int(node: &Node, name: &str, default: i64) -> i64 {
    node.attribute.iter().find(|a| a.name == name).and_then(|a| a.i).unwrap_or(default)
}

fn float(node: &Node, name: &str, default: f32) -> f32 {
    node.attribute.iter().find(|a| a.name == name).and_then(|a| a.f).unwrap_or(default)
}

fn ints(node: &Node, name: &str) -> Option<Vec<i64>> {
    node.attribute.iter().find(|a| a.name == name).map(|a| a.ints.clone())
}

/// A dimension that may count from the end.
fn axis(axis: i64, rank: usize) -> Result<usize, String> {
    let from = if axis < 0 { axis + rank as i64 } else { axis };
    usize::try_from(from).ok().filter(|&a| a < rank).ok_or_else(|| format!("there is no axis {axis} of {rank}"))
}

/// Axes as an attribute (older opsets) or as an operand (newer ones); `None` where neither names any.
fn axes(node: &Node, all: &[Option<&Value>], at: usize) -> Result<Option<Vec<i64>>, String> {
    if let Some(axes) = ints(node, "axes") {
        return Ok(Some(axes));
    }
    all.get(at).copied().flatten().map(|v| v.as_ints("the axes").map(<[i64]>::to_vec)).transpose()
}
