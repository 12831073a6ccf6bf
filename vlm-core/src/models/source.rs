//! Parameters from tensors at hand.

use crate::nn::{Init, ParameterSource};
use crate::{DType, Device, Error, ErrorKind, Result, Shape, Tensor};
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// Named tensors as a source of parameters: counts what was taken, so that what was not can be reported.
#[derive(Debug)]
pub struct TensorMap {
    tensors: BTreeMap<String, Tensor>,
    taken: Mutex<BTreeSet<String>>,
}

impl TensorMap {
    /// A source of these tensors.
    pub fn new(tensors: BTreeMap<String, Tensor>) -> Self {
        TensorMap { tensors, taken: Mutex::default() }
    }

    /// Names that no parameter asked for.
    pub fn unexpected(&self) -> Vec<String> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        self.tensors.keys().filter(|name| !taken.contains(*name)).cloned().collect()
    }
}

impl ParameterSource for TensorMap {
    fn get(&self, name: &str, shape: &Shape, _init: Init, dtype: DType, device: &Device) -> Result<Tensor> {
        const OP: &str = "load weights";
        let Some(found) = self.tensors.get(name) else {
            return Err(Error::new(ErrorKind::Format, OP, format!("there is no tensor called {name}"))
                .hint("check that the folder holds all shards and that config.json belongs to these weights"));
        };
        if found.shape() != shape {
            let message = format!("{name} has shape {}, expected {shape}", found.shape());
            return Err(Error::new(ErrorKind::Format, OP, message));
        }
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned());
        found.to_device(device)?.to_dtype(dtype)
    }

    fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }
}
