//! Memory of the reference device.

use super::ReferenceDevice;
use super::storage::{Data, Held, HostStorage, data, read, room, with_type, write};
use crate::backend::{DeviceProperties, Memory, MemoryStats, StorageRef, View};
use crate::{DType, Element, Error, ErrorKind, Layout, Result};
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl ReferenceDevice {
    pub(super) fn store(&self, data: Data) -> Result<StorageRef> {
        Ok(Arc::new(HostStorage::new(data, &self.usage)))
    }

    /// Changes a storage in place if this is its only handle, else a copy of it.
    pub(super) fn modify(&self, mut dst: StorageRef, f: impl FnOnce(&mut Data) -> Result<()>) -> Result<StorageRef> {
        if let Some(storage) = Arc::get_mut(&mut dst).and_then(|s| s.as_any_mut().downcast_mut::<HostStorage>()) {
            f(&mut storage.data)?;
            return Ok(dst);
        }
        let mut copy = data(&dst)?.clone();
        f(&mut copy)?;
        self.store(copy)
    }
}

impl Memory for ReferenceDevice {
    fn alloc(&self, dtype: DType, len: usize) -> Result<StorageRef> {
        with_type!(dtype, T => {
            let mut v = room::<T>(len)?;
            v.resize(len, <T as Element>::from_i64(0));
            self.store(T::wrap(v))
        })
    }

    fn upload(&self, dtype: DType, bytes: &[u8]) -> Result<StorageRef> {
        debug_assert!(bytes.len().is_multiple_of(dtype.size()));
        with_type!(dtype, T => {
            drop(room::<T>(bytes.len() / dtype.size())?);
            self.store(T::wrap(<T as Element>::from_bytes(bytes)))
        })
    }

    fn download(&self, src: &StorageRef, start: usize, out: &mut [u8]) -> Result<()> {
        let (bytes, from) = (data(src)?.bytes(), start * src.dtype().size());
        let part = bytes.get(from..from + out.len()).ok_or_else(|| {
            let message = format!("{} bytes from {from} are outside of the {} there are", out.len(), bytes.len());
            Error::new(ErrorKind::Index, "download", message)
        })?;
        out.copy_from_slice(part);
        Ok(())
    }

    fn host_bytes<'a>(&self, src: &'a StorageRef) -> Option<&'a [u8]> {
        data(src).ok().map(Data::bytes)
    }

    fn copy(&self, src: View<'_>) -> Result<StorageRef> {
        with_type!(src.dtype(), T => self.store(T::wrap(read::<T>(&src)?.into_owned())))
    }

    fn copy_into(&self, dst: StorageRef, layout: &Layout, src: View<'_>) -> Result<StorageRef> {
        self.modify(dst, |data| write(data, layout, src))
    }

    fn synchronize(&self) -> Result<()> {
        Ok(())
    }

    fn properties(&self) -> DeviceProperties {
        let mut properties = DeviceProperties::new("reference loops, 1 thread", &DType::ALL);
        properties.host_memory = true;
        properties
    }

    fn memory_stats(&self) -> MemoryStats {
        let allocated = self.usage.now.load(Ordering::Relaxed);
        MemoryStats {
            allocated,
            reserved: allocated,
            peak_allocated: self.usage.peak.load(Ordering::Relaxed),
            reused: 0,
            fresh: self.usage.allocations.load(Ordering::Relaxed),
        }
    }
}
