//! What a loaded model says of itself.

use super::{Gears, OP, OmDim, OmPort, dims};
use crate::aclnn::acl_type;
use crate::error::check;
use crate::library::{Library, function};
use std::ffi::{CStr, c_char};
use vlm_ascend_sys::{
    ACL_DYNAMIC_AIPP_NAME, ACL_DYNAMIC_TENSOR_NAME, aclmdlBatch, aclmdlDesc, aclmdlHW, aclmdlIODims, aclmdlIODimsRange,
};
use vlm_core::{DType, Dims, Error, ErrorKind, Result};

/// An `aclmdlDesc`.
pub(super) struct Description {
    library: &'static Library,
    raw: *mut aclmdlDesc,
}

// SAFETY: a description is data on the host that the interface's functions read from any thread.
unsafe impl Send for Description {}
// SAFETY: as above; nothing changes it after it was filled.
unsafe impl Sync for Description {}

/// What was read.
pub(super) struct Read {
    pub(super) inputs: Vec<OmPort>,
    pub(super) outputs: Vec<OmPort>,
    pub(super) gears: Gears,
    /// The size of the hidden input that takes the gear.
    pub(super) gear_bytes: Option<usize>,
}

/// The functions that say the same of inputs and of outputs.
struct Side {
    name: unsafe extern "C" fn(*const aclmdlDesc, usize) -> *const c_char,
    dtype: unsafe extern "C" fn(*const aclmdlDesc, usize) -> vlm_ascend_sys::aclDataType,
    dims: unsafe extern "C" fn(*const aclmdlDesc, usize, *mut aclmdlIODims) -> vlm_ascend_sys::aclError,
}

fn no_dims() -> Box<aclmdlIODims> {
    Box::new(aclmdlIODims { name: [0; 128], dimCount: 0, dims: [0; 128] })
}

impl Description {
    /// None yet.
    pub(super) fn none(library: &'static Library) -> Self {
        Description { library, raw: std::ptr::null_mut() }
    }

    /// That of a loaded model.
    pub(super) fn of(library: &'static Library, id: u32) -> Result<Self> {
        let (create, fill) = (function!(library, aclmdlCreateDesc)?, function!(library, aclmdlGetDesc)?);
        // SAFETY: the call takes nothing.
        let raw = unsafe { create() };
        if raw.is_null() {
            let said = crate::error::recent(library.functions()).unwrap_or_default();
            return Err(Error::new(ErrorKind::Backend, OP, format!("aclmdlCreateDesc returned null {said}")));
        }
        let made = Description { library, raw };
        // SAFETY: the description was just made; a wrong number is answered with an error.
        check(library, OP, unsafe { fill(raw, id) })?;
        Ok(made)
    }

    fn port(&self, side: &Side, index: usize) -> Result<(OmPort, Vec<i64>)> {
        // SAFETY: the description is filled and the index is one of its; the text lives as long as the description and is copied.
        let (name, dtype) = unsafe {
            let name = (side.name)(self.raw, index);
            let name = if name.is_null() { c"" } else { CStr::from_ptr(name) };
            (name.to_string_lossy().into_owned(), (side.dtype)(self.raw, index))
        };
        let mut sizes = no_dims();
        // SAFETY: as above; the place is ours.
        check(self.library, OP, unsafe { (side.dims)(self.raw, index, &raw mut *sizes) })?;
        let known = [DType::F32, DType::F16, DType::BF16, DType::I32, DType::I64, DType::U8, DType::Bool, DType::F64];
        let Some(found) = known.into_iter().find(|&d| acl_type(d) == dtype) else {
            let message = format!("{name:?} has AscendCL's element type {dtype}, which tensors do not have");
            return Err(Error::new(ErrorKind::Unsupported, OP, message)
                .hint("convert the model with --input_fp16_nodes or --output_type, or have it cast inside"));
        };
        let sizes = sizes.dims[..sizes.dimCount.min(128)].to_vec();
        Ok((OmPort { name, dtype: found, dims: Vec::new() }, sizes))
    }

    /// The ranges of an input's sizes, where they are open and this CANN says them.
    fn ranges(&self, index: usize) -> Result<Option<Vec<OmDim>>> {
        let Some(ask) = self.library.functions().aclmdlGetInputDimsRange else { return Ok(None) };
        let mut found = Box::new(aclmdlIODimsRange { rangeCount: 0, range: [[0; 2]; 128] });
        // SAFETY: the description is filled; the place is ours.
        check(self.library, OP, unsafe { ask(self.raw, index, &raw mut *found) })?;
        let all = found.range[..found.rangeCount.min(128)].iter().map(|&[least, most]| match usize::try_from(most) {
            Ok(most) if least == most as i64 => OmDim::Fixed(most),
            most => OmDim::Range { least: least.max(1) as usize, most: most.ok() },
        });
        Ok((found.rangeCount > 0).then(|| all.collect()))
    }

    fn gears(&self) -> Result<Gears> {
        let mut batches = Box::new(aclmdlBatch { batchCount: 0, batch: [0; 128] });
        let ask = function!(self.library, aclmdlGetDynamicBatch)?;
        // SAFETY: the description is filled; the place is ours.
        check(self.library, OP, unsafe { ask(self.raw, &raw mut *batches) })?;
        if batches.batchCount > 0 {
            let all = batches.batch[..batches.batchCount.min(128)].iter();
            return Ok(Gears::Batch(all.map(|&b| b as usize).collect()));
        }
        let mut sizes = Box::new(aclmdlHW { hwCount: 0, hw: [[0; 2]; 128] });
        let ask = function!(self.library, aclmdlGetDynamicHW)?;
        // SAFETY: as above; the index is reserved and to be -1.
        check(self.library, OP, unsafe { ask(self.raw, usize::MAX, &raw mut *sizes) })?;
        if sizes.hwCount > 0 {
            let all = sizes.hw[..sizes.hwCount.min(128)].iter();
            return Ok(Gears::ImageSize(all.map(|&[h, w]| (h as usize, w as usize)).collect()));
        }
        let mut count = 0;
        let ask = function!(self.library, aclmdlGetInputDynamicGearCount)?;
        // SAFETY: as above.
        check(self.library, OP, unsafe { ask(self.raw, usize::MAX, &raw mut count) })?;
        if count == 0 {
            return Ok(Gears::None);
        }
        let ask = function!(self.library, aclmdlGetInputDynamicDims)?;
        let mut all: Vec<aclmdlIODims> = (0..count).map(|_| *no_dims()).collect();
        // SAFETY: as above; there are as many places as are said.
        check(self.library, OP, unsafe { ask(self.raw, usize::MAX, all.as_mut_ptr(), count) })?;
        let row = |d: &aclmdlIODims| d.dims[..d.dimCount.min(128)].iter().map(|&d| d as usize).collect();
        Ok(Gears::Dims(all.iter().map(row).collect()))
    }

    /// Everything.
    pub(super) fn read(&self) -> Result<Read> {
        let library = self.library;
        let (count_inputs, count_outputs) =
            (function!(library, aclmdlGetNumInputs)?, function!(library, aclmdlGetNumOutputs)?);
        // SAFETY: the description is filled.
        let (n_inputs, n_outputs) = unsafe { (count_inputs(self.raw), count_outputs(self.raw)) };
        let side = Side {
            name: function!(library, aclmdlGetInputNameByIndex)?,
            dtype: function!(library, aclmdlGetInputDataType)?,
            dims: function!(library, aclmdlGetInputDims)?,
        };
        let gears = self.gears()?;
        let mut read = Read { inputs: Vec::new(), outputs: Vec::new(), gears, gear_bytes: None };
        for i in 0..n_inputs {
            let (mut port, sizes) = self.port(&side, i)?;
            if port.name.as_bytes() == ACL_DYNAMIC_TENSOR_NAME.to_bytes() {
                let size = function!(library, aclmdlGetInputSizeByIndex)?;
                // SAFETY: the description is filled, and the index is one of its.
                read.gear_bytes = Some(unsafe { size(self.raw, i) });
                continue;
            }
            if port.name.as_bytes() == ACL_DYNAMIC_AIPP_NAME.to_bytes() {
                return Err(Error::new(ErrorKind::Unsupported, OP, "the model takes AIPP's settings while it runs")
                    .hint(
                        "convert it without --insert_op_conf, or with static AIPP, and normalise pictures on the host",
                    ));
            }
            let geared = read.gears != Gears::None;
            let ranges = if geared { None } else { self.ranges(i)? };
            port.dims = ranges.unwrap_or_else(|| sizes.iter().map(|&d| size_of(d, geared)).collect());
            read.inputs.push(port);
        }
        if read.gears != Gears::None && read.gear_bytes.is_none() {
            let name = ACL_DYNAMIC_TENSOR_NAME.to_string_lossy();
            return Err(Error::new(ErrorKind::Format, OP, format!("the model has gears and no input {name}")));
        }
        let side = Side {
            name: function!(library, aclmdlGetOutputNameByIndex)?,
            dtype: function!(library, aclmdlGetOutputDataType)?,
            dims: function!(library, aclmdlGetOutputDims)?,
        };
        for i in 0..n_outputs {
            let (mut port, sizes) = self.port(&side, i)?;
            // The largest shape is told where there are gears.
            port.dims = sizes.iter().map(|&d| size_of(d, false)).collect();
            read.outputs.push(port);
        }
        Ok(read)
    }

    /// An output's shape in the gear that was set, or its only one.
    pub(super) fn current_dims(&self, index: usize) -> Result<Dims> {
        let ask = function!(self.library, aclmdlGetCurOutputDims)?;
        let mut sizes = no_dims();
        // SAFETY: the description is filled; the place is ours.
        check(self.library, OP, unsafe { ask(self.raw, index, &raw mut *sizes) })?;
        dims(&sizes.dims[..sizes.dimCount.min(128)])
    }

    /// Bytes that an output's buffer is to have.
    pub(super) fn output_size(&self, index: usize) -> Result<usize> {
        let ask = function!(self.library, aclmdlGetOutputSizeByIndex)?;
        // SAFETY: the description is filled.
        Ok(unsafe { ask(self.raw, index) })
    }
}

fn size_of(size: i64, geared: bool) -> OmDim {
    match usize::try_from(size) {
        Ok(n) => OmDim::Fixed(n),
        Err(_) if geared => OmDim::Gear,
        Err(_) => OmDim::Range { least: 1, most: None },
    }
}

impl Drop for Description {
    fn drop(&mut self) {
        if let (false, Some(destroy)) = (self.raw.is_null(), self.library.functions().aclmdlDestroyDesc) {
            // SAFETY: it was made by `aclmdlCreateDesc` and is destroyed once.
            unsafe { destroy(self.raw) };
        }
    }
}
