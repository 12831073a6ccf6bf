//! What models are given and give: buffers, lists of buffers, descriptions of tensors. None owns memory of the device.

use crate::objects::Object;
use crate::state::{Outcome, Sim, code, fail};
use std::ffi::CString;

/// An `aclDataBuffer`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Buffer {
    pub(crate) address: u64,
    pub(crate) size: usize,
}

/// An `aclTensorDesc`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Description {
    pub(crate) dtype: i32,
    pub(crate) format: i32,
    pub(crate) dims: Vec<i64>,
    pub(crate) name: CString,
    /// Whether a dataset has it, and destroys it.
    pub(crate) inner: bool,
}

/// An `aclmdlDataset`.
#[derive(Debug, Default)]
pub(crate) struct Dataset {
    pub(crate) buffers: Vec<u64>,
    /// Descriptions by the buffers' positions; 0 for none.
    pub(crate) descriptions: Vec<u64>,
    /// Whether a gear was set with it.
    pub(crate) gear: bool,
}

pub(crate) const BUFFERS: &str = "data buffers";
pub(crate) const DATASETS: &str = "datasets";
pub(crate) const DESCRIPTIONS: &str = "tensor descriptions";
/// Descriptions that belong to a dataset: no leak of their own.
const INNER: &str = "tensor descriptions of datasets";

impl Sim {
    /// Where a buffer is, and its bytes.
    pub(crate) fn data_buffer(&mut self, name: &str, handle: u64) -> Outcome<(u64, usize)> {
        if let Some(b) = self.objects.other::<Buffer>(handle) {
            return Ok((b.address, b.size));
        }
        self.violation(format!("{name} of a data buffer that was destroyed or never made"));
        fail(code::INVALID_PARAM, format!("{name}: no such data buffer"))
    }

    pub(crate) fn dataset(&mut self, name: &str, handle: u64) -> Outcome<&mut Dataset> {
        if self.objects.other::<Dataset>(handle).is_none() {
            self.violation(format!("{name} of a dataset that was destroyed or never made"));
            return fail(code::INVALID_PARAM, format!("{name}: no such dataset"));
        }
        Ok(self.objects.other_mut(handle).expect("it was just found"))
    }

    pub(crate) fn description(&mut self, name: &str, handle: u64) -> Outcome<&mut Description> {
        if self.objects.other::<Description>(handle).is_none() {
            self.violation(format!("{name} of a tensor description that was destroyed or never made"));
            return fail(code::INVALID_PARAM, format!("{name}: no such tensor description"));
        }
        Ok(self.objects.other_mut(handle).expect("it was just found"))
    }

    /// Gives a dataset's buffer a copy of this description, or takes the one away that it has.
    pub(crate) fn describe(&mut self, name: &str, set: u64, index: usize, made: Option<Description>) -> Outcome {
        let old = match self.dataset(name, set)?.descriptions.get_mut(index) {
            Some(place) => std::mem::take(place),
            None => return fail(code::INVALID_PARAM, format!("{name}: the dataset has no buffer {index}")),
        };
        match made {
            // The handle stays: callers may have asked for it.
            Some(d) if old != 0 => {
                *self.description(name, old)? = Description { inner: true, ..d };
                self.dataset(name, set)?.descriptions[index] = old;
            }
            Some(d) => {
                let d = Description { inner: true, ..d };
                let handle = self.objects.add(Object::Other(INNER, Box::new(d)));
                self.dataset(name, set)?.descriptions[index] = handle;
            }
            None => _ = self.objects.remove(old),
        }
        Ok(())
    }

    /// `aclmdlDestroyDataset`: the buffers stay, the descriptions go.
    pub(crate) fn destroy_dataset(&mut self, handle: u64) -> Outcome {
        let inner = self.dataset("aclmdlDestroyDataset", handle)?.descriptions.clone();
        inner.into_iter().filter(|&d| d != 0).for_each(|d| _ = self.objects.remove(d));
        self.objects.remove(handle);
        Ok(())
    }
}
