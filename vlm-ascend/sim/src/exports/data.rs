//! Data buffers, datasets and descriptions of tensors, for models.

use crate::abi::{Out, Ref, Text, Values, exports};
use crate::model::dataset::{BUFFERS, Buffer, DATASETS, DESCRIPTIONS, Dataset, Description};
use crate::objects::Object;
use crate::state::{Outcome, Sim, call, code, fail, make, with};
use crate::types::DType;
use std::ffi::{CString, c_char, c_void};
use vlm_ascend_sys::{aclDataBuffer, aclTensorDesc, aclmdlDataset};

/// What a call that cannot fail says of an object, or the default.
fn ask<T: Default>(f: impl FnOnce(&mut Sim) -> Outcome<T>) -> T {
    with(|sim| f(sim).unwrap_or_default())
}

fn elements(d: &Description) -> usize {
    d.dims.iter().map(|&d| d.max(0) as usize).product()
}

fn bytes_of(number: i32) -> usize {
    DType::from_acl(number).map_or(0, |d| d.bits() / 8)
}

exports! {
    fn aclCreateDataBuffer(address: *mut c_void, size: usize) -> *mut aclDataBuffer {
        make("aclCreateDataBuffer", |sim| {
            let buffer = Buffer { address: address as usize as u64, size };
            Ok(sim.objects.add(Object::Other(BUFFERS, Box::new(buffer))))
        })
    }

    fn aclDestroyDataBuffer(buffer: Ref) -> i32 {
        call("aclDestroyDataBuffer", |sim| {
            sim.data_buffer("aclDestroyDataBuffer", buffer.id())?;
            sim.objects.remove(buffer.id());
            Ok(())
        })
    }

    fn aclUpdateDataBuffer(buffer: Ref, address: *mut c_void, size: usize) -> i32 {
        call("aclUpdateDataBuffer", |sim| {
            sim.data_buffer("aclUpdateDataBuffer", buffer.id())?;
            if let Some(b) = sim.objects.other_mut::<Buffer>(buffer.id()) {
                *b = Buffer { address: address as usize as u64, size };
            }
            Ok(())
        })
    }

    fn aclGetDataBufferAddr(buffer: Ref) -> *mut c_void {
        ask(|sim| sim.data_buffer("aclGetDataBufferAddr", buffer.id())).0 as usize as *mut c_void
    }

    fn aclGetDataBufferSize(buffer: Ref) -> u32 {
        ask(|sim| sim.data_buffer("aclGetDataBufferSize", buffer.id())).1 as u32
    }

    fn aclGetDataBufferSizeV2(buffer: Ref) -> usize {
        ask(|sim| sim.data_buffer("aclGetDataBufferSizeV2", buffer.id())).1
    }

    fn aclmdlCreateDataset() -> *mut aclmdlDataset {
        make("aclmdlCreateDataset", |sim| Ok(sim.objects.add(Object::Other(DATASETS, Box::new(Dataset::default())))))
    }

    fn aclmdlDestroyDataset(set: Ref) -> i32 {
        call("aclmdlDestroyDataset", |sim| sim.destroy_dataset(set.id()))
    }

    fn aclmdlAddDatasetBuffer(set: Ref, buffer: Ref) -> i32 {
        call("aclmdlAddDatasetBuffer", |sim| {
            sim.data_buffer("aclmdlAddDatasetBuffer", buffer.id())?;
            let set = sim.dataset("aclmdlAddDatasetBuffer", set.id())?;
            set.buffers.push(buffer.id());
            set.descriptions.push(0);
            Ok(())
        })
    }

    fn aclmdlGetDatasetNumBuffers(set: Ref) -> usize {
        ask(|sim| Ok(sim.dataset("aclmdlGetDatasetNumBuffers", set.id())?.buffers.len()))
    }

    fn aclmdlGetDatasetBuffer(set: Ref, index: usize) -> *mut aclDataBuffer {
        let found = ask(|sim| Ok(sim.dataset("aclmdlGetDatasetBuffer", set.id())?.buffers.get(index).copied()));
        found.unwrap_or(0) as usize as *mut aclDataBuffer
    }

    fn aclmdlSetDatasetTensorDesc(set: Ref, desc: Ref, index: usize) -> i32 {
        let name = "aclmdlSetDatasetTensorDesc";
        call(name, |sim| {
            let made = if desc.id() == 0 { None } else { Some(sim.description(name, desc.id())?.clone()) };
            sim.describe(name, set.id(), index, made)
        })
    }

    /// The dataset keeps what it returns.
    fn aclmdlGetDatasetTensorDesc(set: Ref, index: usize) -> *mut aclTensorDesc {
        let found = ask(|sim| Ok(sim.dataset("aclmdlGetDatasetTensorDesc", set.id())?.descriptions.get(index).copied()));
        found.unwrap_or(0) as usize as *mut aclTensorDesc
    }

    fn aclDataTypeSize(dtype: i32) -> usize {
        bytes_of(dtype)
    }

    fn aclCreateTensorDesc(dtype: i32, rank: i32, dims: Values<i64>, format: i32) -> *mut aclTensorDesc {
        make("aclCreateTensorDesc", |sim| match u64::try_from(rank).ok().and_then(|n| dims.get(n)) {
            Some(dims) => {
                let made = Description { dtype, format, dims, ..Description::default() };
                Ok(sim.objects.add(Object::Other(DESCRIPTIONS, Box::new(made))))
            }
            None => fail(code::INVALID_PARAM, "aclCreateTensorDesc without dimensions"),
        })
    }

    fn aclDestroyTensorDesc(desc: Ref) {
        with(|sim| match sim.description("aclDestroyTensorDesc", desc.id()).map(|d| d.inner) {
            Ok(true) => sim.violation("aclDestroyTensorDesc of what a dataset has"),
            Ok(false) => _ = sim.objects.remove(desc.id()),
            Err(_) => {}
        });
    }

    fn aclGetTensorDescType(desc: Ref) -> i32 {
        with(|sim| sim.description("aclGetTensorDescType", desc.id()).map_or(-1, |d| d.dtype))
    }

    fn aclGetTensorDescFormat(desc: Ref) -> i32 {
        with(|sim| sim.description("aclGetTensorDescFormat", desc.id()).map_or(-1, |d| d.format))
    }

    fn aclGetTensorDescSize(desc: Ref) -> usize {
        ask(|sim| sim.description("aclGetTensorDescSize", desc.id()).map(|d| elements(d) * bytes_of(d.dtype)))
    }

    fn aclGetTensorDescElementCount(desc: Ref) -> usize {
        ask(|sim| Ok(elements(sim.description("aclGetTensorDescElementCount", desc.id())?)))
    }

    fn aclGetTensorDescNumDims(desc: Ref) -> usize {
        ask(|sim| Ok(sim.description("aclGetTensorDescNumDims", desc.id())?.dims.len()))
    }

    fn aclGetTensorDescDim(desc: Ref, index: usize) -> i64 {
        let found = with(|sim| sim.description("aclGetTensorDescDim", desc.id()).map(|d| d.dims.get(index).copied()));
        found.ok().flatten().unwrap_or(-1)
    }

    fn aclGetTensorDescDimV2(desc: Ref, index: usize, dim: Out<i64>) -> i32 {
        call("aclGetTensorDescDimV2", |sim| {
            match sim.description("aclGetTensorDescDimV2", desc.id())?.dims.get(index) {
                Some(&d) => dim.put(d),
                None => fail(code::INVALID_PARAM, format!("aclGetTensorDescDimV2: no dimension {index}")),
            }
        })
    }

    fn aclSetTensorDescName(desc: Ref, name: Text) {
        with(|sim| {
            if let Ok(d) = sim.description("aclSetTensorDescName", desc.id()) {
                d.name = CString::new(name.get().unwrap_or_default()).unwrap_or_default();
            }
        });
    }

    /// The text lives as long as the description keeps its name.
    fn aclGetTensorDescName(desc: Ref) -> *const c_char {
        with(|sim| sim.description("aclGetTensorDescName", desc.id()).map_or(std::ptr::null(), |d| d.name.as_ptr()))
    }

    fn aclSetTensorFormat(desc: Ref, format: i32) -> i32 {
        call("aclSetTensorFormat", |sim| {
            sim.description("aclSetTensorFormat", desc.id())?.format = format;
            Ok(())
        })
    }

    fn aclSetTensorShape(desc: Ref, rank: i32, dims: Values<i64>) -> i32 {
        call("aclSetTensorShape", |sim| match u64::try_from(rank).ok().and_then(|n| dims.get(n)) {
            Some(dims) => {
                sim.description("aclSetTensorShape", desc.id())?.dims = dims;
                Ok(())
            }
            None => fail(code::INVALID_PARAM, "aclSetTensorShape without dimensions"),
        })
    }

    fn aclSetTensorPlaceMent(desc: Ref, _where: i32) -> i32 {
        call("aclSetTensorPlaceMent", |sim| sim.description("aclSetTensorPlaceMent", desc.id()).map(|_| ()))
    }
}
