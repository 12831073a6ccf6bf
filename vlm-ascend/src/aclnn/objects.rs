//! The interface's objects that describe arguments, destroyed together.

use super::operand::{Number, Operand, acl_type};
use crate::library::{Library, function};
use std::ffi::c_void;
use vlm_ascend_sys::{aclBoolArray, aclIntArray, aclScalar, aclTensor, aclTensorList};
use vlm_core::{Error, ErrorKind, Result};

/// One object.
#[derive(Clone, Copy, Debug)]
enum Object {
    Tensor(*const aclTensor),
    Scalar(*const aclScalar),
    Ints(*const aclIntArray),
    Bools(*const aclBoolArray),
    /// With its members.
    Tensors(*const aclTensorList),
}

/// All objects of a call.
pub(super) struct Objects {
    library: &'static Library,
    made: Vec<Object>,
}

// SAFETY: the objects are data on the host that the interface's functions take from any thread, one at a time.
unsafe impl Send for Objects {}

/// The format of a tensor without a meaning of its dimensions.
const ND: i32 = 2;

#[cold]
fn failed(library: &Library, what: &'static str) -> Error {
    let said = crate::error::recent(library.functions()).unwrap_or_else(|| "it returned null".to_owned());
    Error::new(ErrorKind::Backend, what, said)
}

impl Objects {
    pub(super) fn new(library: &'static Library) -> Self {
        Objects { library, made: Vec::with_capacity(8) }
    }

    fn describe(&self, o: &Operand) -> Result<*mut aclTensor> {
        let create = function!(self.library, aclCreateTensor)?;
        // SAFETY: dimensions and strides are arrays of `rank` numbers and the storage's is one of 1, which the call copies; the address
        // is only kept.
        let made = unsafe {
            create(
                o.dims.as_ptr(),
                o.rank as u64,
                acl_type(o.dtype),
                o.strides.as_ptr(),
                o.offset,
                ND as _,
                &raw const o.storage,
                1,
                o.address as *mut c_void,
            )
        };
        if made.is_null() { Err(failed(self.library, "aclCreateTensor")) } else { Ok(made) }
    }

    pub(super) fn tensor(&mut self, o: &Operand) -> Result<*mut aclTensor> {
        let made = self.describe(o)?;
        self.made.push(Object::Tensor(made));
        Ok(made)
    }

    pub(super) fn optional(&mut self, o: Option<&Operand>) -> Result<*mut aclTensor> {
        o.map_or(Ok(std::ptr::null_mut()), |o| self.tensor(o))
    }

    pub(super) fn tensors(&mut self, all: &[Operand]) -> Result<*mut aclTensorList> {
        let create = function!(self.library, aclCreateTensorList)?;
        let first = self.made.len();
        let mut members = Vec::with_capacity(all.len());
        for o in all {
            members.push(self.tensor(o)?.cast_const());
        }
        // SAFETY: the members are tensors, and the call copies the array.
        let list = unsafe { create(members.as_ptr(), members.len() as u64) };
        if list.is_null() {
            return Err(failed(self.library, "aclCreateTensorList"));
        }
        // Destroying the list destroys its members.
        self.made.truncate(first);
        self.made.push(Object::Tensors(list));
        Ok(list)
    }

    pub(super) fn scalar(&mut self, n: Number) -> Result<*mut aclScalar> {
        let create = function!(self.library, aclCreateScalar)?;
        // SAFETY: the value has the type that is named, and the call copies it.
        let made = unsafe {
            match n {
                Number::F32(mut v) => create((&raw mut v).cast(), 0 as _),
                Number::I64(mut v) => create((&raw mut v).cast(), 9 as _),
            }
        };
        if made.is_null() {
            return Err(failed(self.library, "aclCreateScalar"));
        }
        self.made.push(Object::Scalar(made));
        Ok(made)
    }

    pub(super) fn ints(&mut self, values: &[i64]) -> Result<*mut aclIntArray> {
        let create = function!(self.library, aclCreateIntArray)?;
        // SAFETY: the call copies the numbers.
        let made = unsafe { create(values.as_ptr(), values.len() as u64) };
        if made.is_null() {
            return Err(failed(self.library, "aclCreateIntArray"));
        }
        self.made.push(Object::Ints(made));
        Ok(made)
    }

    pub(super) fn bools(&mut self, values: &[bool]) -> Result<*mut aclBoolArray> {
        let create = function!(self.library, aclCreateBoolArray)?;
        // SAFETY: the call copies the values.
        let made = unsafe { create(values.as_ptr(), values.len() as u64) };
        if made.is_null() {
            return Err(failed(self.library, "aclCreateBoolArray"));
        }
        self.made.push(Object::Bools(made));
        Ok(made)
    }

    /// The tensors that were made, in order.
    pub(super) fn tensors_made(&self) -> Vec<*mut aclTensor> {
        let of = |o: &Object| if let Object::Tensor(t) = o { Some(t.cast_mut()) } else { None };
        self.made.iter().filter_map(of).collect()
    }
}

impl Drop for Objects {
    fn drop(&mut self) {
        let f = self.library.functions();
        for object in self.made.drain(..).rev() {
            // SAFETY: each was made by its create function, is destroyed once, and no executor that is not yet run uses it: calls
            // destroy their objects after the second phase.
            unsafe {
                match object {
                    Object::Tensor(t) => f.aclDestroyTensor.map(|d| d(t)),
                    Object::Scalar(s) => f.aclDestroyScalar.map(|d| d(s)),
                    Object::Ints(a) => f.aclDestroyIntArray.map(|d| d(a)),
                    Object::Bools(a) => f.aclDestroyBoolArray.map(|d| d(a)),
                    Object::Tensors(l) => f.aclDestroyTensorList.map(|d| d(l)),
                }
            };
        }
    }
}
