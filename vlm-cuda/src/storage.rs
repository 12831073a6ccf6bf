//! Storages: libtorch's tensors behind the contract's handle.

use crate::error::Of;
use crate::shim;
use std::any::Any;
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};
use tch::{Kind, Tensor};
use vlm_core::backend::{HostBytes, Storage, StorageRef, View};
use vlm_core::{DType, Dims, Error, ErrorKind, Layout, Result, Shape};

/// A block of elements that libtorch holds.
///
/// Invariant: `tensor` is contiguous, begins at the start of its memory and has the shape `shape`, whose elements
/// number `len`. It never requires a gradient.
pub struct TorchStorage {
    tensor: Tensor,
    shape: Shape,
    dtype: DType,
    len: usize,
    /// The smallest and largest element, where they were seen on the host: indices need not be fetched to be checked.
    bounds: Mutex<Option<(i64, i64)>>,
    /// What the tensor's memory belongs to, if not to libtorch.
    _owner: Option<HostBytes>,
}

// SAFETY: `at::Tensor` is a counted reference to an object whose count is atomic. Through `&TorchStorage` only these
// happen: reading sizes and pointers, which libtorch writes once, when the tensor is made; and operations that take the
// tensor as a constant operand, which libtorch allows from several threads at once (its own data parallel code and
// `at::parallel_for` do so). Nothing here detaches, resizes or turns on gradients, the operations that change a shared
// tensor's metadata. Elements are written only through `&mut`, which `Arc::get_mut` gives to the only handle, before the
// storage is shared, or by `Graphs::write`, which is for storages that nothing else reads meanwhile; a race there gives wrong
// numbers and no more, as libtorch never derives an address from elements. `Tensor` is `Send` by tch.
unsafe impl Sync for TorchStorage {}

impl TorchStorage {
    /// A storage of what an operation returned, with `shape` as the contract says.
    pub(crate) fn new(tensor: Tensor, shape: Shape, dtype: DType) -> Result<Self> {
        let tensor = if tensor.is_contiguous() { tensor } else { tensor.f_contiguous().of("contiguous")? };
        Ok(TorchStorage { tensor, shape, dtype, len: shape.count(), bounds: Mutex::new(None), _owner: None })
    }

    /// With the smallest and largest element known.
    pub(crate) fn bounded(self, bounds: Option<(i64, i64)>) -> Self {
        self.set_bounds(bounds);
        self
    }

    pub(crate) fn set_bounds(&self, bounds: Option<(i64, i64)>) {
        *self.bounds.lock().unwrap_or_else(PoisonError::into_inner) = bounds;
    }

    /// Kept together with the memory that it refers to.
    pub(crate) fn owned_by(mut self, owner: HostBytes) -> Self {
        self._owner = Some(owner);
        self
    }

    pub(crate) fn share(self) -> StorageRef {
        Arc::new(self)
    }

    /// libtorch's tensor: contiguous, any shape.
    pub fn tensor(&self) -> &Tensor {
        &self.tensor
    }

    /// To fill a storage that is not shared yet.
    pub(crate) fn tensor_mut(&mut self) -> &mut Tensor {
        &mut self.tensor
    }

    pub(crate) fn bounds(&self) -> Option<(i64, i64)> {
        *self.bounds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Storage for TorchStorage {
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

impl fmt::Debug for TorchStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TorchStorage({} x {})", self.len, self.dtype)
    }
}

/// The element type as libtorch has it. It cannot compute with `u32`, which is kept as `i32` of the same bits.
pub(crate) fn kind(dtype: DType) -> Kind {
    match dtype {
        DType::F64 => Kind::Double,
        DType::F32 => Kind::Float,
        DType::F16 => Kind::Half,
        DType::BF16 => Kind::BFloat16,
        DType::I64 => Kind::Int64,
        DType::I32 | DType::U32 => Kind::Int,
        DType::U8 => Kind::Uint8,
        DType::Bool => Kind::Bool,
    }
}

#[cold]
fn foreign() -> Error {
    Error::new(ErrorKind::Device, "operand", "the storage belongs to another backend").hint("move it with to_device")
}

/// Our own type behind the handle.
#[inline]
pub(crate) fn own(storage: &StorageRef) -> Result<&TorchStorage> {
    storage.as_any().downcast_ref().ok_or_else(foreign)
}

/// A tensor that is borrowed where the view is the storage's own shape, else made for the occasion.
pub(crate) enum Operand<'a> {
    Whole(&'a Tensor),
    Part(Tensor),
}

impl Deref for Operand<'_> {
    type Target = Tensor;
    #[inline]
    fn deref(&self) -> &Tensor {
        match self {
            Operand::Whole(t) => t,
            Operand::Part(t) => t,
        }
    }
}

impl std::borrow::Borrow<Tensor> for Operand<'_> {
    fn borrow(&self) -> &Tensor {
        self
    }
}

/// Sizes as libtorch takes them.
pub(crate) fn sizes(dims: &Dims) -> ([i64; vlm_core::shape::MAX_RANK], usize) {
    let mut out = [0i64; vlm_core::shape::MAX_RANK];
    for (to, &from) in out.iter_mut().zip(dims.iter()) {
        *to = from as i64;
    }
    (out, dims.rank())
}

/// The view as a tensor of libtorch.
#[inline]
pub(crate) fn operand<'a>(view: &View<'a>) -> Result<Operand<'a>> {
    let storage = own(view.storage)?;
    let layout = view.layout;
    if layout.offset() == 0 && *layout.shape() == storage.shape && layout.is_contiguous() {
        return Ok(Operand::Whole(&storage.tensor));
    }
    shim::view(&storage.tensor, layout).map(Operand::Part)
}

/// The view as a tensor on which libtorch computes with the right numbers: `u32` as `i64`.
pub(crate) fn number<'a>(view: &View<'a>) -> Result<Operand<'a>> {
    let x = operand(view)?;
    if view.dtype() == DType::U32 { widen_u32(&x).map(Operand::Part) } else { Ok(x) }
}

/// The numbers of `u32` bits kept as `i32`.
pub(crate) fn widen_u32(x: &Tensor) -> Result<Tensor> {
    let wide = x.f_to_kind(Kind::Int64).of("widen u32")?;
    wide.f_bitwise_and(0xFFFF_FFFF_i64).of("widen u32")
}

/// The tensor to write into, and its storage: the one given if this is its only handle, else a copy.
pub(crate) fn writable(dst: StorageRef) -> Result<StorageRef> {
    let mut dst = dst;
    let alone = Arc::get_mut(&mut dst)
        .and_then(|s| s.as_any_mut().downcast_mut::<TorchStorage>())
        .is_some_and(|s| s._owner.is_none());
    if alone {
        return Ok(dst);
    }
    let held = own(&dst)?;
    let copy = shim::copy_strided(&held.tensor, &Layout::contiguous(held.shape))?;
    Ok(TorchStorage::new(copy, held.shape, held.dtype)?.share())
}

/// Our own type behind the only handle, to write in place. What was known of the elements is forgotten.
pub(crate) fn own_mut(storage: &mut StorageRef) -> Result<&mut Tensor> {
    let found = Arc::get_mut(storage).and_then(|s| s.as_any_mut().downcast_mut::<TorchStorage>());
    let found = found.ok_or_else(foreign)?;
    found.set_bounds(None);
    Ok(&mut found.tensor)
}
