//! Tensors, scalars, arrays and executors.

use crate::abi::{Out, Ref, Values, exports};
use crate::executor::set_address;
use crate::objects::{Object, TensorObject};
use crate::state::{Outcome, Sim, call, code, fail, make};
use crate::types::{DType, Scalar, Tensor, contiguous_strides};
use half::{bf16, f16};
use std::ffi::c_void;
use vlm_ascend_sys::{aclBoolArray, aclFloatArray, aclIntArray, aclScalar, aclScalarList, aclTensor, aclTensorList};

/// What `aclCreateTensor` was called with.
struct Description {
    dims: Option<Vec<i64>>,
    dtype: i32,
    strides: Option<Vec<i64>>,
    offset: i64,
    format: i32,
    storage_dims: Option<Vec<i64>>,
    address: u64,
}

impl Description {
    fn build(self, sim: &mut Sim) -> Outcome<TensorObject> {
        let refuse = |sim: &mut Sim, text: String| {
            sim.violation(format!("aclCreateTensor: {text}"));
            fail(code::INVALID_PARAM, format!("aclCreateTensor: {text}"))
        };
        let Some(dtype) = DType::from_acl(self.dtype) else {
            return refuse(sim, format!("no element type {}", self.dtype));
        };
        let (Some(dims), Some(storage_dims)) = (self.dims, self.storage_dims) else {
            return refuse(sim, "dimensions are null".to_owned());
        };
        // Of a view without elements nobody looks at the storage.
        let empty = dims.contains(&0);
        if dims.iter().any(|&d| d < 0) || (!empty && storage_dims.iter().any(|&d| d < 0)) || self.offset < 0 {
            return refuse(sim, format!("negative numbers: {dims:?}, {storage_dims:?}, offset {}", self.offset));
        }
        let dims: Vec<usize> = dims.into_iter().map(|d| d as usize).collect();
        let strides = match self.strides {
            Some(s) if s.iter().any(|&s| s < 0) => return refuse(sim, format!("negative strides: {s:?}")),
            Some(s) => s.into_iter().map(|s| s as usize).collect(),
            None => contiguous_strides(&dims),
        };
        let storage = storage_dims.iter().product::<i64>().max(0) as usize;
        let tensor =
            Tensor { dtype, dims, strides, offset: self.offset as usize, format: self.format, storage, slot: 0 };
        if !tensor.is_empty() && tensor.end() > storage && !sim.config.strict {
            // The devices do not look: what counts there is the memory.
            sim.report.beyond_storage += 1;
        } else if !tensor.is_empty() && tensor.end() > storage {
            let text = format!(
                "a view of {:?} with strides {:?} and offset {} reaches element {} of a storage of {storage}",
                tensor.dims,
                tensor.strides,
                tensor.offset,
                tensor.end() - 1
            );
            return refuse(sim, text);
        }
        if !self.address.is_multiple_of(32) {
            sim.report.unaligned += 1;
        }
        Ok(TensorObject { tensor, storage_dims, address: self.address })
    }
}

impl Sim {
    fn tensor_object(&mut self, name: &str, handle: u64) -> Outcome<&mut TensorObject> {
        if !matches!(self.objects.get(handle), Some(Object::Tensor(_))) {
            self.violation(format!("{name} of a tensor that was destroyed or never made"));
        }
        match self.objects.get_mut(handle) {
            Some(Object::Tensor(t)) => Ok(t),
            _ => fail(code::INVALID_PARAM, format!("{name}: no such tensor")),
        }
    }

    /// Destroys an object if it is of the kind that `is` wants. Destroying null is allowed.
    fn destroy(&mut self, name: &str, handle: u64, is: fn(&Object) -> bool) -> Outcome<Option<Object>> {
        if handle == 0 {
            return Ok(None);
        }
        if !self.objects.get(handle).is_some_and(is) {
            self.violation(format!("{name} of something that was destroyed or never made"));
            return fail(code::INVALID_PARAM, format!("{name}: no such object"));
        }
        Ok(self.objects.remove(handle))
    }
}

fn scalar(dtype: DType, bytes: &[u8]) -> Option<Scalar> {
    fn from<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
        bytes.get(..N)?.try_into().ok()
    }
    Some(match dtype {
        DType::F32 => Scalar::float(dtype, f64::from(f32::from_ne_bytes(from(bytes)?))),
        DType::F64 => Scalar::float(dtype, f64::from_ne_bytes(from(bytes)?)),
        DType::F16 => Scalar::float(dtype, f16::from_ne_bytes(from(bytes)?).to_f64()),
        DType::BF16 => Scalar::float(dtype, bf16::from_ne_bytes(from(bytes)?).to_f64()),
        DType::I8 => Scalar::int(dtype, i64::from(i8::from_ne_bytes(from(bytes)?))),
        DType::I16 => Scalar::int(dtype, i64::from(i16::from_ne_bytes(from(bytes)?))),
        DType::I32 => Scalar::int(dtype, i64::from(i32::from_ne_bytes(from(bytes)?))),
        DType::I64 => Scalar::int(dtype, i64::from_ne_bytes(from(bytes)?)),
        DType::U8 => Scalar::int(dtype, i64::from(u8::from_ne_bytes(from(bytes)?))),
        DType::U16 => Scalar::int(dtype, i64::from(u16::from_ne_bytes(from(bytes)?))),
        DType::U32 => Scalar::int(dtype, i64::from(u32::from_ne_bytes(from(bytes)?))),
        DType::U64 => Scalar::int(dtype, u64::from_ne_bytes(from(bytes)?) as i64),
        DType::Bool => Scalar::int(dtype, i64::from(from::<1>(bytes)?[0] != 0)),
        DType::I4 => return None,
    })
}

/// Memory for an array that the caller frees with `delete[]`: from the C++ allocator's side that is `malloc`.
fn array_for_caller(values: &[i64]) -> *mut i64 {
    // SAFETY: the size is not 0; the memory is written before it is handed out.
    unsafe {
        let place = libc::malloc(values.len().max(1) * 8).cast::<i64>();
        if !place.is_null() {
            std::ptr::copy_nonoverlapping(values.as_ptr(), place, values.len());
        }
        place
    }
}

fn pack(values: &[usize]) -> Vec<i64> {
    values.iter().map(|&v| v as i64).collect()
}

exports! {
    fn aclCreateTensor(
        dims: Values<i64>,
        rank: u64,
        dtype: i32,
        strides: Values<i64>,
        offset: i64,
        format: i32,
        storage_dims: Values<i64>,
        storage_rank: u64,
        address: *mut c_void,
    ) -> *mut aclTensor {
        make("aclCreateTensor", |sim| {
            let description = Description {
                dims: dims.get(rank),
                dtype,
                strides: if strides.is_null() { None } else { strides.get(rank) },
                offset,
                format,
                storage_dims: storage_dims.get(storage_rank),
                address: address as usize as u64,
            };
            let object = description.build(sim)?;
            Ok(sim.objects.add(Object::Tensor(object)))
        })
    }

    fn aclInitTensor(
        tensor: Ref,
        dims: Values<i64>,
        rank: u64,
        dtype: i32,
        strides: Values<i64>,
        offset: i64,
        format: i32,
        storage_dims: Values<i64>,
        storage_rank: u64,
        address: *mut c_void,
    ) -> i32 {
        call("aclInitTensor", |sim| {
            let description = Description {
                dims: dims.get(rank),
                dtype,
                strides: if strides.is_null() { None } else { strides.get(rank) },
                offset,
                format,
                storage_dims: storage_dims.get(storage_rank),
                address: address as usize as u64,
            };
            let object = description.build(sim)?;
            *sim.tensor_object("aclInitTensor", tensor.id())? = object;
            Ok(())
        })
    }

    fn aclDestroyTensor(tensor: Ref) -> i32 {
        call("aclDestroyTensor", |sim| {
            sim.destroy("aclDestroyTensor", tensor.id(), |o| matches!(o, Object::Tensor(_))).map(|_| ())
        })
    }

    fn aclGetViewShape(tensor: Ref, dims: Out<*mut i64>, rank: Out<u64>) -> i32 {
        call("aclGetViewShape", |sim| {
            let values = pack(&sim.tensor_object("aclGetViewShape", tensor.id())?.tensor.dims);
            rank.put(values.len() as u64)?;
            dims.put(array_for_caller(&values))
        })
    }

    fn aclGetViewStrides(tensor: Ref, strides: Out<*mut i64>, rank: Out<u64>) -> i32 {
        call("aclGetViewStrides", |sim| {
            let values = pack(&sim.tensor_object("aclGetViewStrides", tensor.id())?.tensor.strides);
            rank.put(values.len() as u64)?;
            strides.put(array_for_caller(&values))
        })
    }

    fn aclGetStorageShape(tensor: Ref, dims: Out<*mut i64>, rank: Out<u64>) -> i32 {
        call("aclGetStorageShape", |sim| {
            let values = sim.tensor_object("aclGetStorageShape", tensor.id())?.storage_dims.clone();
            rank.put(values.len() as u64)?;
            dims.put(array_for_caller(&values))
        })
    }

    fn aclGetViewOffset(tensor: Ref, offset: Out<i64>) -> i32 {
        call("aclGetViewOffset", |sim| {
            let found = sim.tensor_object("aclGetViewOffset", tensor.id())?.tensor.offset;
            offset.put(found as i64)
        })
    }

    fn aclGetFormat(tensor: Ref, format: Out<i32>) -> i32 {
        call("aclGetFormat", |sim| {
            let found = sim.tensor_object("aclGetFormat", tensor.id())?.tensor.format;
            format.put(found)
        })
    }

    fn aclGetDataType(tensor: Ref, dtype: Out<i32>) -> i32 {
        call("aclGetDataType", |sim| {
            let found = sim.tensor_object("aclGetDataType", tensor.id())?.tensor.dtype;
            dtype.put(found.to_acl())
        })
    }

    fn aclGetRawTensorAddr(tensor: Ref, address: Out<*mut c_void>) -> i32 {
        call("aclGetRawTensorAddr", |sim| {
            let found = sim.tensor_object("aclGetRawTensorAddr", tensor.id())?.address;
            address.put_handle(found)
        })
    }

    fn aclSetRawTensorAddr(tensor: Ref, address: *mut c_void) -> i32 {
        call("aclSetRawTensorAddr", |sim| {
            sim.tensor_object("aclSetRawTensorAddr", tensor.id())?.address = address as usize as u64;
            Ok(())
        })
    }

    fn aclCreateScalar(value: Values<u8>, dtype: i32) -> *mut aclScalar {
        make("aclCreateScalar", |sim| {
            let found = DType::from_acl(dtype);
            let bytes = found.and_then(|d| value.get(d.bits() as u64 / 8));
            match found.zip(bytes).and_then(|(d, b)| scalar(d, &b)) {
                Some(s) => Ok(sim.objects.add(Object::Scalar(s))),
                None => fail(code::INVALID_PARAM, format!("aclCreateScalar of type {dtype}")),
            }
        })
    }

    fn aclDestroyScalar(scalar: Ref) -> i32 {
        call("aclDestroyScalar", |sim| {
            sim.destroy("aclDestroyScalar", scalar.id(), |o| matches!(o, Object::Scalar(_))).map(|_| ())
        })
    }

    fn aclCreateIntArray(values: Values<i64>, n: u64) -> *mut aclIntArray {
        make("aclCreateIntArray", |sim| match values.get(n) {
            Some(v) => Ok(sim.objects.add(Object::Ints(v))),
            None => fail(code::INVALID_PARAM, "aclCreateIntArray of null"),
        })
    }

    fn aclDestroyIntArray(array: Ref) -> i32 {
        call("aclDestroyIntArray", |sim| {
            sim.destroy("aclDestroyIntArray", array.id(), |o| matches!(o, Object::Ints(_))).map(|_| ())
        })
    }

    fn aclCreateFloatArray(values: Values<f32>, n: u64) -> *mut aclFloatArray {
        make("aclCreateFloatArray", |sim| match values.get(n) {
            Some(_) => Ok(sim.objects.add(Object::Floats)),
            None => fail(code::INVALID_PARAM, "aclCreateFloatArray of null"),
        })
    }

    fn aclDestroyFloatArray(array: Ref) -> i32 {
        call("aclDestroyFloatArray", |sim| {
            sim.destroy("aclDestroyFloatArray", array.id(), |o| matches!(o, Object::Floats)).map(|_| ())
        })
    }

    fn aclCreateBoolArray(values: Values<u8>, n: u64) -> *mut aclBoolArray {
        make("aclCreateBoolArray", |sim| match values.get(n) {
            Some(v) => Ok(sim.objects.add(Object::Bools(v.into_iter().map(|b| b != 0).collect()))),
            None => fail(code::INVALID_PARAM, "aclCreateBoolArray of null"),
        })
    }

    fn aclDestroyBoolArray(array: Ref) -> i32 {
        call("aclDestroyBoolArray", |sim| {
            sim.destroy("aclDestroyBoolArray", array.id(), |o| matches!(o, Object::Bools(_))).map(|_| ())
        })
    }

    fn aclCreateTensorList(members: Values<*const aclTensor>, n: u64) -> *mut aclTensorList {
        make("aclCreateTensorList", |sim| {
            let Some(members) = members.get(n) else { return fail(code::INVALID_PARAM, "aclCreateTensorList of null") };
            let members: Vec<u64> = members.into_iter().map(|m| m as usize as u64).collect();
            for &m in &members {
                sim.tensor_object("aclCreateTensorList", m)?;
            }
            Ok(sim.objects.add(Object::Tensors(members)))
        })
    }

    /// Destroys the list and its members.
    fn aclDestroyTensorList(list: Ref) -> i32 {
        call("aclDestroyTensorList", |sim| {
            let found = sim.destroy("aclDestroyTensorList", list.id(), |o| matches!(o, Object::Tensors(_)))?;
            let Some(Object::Tensors(members)) = found else { return Ok(()) };
            members.into_iter().try_for_each(|m| {
                let is = |o: &Object| matches!(o, Object::Tensor(_));
                sim.destroy("aclDestroyTensorList (of a member)", m, is).map(|_| ())
            })
        })
    }

    fn aclCreateScalarList(members: Values<*const aclScalar>, n: u64) -> *mut aclScalarList {
        make("aclCreateScalarList", |sim| match members.get(n) {
            Some(m) => Ok(sim.objects.add(Object::Scalars(m.into_iter().map(|m| m as usize as u64).collect()))),
            None => fail(code::INVALID_PARAM, "aclCreateScalarList of null"),
        })
    }

    /// Destroys the list and its members.
    fn aclDestroyScalarList(list: Ref) -> i32 {
        call("aclDestroyScalarList", |sim| {
            let found = sim.destroy("aclDestroyScalarList", list.id(), |o| matches!(o, Object::Scalars(_)))?;
            let Some(Object::Scalars(members)) = found else { return Ok(()) };
            members.into_iter().try_for_each(|m| {
                sim.destroy("aclDestroyScalarList (of a member)", m, |o| matches!(o, Object::Scalar(_))).map(|_| ())
            })
        })
    }

    fn aclSetAclOpExecutorRepeatable(executor: Ref) -> i32 {
        call("aclSetAclOpExecutorRepeatable", |sim| match sim.objects.get_mut(executor.id()) {
            Some(Object::Executor(e)) => {
                e.repeatable = true;
                Ok(())
            }
            _ => {
                sim.violation("aclSetAclOpExecutorRepeatable of an executor that is not there");
                fail(code::INVALID_HANDLE, "no such executor")
            }
        })
    }

    fn aclDestroyAclOpExecutor(executor: Ref) -> i32 {
        call("aclDestroyAclOpExecutor", |sim| {
            sim.destroy("aclDestroyAclOpExecutor", executor.id(), |o| matches!(o, Object::Executor(_))).map(|_| ())
        })
    }

    fn aclSetInputTensorAddr(executor: Ref, index: usize, _tensor: Ref, address: *mut c_void) -> i32 {
        call("aclSetInputTensorAddr", |sim| {
            set_address(sim, executor.id(), index, address as usize as u64, |s| s.read)
        })
    }

    fn aclSetOutputTensorAddr(executor: Ref, index: usize, _tensor: Ref, address: *mut c_void) -> i32 {
        call("aclSetOutputTensorAddr", |sim| {
            set_address(sim, executor.id(), index, address as usize as u64, |s| s.written)
        })
    }

    fn aclSetTensorAddr(executor: Ref, index: usize, _tensor: Ref, address: *mut c_void) -> i32 {
        call("aclSetTensorAddr", |sim| set_address(sim, executor.id(), index, address as usize as u64, |_| true))
    }

    /// Bytes of a weight in the cube unit's tiled layout, which the simulator keeps row-major.
    fn aclnnCalculateMatmulWeightSizeV2(dims: Ref, dtype: i32, size: Out<u64>) -> i32 {
        call("aclnnCalculateMatmulWeightSizeV2", |sim| {
            let Some(Object::Ints(dims)) = sim.objects.get(dims.id()) else {
                return fail(crate::plan::status::PARAM_NULLPTR, "no such array");
            };
            let Some(dtype) = DType::from_acl(dtype) else {
                return fail(crate::plan::status::PARAM_INVALID, "no such element type");
            };
            let (rows, block) = (16, 32 * 8 / dtype.bits() as i64);
            let tiled: i64 = match dims.as_slice() {
                [batch @ .., a, b] => {
                    let tiles = |n: i64, of: i64| (n + of - 1) / of * of;
                    batch.iter().product::<i64>() * tiles(*a, rows) * tiles(*b, block)
                }
                _ => return fail(crate::plan::status::PARAM_INVALID, "a weight has at least 2 dimensions"),
            };
            size.put(tiled as u64 * dtype.bits() as u64 / 8)
        })
    }
}
