//! Bytes on a device, and views into them.

use crate::{DType, Layout};
use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// A block of elements of one type on one device, owned by a backend.
///
/// Core never looks inside: it keeps the handle, counts references to it and passes it back to the device it came
/// from. Dropping the last handle frees the memory (or returns it to the backend's pool).
pub trait Storage: Any + Send + Sync + fmt::Debug {
    /// The type of the elements.
    fn dtype(&self) -> DType;
    /// How many elements there are.
    fn len(&self) -> usize;
    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// For the backend to get its own type back.
    fn as_any(&self) -> &dyn Any;
    /// For the backend to get its own type back, to write in place.
    fn as_any_mut(&mut self) -> &mut dyn Any;
}

/// A shared handle to a [`Storage`].
///
/// Methods that write in place take it by value: when it is the only handle ([`Arc::get_mut`] succeeds) the backend
/// writes into it and returns it, otherwise it writes into a copy. So sharing is always safe, and a caller that wants
/// no copy gives up its own handle first.
pub type StorageRef = Arc<dyn Storage>;

/// A storage seen through a layout: an operand.
///
/// Every method that takes a view accepts any layout: transposed, sliced with an offset, broadcast with strides of 0,
/// empty, of rank 0 to [`MAX_RANK`](crate::shape::MAX_RANK).
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// The elements.
    pub storage: &'a StorageRef,
    /// Which of them, in which order.
    pub layout: &'a Layout,
}

impl<'a> View<'a> {
    /// `storage` seen through `layout`.
    #[inline]
    pub fn new(storage: &'a StorageRef, layout: &'a Layout) -> Self {
        debug_assert!(layout.required_len() <= storage.len(), "{layout:?} reaches outside of {}", storage.len());
        View { storage, layout }
    }

    /// The element type.
    #[inline]
    pub fn dtype(&self) -> DType {
        self.storage.dtype()
    }

    /// The sizes.
    #[inline]
    pub fn shape(&self) -> &'a crate::Shape {
        self.layout.shape()
    }

    /// The number of elements.
    pub fn count(&self) -> usize {
        self.layout.count()
    }
}

impl fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.dtype(), self.layout.shape())
    }
}

/// Bytes on the host that live as long as any handle to them, such as a mapped file.
#[derive(Clone)]
pub struct HostBytes {
    owner: Arc<dyn AsRef<[u8]> + Send + Sync>,
    start: usize,
    len: usize,
}

impl HostBytes {
    /// `len` bytes of `owner` from `start`, or `None` outside of it.
    pub fn new(owner: Arc<dyn AsRef<[u8]> + Send + Sync>, start: usize, len: usize) -> Option<Self> {
        let end = start.checked_add(len)?;
        (end <= (*owner).as_ref().len()).then_some(HostBytes { owner, start, len })
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        &(*self.owner).as_ref()[self.start..self.start + self.len]
    }
}

impl fmt::Debug for HostBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostBytes({} bytes)", self.len)
    }
}
