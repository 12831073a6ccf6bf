//! Which tensors of a folder do not fit its configuration: all of them, not the first alone.

use super::{EitherName, LISTED, stored_name};
use crate::models::auto;
use crate::nn::{Builder, Init, ParameterSource};
use crate::weights::WeightFiles;
use crate::{DType, Device, Error, ErrorKind, Result, Shape, Tensor};
use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError};

/// The error of a model that could not be built, with all that is missing or of another shape where it is about a tensor.
pub(super) fn explain(e: Error, files: &Arc<WeightFiles>, config: &Value, dtype: DType, device: &Device) -> Error {
    if e.kind() != ErrorKind::Format {
        return e;
    }
    let found = Arc::new(Mutex::new(Found::default()));
    // Built once more of zeros that take no memory, to hear every name and shape.
    let _ = auto::build(&Builder::new(Probe { files: files.clone(), found: found.clone() }, dtype, device), config);
    let Found { missing, shapes, asked } = std::mem::take(&mut *found.lock().unwrap_or_else(PoisonError::into_inner));
    let unused = files.coverage(asked.iter().map(String::as_str)).unexpected;
    let parts: Vec<String> = [
        ("tensors are missing", &missing),
        ("tensors have another shape", &shapes),
        ("tensors of the file are not asked for", &unused),
    ]
    .into_iter()
    .filter(|(_, names)| !names.is_empty())
    .map(|(what, names)| {
        let more = if names.len() > LISTED { format!(" and {} more", names.len() - LISTED) } else { String::new() };
        format!("{} {what}: {}{more}", names.len(), names[..names.len().min(LISTED)].join(", "))
    })
    .collect();
    if missing.is_empty() && shapes.is_empty() {
        return e;
    }
    Error::new(
        ErrorKind::Format,
        "load weights",
        format!("config.json and the weights do not fit: {}", parts.join("; ")),
    )
    .hint("take both from the same place; config.json may be of another model")
    .with_source(e)
}

#[derive(Default)]
struct Found {
    missing: Vec<String>,
    shapes: Vec<String>,
    /// The names asked for, as they are stored.
    asked: Vec<String>,
}

/// Answers every question with zeros and notes what the files would have said.
struct Probe {
    files: Arc<WeightFiles>,
    found: Arc<Mutex<Found>>,
}

impl ParameterSource for Probe {
    fn get(&self, name: &str, shape: &Shape, _init: Init, dtype: DType, device: &Device) -> Result<Tensor> {
        let stored = stored_name(&self.files, name);
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        match self.files.info(&stored) {
            None => found.missing.push(stored.clone()),
            Some(info) if info.shape != *shape => {
                found.shapes.push(format!("{stored} (expected {shape}, found {})", info.shape));
            }
            Some(_) => {}
        }
        found.asked.push(stored);
        Tensor::scalar(0.0f32, device)?.to_dtype(dtype)?.broadcast_to(*shape)
    }

    fn contains(&self, name: &str) -> bool {
        EitherName(self.files.clone()).contains(name)
    }
}
