//! What the program writes: tensors that are wanted, and strings.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use vlm_core::{DType, Device, Tensor};

/// The results so far.
pub(crate) struct Output {
    wanted: BTreeMap<String, Vec<usize>>,
    tensors: BTreeMap<String, Tensor>,
    cases: serde_json::Map<String, Value>,
}

impl Output {
    pub(crate) fn new(wanted: BTreeMap<String, Vec<usize>>) -> Self {
        Output { wanted, tensors: BTreeMap::new(), cases: serde_json::Map::new() }
    }

    pub(crate) fn wants(&self, name: &str) -> bool {
        self.wanted.contains_key(name)
    }

    /// Keeps a tensor if its name is wanted. One that differs from what is wanted only by dimensions of size 1 or by how
    /// its leading dimensions are grouped gets the wanted shape.
    pub(crate) fn put(&mut self, name: &str, tensor: &Tensor) -> Result<()> {
        let Some(shape) = self.wanted.get(name) else { return Ok(()) };
        let count = shape.iter().product::<usize>();
        let tensor = tensor.detach().to_device(&Device::reference())?;
        let tensor = if tensor.count() == count && tensor.shape().as_ref() != shape.as_slice() {
            tensor.reshape(shape.as_slice())?
        } else {
            tensor
        };
        self.tensors.insert(name.to_owned(), tensor.contiguous()?);
        Ok(())
    }

    pub(crate) fn put_f32(&mut self, name: &str, values: &[f32], shape: &[usize]) -> Result<()> {
        if !self.wants(name) {
            return Ok(());
        }
        self.put(name, &Tensor::from_slice(values, shape, &Device::reference())?)
    }

    pub(crate) fn put_i64(&mut self, name: &str, values: &[i64], shape: &[usize]) -> Result<()> {
        if !self.wants(name) {
            return Ok(());
        }
        self.put(name, &Tensor::from_slice(values, shape, &Device::reference())?)
    }

    pub(crate) fn put_u8(&mut self, name: &str, values: &[u8], shape: &[usize]) -> Result<()> {
        if !self.wants(name) {
            return Ok(());
        }
        self.put(name, &Tensor::from_slice(values, shape, &Device::reference())?)
    }

    /// `[b][s]` as a tensor.
    pub(crate) fn put_rows(&mut self, name: &str, rows: &[Vec<i64>]) -> Result<()> {
        let flat: Vec<i64> = rows.iter().flatten().copied().collect();
        self.put_i64(name, &flat, &[rows.len(), rows.first().map_or(0, Vec::len)])
    }

    pub(crate) fn put_text(&mut self, case: &str, field: &str, texts: &[String]) {
        let entry = self.cases.entry(case.to_owned()).or_insert_with(|| json!({}));
        entry[field] = json!(texts);
    }

    pub(crate) fn save(&self, dir: &Path) -> Result<()> {
        std::fs::create_dir_all(dir).with_context(|| format!("{}", dir.display()))?;
        let kept = |t: &Tensor| {
            if matches!(t.dtype(), DType::BF16 | DType::F16) { t.to_dtype(DType::F32) } else { Ok(t.clone()) }
        };
        let tensors: Vec<(String, Tensor)> =
            self.tensors.iter().map(|(n, t)| Ok((n.clone(), kept(t)?))).collect::<vlm_core::Result<_>>()?;
        vlm_core::weights::save_tensors(&dir.join("actual.safetensors"), &tensors, &BTreeMap::new())?;
        let strings = json!({"cases": self.cases});
        let path = dir.join("actual.json");
        std::fs::write(&path, format!("{strings:#}\n")).with_context(|| format!("{}", path.display()))
    }
}
