//! A model's operators in order, and how they are run.

use super::ops::{self, Operator};
use super::proto;
use super::value::{Value, from_onnx};
use crate::types::DType;
use prost::Message;
use std::collections::HashMap;
use std::ops::Range;

/// An input or output of a model, as the ONNX file has it: -1 where a dimension is open.
#[derive(Clone, Debug)]
pub(crate) struct Port {
    pub(crate) name: String,
    pub(crate) dtype: DType,
    pub(crate) dims: Vec<i64>,
}

#[derive(Clone, Debug)]
struct Weight {
    name: String,
    dtype: DType,
    dims: Vec<usize>,
    range: Range<usize>,
}

/// The types that floats are computed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Precision {
    /// Those of the model.
    Origin,
    /// `f16`, whatever the model has.
    F16,
}

/// A model that can be run.
pub(crate) struct Graph {
    nodes: Vec<(proto::Node, Operator)>,
    weights: Vec<Weight>,
    pub(crate) inputs: Vec<Port>,
    pub(crate) outputs: Vec<Port>,
}

fn port(info: &proto::ValueInfo) -> Result<Port, String> {
    let tensor = info.r#type.as_ref().and_then(|t| t.tensor_type.as_ref());
    let tensor = tensor.ok_or_else(|| format!("{:?} is no tensor", info.name))?;
    let dims = tensor.shape.iter().flat_map(|s| &s.dim).map(|d| d.dim_value.filter(|&v| v > 0).unwrap_or(-1)).collect();
    Ok(Port { name: info.name.clone(), dtype: from_onnx(tensor.elem_type)?, dims })
}

impl Graph {
    /// Reads an ONNX file; its weights come as bytes, to be put on the device.
    pub(crate) fn read(onnx: &[u8]) -> Result<(Graph, Vec<u8>), String> {
        let model = proto::Model::decode(onnx).map_err(|e| format!("it is no ONNX model: {e}"))?;
        let opset = model.opset_import.iter().find(|o| o.domain.is_empty()).map_or(0, |o| o.version);
        let graph = model.graph.ok_or("it is no ONNX model: it has no graph")?;
        if !(11..=18).contains(&opset) {
            return Err(format!("the model's operators are of opset {opset}; 11 to 18 are converted"));
        }
        let (mut weights, mut bytes) = (Vec::new(), Vec::new());
        for t in &graph.initializer {
            let value = Value::of(t)?;
            let start = bytes.len();
            bytes.extend(value.encode());
            weights.push(Weight {
                name: t.name.clone(),
                dtype: value.dtype,
                dims: value.dims,
                range: start..bytes.len(),
            });
            // Each begins where any type may.
            bytes.resize(bytes.len().next_multiple_of(8), 0);
        }
        let is_weight = |name: &str| weights.iter().any(|w| w.name == name);
        let inputs = graph.input.iter().filter(|i| !is_weight(&i.name)).map(port).collect::<Result<_, _>>()?;
        let outputs = graph.output.iter().map(port).collect::<Result<_, _>>()?;
        let nodes = graph.node.into_iter().map(|n| match ops::find(&n.op_type) {
            Some(op) if n.output.iter().filter(|o| !o.is_empty()).count() == 1 => Ok((n, op)),
            Some(_) => Err(format!("{} ({}) with several outputs is not simulated", n.op_type, n.name)),
            None => Err(format!("no operator {} is known here ({:?})", n.op_type, n.name)),
        });
        let nodes = nodes.collect::<Result<_, _>>()?;
        Ok((Graph { nodes, weights, inputs, outputs }, bytes))
    }

    /// Computes the outputs; also how many bytes the intermediate tensors had.
    pub(crate) fn run(
        &self,
        weights: &[u8],
        inputs: Vec<Value>,
        precision: Precision,
    ) -> Result<(Vec<Value>, usize), String> {
        let rounded = |v: Value| if precision == Precision::F16 { v.halved() } else { v };
        let mut known: HashMap<&str, Value> = HashMap::new();
        for w in &self.weights {
            let bytes = weights.get(w.range.clone()).ok_or("the weights are cut off")?;
            known.insert(&w.name, rounded(Value::decode(w.dtype, w.dims.clone(), bytes)?));
        }
        for (port, value) in self.inputs.iter().zip(inputs) {
            known.insert(&port.name, rounded(value));
        }
        let mut work = 0;
        for (node, op) in &self.nodes {
            let at = |e: String| format!("{} ({}): {e}", node.op_type, node.name);
            let operands = node.input.iter().map(|name| match name.as_str() {
                "" => Ok(None),
                name => known.get(name).map(Some).ok_or_else(|| at(format!("there is no {name:?}"))),
            });
            let operands = operands.collect::<Result<Vec<_>, _>>()?;
            let made = rounded(op(node, &operands).map_err(at)?);
            work += made.bytes();
            known.insert(node.output.first().map_or("", String::as_str), made);
        }
        let outputs = self.outputs.iter().map(|port| {
            let made = known.get(port.name.as_str()).ok_or_else(|| format!("nothing computes {:?}", port.name))?;
            if made.dtype != port.dtype {
                return Err(format!("{:?} is {:?}, declared as {:?}", port.name, made.dtype, port.dtype));
            }
            Ok(made.clone())
        });
        Ok((outputs.collect::<Result<_, _>>()?, work))
    }
}
