//! Allocation, transfer, copies.

use crate::error::Of;
use crate::shim;
use crate::storage::{TorchStorage, kind, number, own, own_mut, writable};
use tch::{Device, Kind, Tensor};
use vlm_core::backend::{HostBytes, Storage, StorageRef, View};
use vlm_core::{DType, Dims, Error, ErrorKind, Layout, Result};

fn flat(len: usize) -> Dims {
    Dims::from_slice(&[len])
}

pub(crate) fn alloc(device: Device, dtype: DType, len: usize) -> Result<TorchStorage> {
    let made = i64::try_from(len).ok().filter(|n| n.checked_mul(8).is_some());
    let Some(n) = made else {
        let message = format!("{len} elements of {dtype} are more than any memory has");
        return Err(Error::new(ErrorKind::OutOfMemory, "alloc", message));
    };
    TorchStorage::new(Tensor::f_empty([n], (kind(dtype), device)).of("alloc")?, flat(len), dtype)
}

/// Blocks from this size on go to a GPU through pinned memory.
const PINNED: usize = 1 << 20;
/// Integers up to this many are looked at when they come from the host, so that indices need not be fetched again.
const LOOKED_AT: usize = 1 << 16;

/// The smallest and the largest of integers that may become indices.
fn bounds(dtype: DType, bytes: &[u8]) -> Option<(i64, i64)> {
    fn of<const N: usize>(bytes: &[u8], read: fn([u8; N]) -> i64) -> Option<(i64, i64)> {
        let mut values = bytes.chunks_exact(N).filter_map(|c| c.try_into().ok()).map(read);
        let first = values.next()?;
        Some(values.fold((first, first), |(low, high), v| (low.min(v), high.max(v))))
    }
    if bytes.len() / dtype.size() > LOOKED_AT {
        return None;
    }
    match dtype {
        DType::I64 => of(bytes, i64::from_ne_bytes),
        DType::I32 => of(bytes, |b| i64::from(i32::from_ne_bytes(b))),
        DType::U32 => of(bytes, |b| i64::from(u32::from_ne_bytes(b))),
        _ => None,
    }
}

/// A tensor over bytes of the host.
///
/// # Safety
/// The bytes outlive the tensor, and the tensor is not written to.
unsafe fn over(dtype: DType, bytes: &[u8]) -> Result<Tensor> {
    let len = (bytes.len() / dtype.size()) as i64;
    // SAFETY: by the caller; one row of `len` elements lies inside the bytes.
    unsafe { Tensor::f_from_blob(bytes.as_ptr(), &[len], &[1], kind(dtype), Device::Cpu).of("upload") }
}

pub(crate) fn upload(device: Device, dtype: DType, bytes: &[u8]) -> Result<TorchStorage> {
    let mut new = alloc(device, dtype, bytes.len() / dtype.size())?;
    if device == Device::Cpu {
        host_bytes_mut(&mut new).copy_from_slice(bytes);
    } else if bytes.len() >= PINNED {
        shim::upload(new.tensor_mut(), bytes)?;
    } else if !bytes.is_empty() {
        // SAFETY: the source lives until the copy below has ended: libtorch copies pageable memory before it returns.
        let source = unsafe { over(dtype, bytes)? };
        new.tensor_mut().f_copy_(&source).of("upload")?;
    }
    Ok(new.bounded(bounds(dtype, bytes)))
}

/// Writes the host's bytes into a storage, whoever else holds it.
pub(crate) fn write_in_place(storage: &TorchStorage, bytes: &[u8]) -> std::result::Result<(), tch::TchError> {
    let dtype = storage.dtype();
    let n = storage.len() as i64;
    // SAFETY: the source lives until the copy has ended: libtorch copies pageable memory before it returns.
    let source = unsafe { Tensor::f_from_blob(bytes.as_ptr(), &[n], &[1], kind(dtype), Device::Cpu)? };
    storage.tensor().f_view([-1i64])?.f_copy_(&source)?;
    storage.set_bounds(bounds(dtype, bytes));
    Ok(())
}

/// A storage that refers to the host's bytes, on the CPU; a copy elsewhere.
pub(crate) fn adopt(device: Device, dtype: DType, bytes: HostBytes) -> Result<TorchStorage> {
    let slice = bytes.as_slice();
    let aligned = slice.as_ptr().addr().is_multiple_of(dtype.size());
    if device != Device::Cpu || slice.is_empty() || !aligned {
        return upload(device, dtype, slice);
    }
    // SAFETY: the storage keeps the owner of the bytes, and a storage with an owner is never written (`writable`).
    let tensor = unsafe { over(dtype, slice)? };
    let known = bounds(dtype, slice);
    Ok(TorchStorage::new(tensor, flat(slice.len() / dtype.size()), dtype)?.bounded(known).owned_by(bytes))
}

pub(crate) fn download(src: &StorageRef, start: usize, out: &mut [u8]) -> Result<()> {
    let storage = own(src)?;
    let (size, dtype) = (src.dtype().size(), src.dtype());
    let n = out.len() / size;
    if start.checked_add(n).is_none_or(|end| end > src.len()) {
        let message = format!("{n} elements from {start} are outside of the {} there are", src.len());
        return Err(Error::new(ErrorKind::Index, "download", message));
    }
    if let Some(bytes) = host_bytes(storage) {
        out.copy_from_slice(&bytes[start * size..start * size + out.len()]);
        return Ok(());
    }
    if out.is_empty() {
        return Ok(());
    }
    // SAFETY: `out` has room for `n` elements, is borrowed exclusively, and lives until the copy below has ended, which
    // waits for the device.
    let target = unsafe { Tensor::f_from_blob(out.as_mut_ptr(), &[n as i64], &[1], kind(dtype), Device::Cpu) };
    let mut target = target.of("download")?;
    let part = shim::view(storage.tensor(), &Layout::strided(flat(n), flat(1), start))?;
    target.f_copy_(&part).of("download")?;
    Ok(())
}

/// The elements if they are in the host's memory.
pub(crate) fn host_bytes(storage: &TorchStorage) -> Option<&[u8]> {
    if storage.tensor().device() != Device::Cpu {
        return None;
    }
    let len = storage.len() * storage.dtype().size();
    if len == 0 {
        return Some(&[]);
    }
    // SAFETY: the tensor is contiguous and begins at its data pointer, on the CPU, with `len` bytes; they live as long as the
    // storage and nobody writes while it is borrowed.
    Some(unsafe { std::slice::from_raw_parts(storage.tensor().data_ptr().cast(), len) })
}

/// The elements of a storage of the CPU that is not shared yet.
fn host_bytes_mut(storage: &mut TorchStorage) -> &mut [u8] {
    let len = storage.len() * storage.dtype().size();
    if len == 0 {
        return &mut [];
    }
    // SAFETY: as in `host_bytes`, and the storage is borrowed exclusively.
    unsafe { std::slice::from_raw_parts_mut(storage.tensor_mut().data_ptr().cast(), len) }
}

pub(crate) fn copy(src: View<'_>) -> Result<Tensor> {
    shim::copy_strided(own(src.storage)?.tensor(), src.layout)
}

pub(crate) fn copy_into(dst: StorageRef, layout: &Layout, src: View<'_>) -> Result<StorageRef> {
    let mut dst = writable(dst)?;
    let tensor = own_mut(&mut dst)?;
    let mut place = shim::view(tensor, layout)?;
    place.f_copy_(&*crate::storage::operand(&src)?).of("copy_into")?;
    Ok(dst)
}

/// The first index that is negative or not below `bound`. Where the bounds were seen on the way in, nothing is fetched.
pub(crate) fn first_outside(indices: View<'_>, bound: usize) -> Result<Option<i64>> {
    let known = own(indices.storage)?.bounds();
    if indices.count() == 0 || known.is_some_and(|(low, high)| low >= 0 && (high as u64) < bound as u64) {
        return Ok(None);
    }
    let n = number(&indices)?;
    let run = || {
        let n = n.f_to_kind(Kind::Int64)?;
        let limit = i64::try_from(bound).unwrap_or(i64::MAX);
        n.f_reshape([-1i64])?.f_masked_select(&n.f_lt(0)?.f_logical_or(&n.f_ge(limit)?)?.f_reshape([-1i64])?)
    };
    let outside = run().of("check indices")?;
    if outside.numel() == 0 {
        return Ok(None);
    }
    outside.f_int64_value(&[0]).of("check indices").map(Some)
}

pub(crate) fn synchronize(device: Device) -> Result<()> {
    match device {
        Device::Cuda(ordinal) => shim::synchronize(ordinal),
        _ => Ok(()),
    }
}
