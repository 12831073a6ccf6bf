//! The first tier: memory.

use super::{DeviceProperties, HostBytes, MemoryStats, StorageRef, View};
use crate::{DType, Layout, Result};

/// Memory of one device: allocation, transfer, copies.
///
/// Calls may return before the device is done; work on one device appears to happen in the order of the calls, from
/// whichever thread they come. [`Memory::download`] and [`Memory::synchronize`] wait.
pub trait Memory: Send + Sync + std::fmt::Debug {
    /// `len` elements of any value.
    ///
    /// # Errors
    /// [`OutOfMemory`](crate::ErrorKind::OutOfMemory) naming the bytes asked for and in use.
    fn alloc(&self, dtype: DType, len: usize) -> Result<StorageRef>;

    /// A storage with these bytes, a whole number of elements in native byte order.
    ///
    /// # Errors
    /// As [`Memory::alloc`].
    fn upload(&self, dtype: DType, bytes: &[u8]) -> Result<StorageRef>;

    /// As [`Memory::upload`], from bytes that stay alive: a device in host memory may refer to them instead of copying.
    ///
    /// # Errors
    /// As [`Memory::alloc`].
    fn adopt(&self, dtype: DType, bytes: HostBytes) -> Result<StorageRef> {
        self.upload(dtype, bytes.as_slice())
    }

    /// Fills `out` with elements of `src` from element `start` on, after all work on `src` is done.
    ///
    /// # Errors
    /// Whatever went wrong in work not waited for until now.
    fn download(&self, src: &StorageRef, start: usize, out: &mut [u8]) -> Result<()>;

    /// The bytes of `src` if the host can read them in place.
    fn host_bytes<'a>(&self, src: &'a StorageRef) -> Option<&'a [u8]> {
        let _ = src;
        None
    }

    /// A contiguous copy of a view.
    ///
    /// # Errors
    /// As [`Memory::alloc`].
    fn copy(&self, src: View<'_>) -> Result<StorageRef>;

    /// Writes `src` into the part of `dst` that `layout` describes, which has the shape of `src` and does not visit an
    /// element twice, and returns `dst`: in place when the caller gave up the last handle.
    ///
    /// # Errors
    /// As [`Memory::alloc`], when a copy of `dst` was needed.
    fn copy_into(&self, dst: StorageRef, layout: &Layout, src: View<'_>) -> Result<StorageRef>;

    /// Waits until all work is done.
    ///
    /// # Errors
    /// Whatever went wrong in work not waited for until now.
    fn synchronize(&self) -> Result<()>;

    /// What this device is and can do.
    fn properties(&self) -> DeviceProperties;

    /// What its allocator holds.
    fn memory_stats(&self) -> MemoryStats;

    /// The first of these integers that is negative or not below `bound`, in row-major order: core asks before it uses
    /// them as indices. An accelerator that cannot answer without waiting may say `None` if its kernels check.
    ///
    /// # Errors
    /// Those of [`Memory::download`].
    fn first_outside(&self, indices: View<'_>, bound: usize) -> Result<Option<i64>> {
        super::indices::first_outside(self, indices, bound)
    }

    /// Gives memory that waits for reuse back to the system.
    ///
    /// # Errors
    /// As [`Memory::synchronize`].
    fn trim(&self) -> Result<()> {
        Ok(())
    }
}
