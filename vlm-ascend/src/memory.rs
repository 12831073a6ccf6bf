//! Allocation, transfer, copies.

use crate::aclnn::Stream;
use crate::make::{copied, plain, room, strided};
use crate::storage::{AscendStorage, own, own_mut};
use vlm_core::backend::{Storage, StorageRef, View};
use vlm_core::{DType, Dims, Element, Error, ErrorKind, Layout, Result};

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

pub(crate) fn upload(s: &Stream, dtype: DType, bytes: &[u8]) -> Result<AscendStorage> {
    let new = room(s, dtype, bytes.len() / dtype.size())?;
    if let Some(block) = new.block() {
        s.queue().upload(block, bytes)?;
    }
    Ok(new.bounded(bounds(dtype, bytes)))
}

pub(crate) fn download(s: &Stream, src: &StorageRef, start: usize, out: &mut [u8]) -> Result<()> {
    let size = src.dtype().size();
    let n = out.len() / size;
    if start.checked_add(n).is_none_or(|end| end > src.len()) {
        let message = format!("{n} elements from {start} are outside of the {} there are", src.len());
        return Err(Error::new(ErrorKind::Index, "download", message));
    }
    match own(src)?.block() {
        Some(block) if !out.is_empty() => s.queue().download(block, start * size, out),
        _ => Ok(()),
    }
}

/// The storage to write into: the one given if this is its only handle, else a copy.
pub(crate) fn writable(s: &Stream, mut dst: StorageRef) -> Result<StorageRef> {
    if own_mut(&mut dst).is_some() {
        return Ok(dst);
    }
    let layout = Layout::contiguous(Dims::from_slice(&[own(&dst)?.len()]));
    Ok(copied(s, &View::new(&dst, &layout))?.share())
}

pub(crate) fn copy_into(s: &Stream, dst: StorageRef, layout: &Layout, src: View<'_>) -> Result<StorageRef> {
    let dst = writable(s, dst)?;
    if src.count() == 0 {
        return Ok(dst);
    }
    let (to, from, size) = (own(&dst)?, own(src.storage)?, src.dtype().size());
    if let (Some(a), Some(b), Some(to), Some(from)) =
        (layout.contiguous_range(), src.layout.contiguous_range(), to.block(), from.block())
    {
        s.queue().copy_on_device((to, a.start * size), (from, b.start * size), b.len() * size)?;
        return Ok(dst);
    }
    let dtype = plain(s, src.dtype());
    let place = strided(&View::new(&dst, layout))?.reinterpreted(dtype);
    s.InplaceCopy(&place, &strided(&src)?.reinterpreted(dtype))?;
    Ok(dst)
}

/// Whether indices are known to be in range from what was seen when they came from the host.
pub(crate) fn known_inside(indices: &View<'_>, bound: usize) -> Result<bool> {
    let known = own(indices.storage)?.bounds();
    Ok(indices.count() == 0 || known.is_some_and(|(low, high)| low >= 0 && (high as u64) < bound as u64))
}

/// The first index that is negative or not below `bound`: fetched and looked at on the host, as the device could only answer by waiting too.
pub(crate) fn first_outside(s: &Stream, indices: &View<'_>, bound: usize) -> Result<Option<i64>> {
    let copy = crate::elementwise::cast_to(s, *indices, DType::I64)?;
    let mut bytes = vec![0u8; copy.elements() * 8];
    if let Some(block) = copy.block() {
        s.queue().download(block, 0, &mut bytes)?;
    }
    let outside = |i: &i64| *i < 0 || *i as u64 >= bound as u64;
    Ok(i64::from_bytes(&bytes).into_iter().find(outside))
}
