//! What an execution is given: a list of buffers, which own no memory.

use super::shapes::Choice;
use super::{OP, dims};
use crate::error::check;
use crate::library::{Library, function};
use crate::runtime::pool::Block;
use crate::runtime::{Copy, Queue};
use std::ffi::c_void;
use std::sync::Arc;
use vlm_ascend_sys::{aclDataBuffer, aclmdlDataset, aclmdlIODims};
use vlm_core::{Dims, Error, ErrorKind, Result};

/// An `aclmdlDataset` with its buffers.
pub(super) struct Dataset {
    library: &'static Library,
    raw: *mut aclmdlDataset,
    buffers: Vec<*mut aclDataBuffer>,
}

/// Memory that the runtime allocated for an output, which goes back to it.
pub(super) struct Taken {
    queue: Arc<Queue>,
    address: *mut c_void,
}

impl Taken {
    /// Puts a copy on the stream.
    pub(super) fn copy_to(&self, to: &Block, bytes: usize) -> Result<()> {
        assert!(bytes <= to.bytes(), "the block is too small");
        // SAFETY: the runtime allocated at least as many bytes as the output has, and they are given back after the stream was waited
        // for.
        unsafe { self.queue.copy(to.address(), self.address, bytes, Copy::DeviceToDevice) }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        // A copy may be queued, and the call waits for none. A wait that failed is tried once more: unless the device is lost, the
        // copy is still to run.
        if let Err(e) = self.queue.synchronize().or_else(|_| self.queue.synchronize()) {
            tracing::warn!(error = %e, "an output's memory was given back after an error");
        }
        if let Some(free) = self.queue.library().functions().aclrtFree {
            // SAFETY: the runtime allocated it for us to free, which happens once, and nothing that is queued uses it.
            unsafe { free(self.address) };
        }
    }
}

#[cold]
fn null(library: &Library, what: &str) -> Error {
    let said = crate::error::recent(library.functions()).unwrap_or_default();
    Error::new(ErrorKind::Backend, OP, format!("{what} returned null {said}"))
}

impl Dataset {
    pub(super) fn new(library: &'static Library) -> Result<Self> {
        let create = function!(library, aclmdlCreateDataset)?;
        // SAFETY: the call takes nothing.
        let raw = unsafe { create() };
        if raw.is_null() {
            Err(null(library, "aclmdlCreateDataset"))
        } else {
            Ok(Dataset { library, raw, buffers: Vec::new() })
        }
    }

    pub(super) fn raw(&self) -> *mut aclmdlDataset {
        self.raw
    }

    /// Adds memory; null and 0 ask the runtime for it.
    pub(super) fn add(&mut self, address: *mut c_void, bytes: usize) -> Result<()> {
        let (create, add) =
            (function!(self.library, aclCreateDataBuffer)?, function!(self.library, aclmdlAddDatasetBuffer)?);
        // SAFETY: the address is only kept.
        let buffer = unsafe { create(address, bytes) };
        if buffer.is_null() {
            return Err(null(self.library, "aclCreateDataBuffer"));
        }
        self.buffers.push(buffer);
        // SAFETY: both are alive; the buffer outlives the dataset.
        check(self.library, OP, unsafe { add(self.raw, buffer) })
    }

    /// Says the shapes of inputs that are open.
    pub(super) fn describe(&mut self, shapes: &[Vec<i64>]) -> Result<()> {
        let (create, destroy) =
            (function!(self.library, aclCreateTensorDesc)?, function!(self.library, aclDestroyTensorDesc)?);
        let set = function!(self.library, aclmdlSetDatasetTensorDesc)?;
        for (i, shape) in shapes.iter().enumerate() {
            // The dimensions alone count: type 0 and format 2 (ND) are said for form's sake.
            // SAFETY: an array of as many numbers as are said, which the call copies.
            let desc = unsafe { create(0 as _, shape.len() as i32, shape.as_ptr(), 2 as _) };
            if desc.is_null() {
                return Err(null(self.library, "aclCreateTensorDesc"));
            }
            // SAFETY: both are alive; the dataset keeps a copy, so that the description can be destroyed at once.
            let code = unsafe {
                let code = set(self.raw, desc, i);
                destroy(desc);
                code
            };
            check(self.library, OP, code)?;
        }
        Ok(())
    }

    /// Chooses the gear of the next execution, whose memory is buffer `index`. It is written at once.
    pub(super) fn set_gear(&mut self, model: u32, index: usize, choice: &Choice) -> Result<()> {
        let library = self.library;
        let code = match choice {
            Choice::Batch(batch) => {
                let set = function!(library, aclmdlSetDynamicBatchSize)?;
                // SAFETY: the model is loaded and the dataset alive; what does not fit is answered with an error.
                unsafe { set(model, self.raw, index, *batch as u64) }
            }
            Choice::ImageSize(height, width) => {
                let set = function!(library, aclmdlSetDynamicHWSize)?;
                // SAFETY: as above.
                unsafe { set(model, self.raw, index, *height as u64, *width as u64) }
            }
            Choice::Dims(all) => {
                let set = function!(library, aclmdlSetInputDynamicDims)?;
                let mut sizes = Box::new(aclmdlIODims { name: [0; 128], dimCount: all.len(), dims: [0; 128] });
                sizes.dims.iter_mut().zip(all).for_each(|(to, &from)| *to = from as i64);
                // SAFETY: as above; the struct is only read.
                unsafe { set(model, self.raw, index, &raw const *sizes) }
            }
            Choice::Fixed | Choice::Open(_) => 0,
        };
        check(library, OP, code)
    }

    /// The shape of an output after an execution.
    pub(super) fn dims(&self, index: usize) -> Result<Dims> {
        let get = function!(self.library, aclmdlGetDatasetTensorDesc)?;
        let (rank, size) =
            (function!(self.library, aclGetTensorDescNumDims)?, function!(self.library, aclGetTensorDescDimV2)?);
        // SAFETY: the dataset is alive and keeps what it returns.
        let desc = unsafe { get(self.raw, index) };
        if desc.is_null() {
            return Err(null(self.library, "aclmdlGetDatasetTensorDesc"));
        }
        // SAFETY: as above.
        let rank = unsafe { rank(desc) };
        let mut all = Vec::new();
        for i in 0..rank {
            let mut found = 0;
            // SAFETY: as above; the place is ours.
            check(self.library, OP, unsafe { size(desc, i, &raw mut found) })?;
            all.push(found);
        }
        dims(&all)
    }

    /// Takes the memory that the runtime allocated for an output.
    pub(super) fn taken(&mut self, index: usize, queue: &Arc<Queue>) -> Result<Taken> {
        let (address, update) =
            (function!(self.library, aclGetDataBufferAddr)?, function!(self.library, aclUpdateDataBuffer)?);
        let buffer = self.buffers[index];
        // SAFETY: the buffer is alive.
        let address = unsafe { address(buffer) };
        if address.is_null() {
            return Err(null(self.library, "aclmdlExecute, as an output's memory,"));
        }
        let taken = Taken { queue: queue.clone(), address };
        // SAFETY: as above; from here on it has no memory, as the caller has it.
        check(self.library, OP, unsafe { update(buffer, std::ptr::null_mut(), 0) })?;
        Ok(taken)
    }
}

impl Drop for Dataset {
    fn drop(&mut self) {
        let f = self.library.functions();
        if let (Some(destroy_set), Some(destroy_buffer)) = (f.aclmdlDestroyDataset, f.aclDestroyDataBuffer) {
            // SAFETY: all were made by us and are destroyed once; neither owns the other or memory.
            unsafe {
                destroy_set(self.raw);
                self.buffers.iter().for_each(|&b| _ = destroy_buffer(b));
            }
        }
    }
}
