//! Models compiled ahead of time, in a format of the simulator's own: no vendor's OM file is read or written.
//!
//! A file is the line `VLM ASCEND SIMULATOR OM 1`, a line of JSON (the [`Header`]), and the ONNX model that it was made of, byte by
//! byte. The simulator's `atc` writes it and its `aclmdl*` functions run it, operator by operator on the CPU.

pub(crate) mod atc;
pub(crate) mod graph;
mod ops;
pub(crate) mod options;
mod proto;
#[cfg(test)]
mod tests;
pub(crate) mod value;

use crate::types::DType;
use graph::{Graph, Precision};
use serde::{Deserialize, Serialize};

/// How the file begins.
const MAGIC: &[u8] = b"VLM ASCEND SIMULATOR OM 1\n";

/// An input or output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Port {
    pub(crate) name: String,
    /// `aclDataType`.
    pub(crate) dtype: i32,
    /// The least and the largest size of every dimension; -1 for no limit.
    pub(crate) dims: Vec<(i64, i64)>,
}

impl Port {
    pub(crate) fn element_type(&self) -> DType {
        DType::from_acl(self.dtype).unwrap_or(DType::F32)
    }

    /// The dimensions, if none is open.
    pub(crate) fn fixed(&self) -> Option<Vec<usize>> {
        self.dims.iter().map(|&(lo, hi)| (lo == hi).then_some(lo as usize)).collect()
    }
}

/// What the gears of a model choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum GearKind {
    Batch,
    ImageSize,
    Dims,
}

/// The sizes that a model was compiled for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Gears {
    pub(crate) kind: GearKind,
    /// The open dimensions' values of each.
    pub(crate) values: Vec<Vec<u64>>,
    /// The shapes of all inputs, by gear.
    pub(crate) inputs: Vec<Vec<Vec<usize>>>,
    /// The shapes of all outputs, by gear.
    pub(crate) outputs: Vec<Vec<Vec<usize>>>,
}

/// What is known of a model before it is run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Header {
    /// The chip that it was compiled for.
    pub(crate) soc: String,
    pub(crate) half: bool,
    pub(crate) inputs: Vec<Port>,
    pub(crate) outputs: Vec<Port>,
    pub(crate) gears: Option<Gears>,
    /// Bytes of intermediate tensors of the largest shapes; 0 where shapes are open.
    pub(crate) work: usize,
}

impl Header {
    pub(crate) fn precision(&self) -> Precision {
        if self.half { Precision::F16 } else { Precision::Origin }
    }

    /// Whether the shapes of inputs are only known when the model is run.
    pub(crate) fn is_open(&self) -> bool {
        self.gears.is_none() && self.inputs.iter().any(|p| p.fixed().is_none())
    }
}

/// A compiled model.
pub(crate) struct Om {
    pub(crate) header: Header,
    pub(crate) graph: Graph,
    pub(crate) weights: Vec<u8>,
}

impl Om {
    pub(crate) fn read(bytes: &[u8]) -> Result<Om, String> {
        let rest = bytes.strip_prefix(MAGIC).ok_or("it is no model of the simulator's atc")?;
        let end = rest.iter().position(|&b| b == b'\n').ok_or("it is cut off")?;
        let header = serde_json::from_slice(&rest[..end]).map_err(|e| format!("its header is damaged: {e}"))?;
        let (graph, weights) = Graph::read(&rest[end + 1..])?;
        Ok(Om { header, graph, weights })
    }
}

/// The bytes of a file.
pub(crate) fn write(header: &Header, onnx: &[u8]) -> Result<Vec<u8>, String> {
    let text = serde_json::to_vec(header).map_err(|e| e.to_string())?;
    Ok([MAGIC, &text, b"\n", onnx].concat())
}
