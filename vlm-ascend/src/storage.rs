//! Storages: blocks of the device behind the contract's handle.

use crate::aclnn::Operand;
use crate::runtime::Queue;
use crate::runtime::pool::Block;
use std::any::Any;
use std::ffi::c_void;
use std::fmt;
use std::sync::Arc;
use vlm_core::backend::{Storage, StorageRef, View};
use vlm_core::{DType, Device, Dims, Error, ErrorKind, Result};

/// Elements on a device.
pub struct AscendStorage {
    /// Where they are; `None` if there are none.
    block: Option<Block>,
    dtype: DType,
    len: usize,
    /// The smallest and largest element, where they were seen on the host: indices need not be fetched to be checked.
    bounds: Option<(i64, i64)>,
}

impl AscendStorage {
    pub(crate) fn new(block: Option<Block>, dtype: DType, len: usize) -> Self {
        AscendStorage { block, dtype, len, bounds: None }
    }

    /// With the smallest and largest element known.
    pub(crate) fn bounded(mut self, bounds: Option<(i64, i64)>) -> Self {
        self.bounds = bounds;
        self
    }

    pub(crate) fn share(self) -> StorageRef {
        Arc::new(self)
    }

    pub(crate) fn block(&self) -> Option<&Block> {
        self.block.as_ref()
    }

    /// Where the elements are on the device; null if there are none.
    pub(crate) fn address(&self) -> *mut c_void {
        self.block.as_ref().map_or(std::ptr::null_mut(), Block::address)
    }

    pub(crate) fn element_type(&self) -> DType {
        self.dtype
    }

    pub(crate) fn elements(&self) -> usize {
        self.len
    }

    pub(crate) fn bounds(&self) -> Option<(i64, i64)> {
        self.bounds
    }

    /// All of it in this shape, as an operand.
    pub(crate) fn shaped(&self, shape: Dims) -> Operand {
        Operand::whole(self, shape)
    }

    /// All of it in one row, as an operand.
    pub(crate) fn row(&self) -> Operand {
        self.shaped(Dims::from_slice(&[self.len]))
    }
}

impl Storage for AscendStorage {
    fn dtype(&self) -> DType {
        self.dtype
    }
    fn len(&self) -> usize {
        self.len
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

impl fmt::Debug for AscendStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AscendStorage({} x {})", self.len, self.dtype)
    }
}

#[cold]
fn foreign() -> Error {
    Error::new(ErrorKind::Device, "operand", "the storage belongs to another backend").hint("move it with to_device")
}

/// The queue of a device of this backend, whatever layers are around it.
pub(crate) fn queue_of(device: &Device, op: &'static str) -> Result<Arc<Queue>> {
    // Its storages know it.
    let storage = device.kernels().alloc(DType::U8, 1)?;
    let block = storage.as_any().downcast_ref::<AscendStorage>().and_then(AscendStorage::block);
    block
        .map(|b| b.queue().clone())
        .ok_or_else(|| Error::new(ErrorKind::Device, op, format!("{device} is no NPU")).hint("open it as ascend:0"))
}

/// Our own type behind the handle.
#[inline]
pub(crate) fn own(storage: &StorageRef) -> Result<&AscendStorage> {
    storage.as_any().downcast_ref().ok_or_else(foreign)
}

/// Our own type behind the only handle, to write in place; `None` if there are others. What was known of the elements is forgotten.
pub(crate) fn own_mut(storage: &mut StorageRef) -> Option<&mut AscendStorage> {
    let found = Arc::get_mut(storage)?.as_any_mut().downcast_mut::<AscendStorage>()?;
    found.bounds = None;
    Some(found)
}

/// The view as an operand.
#[inline]
pub(crate) fn operand(view: &View<'_>) -> Result<Operand> {
    Ok(Operand::new(own(view.storage)?, view.layout))
}
