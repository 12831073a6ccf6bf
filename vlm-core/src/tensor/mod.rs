//! The tensor: elements on a device, a layout, and perhaps a history.
//!
//! # Broadcasting and promotion
//! Operations of two tensors align shapes at the last dimension; sizes must be equal or one of them 1 (NumPy's rule).
//! Element types follow PyTorch's for tensors: the higher class wins (`bool` < integers < floats), within a class the
//! wider type; `f16` with `bf16` gives `f32` (see [`DType::promote`]). A number never changes a float tensor's type.
//!
//! # Cost
//! Shape operations (`transpose`, `narrow`, `broadcast_to`, most `reshape`s) make views and call no device. Cloning
//! copies a handle. Operations return new tensors; nothing is changed in place.

mod convert;
mod create;
mod display;
mod elementwise;
mod fused;
mod index;
mod linalg;
mod loss;
mod operators;
mod reduce;
mod shape_ops;

pub use convert::SafetensorsView;
pub use fused::{AttentionOptions, RopeTables};
pub use loss::IGNORE_INDEX;
pub use shape_ops::IntoDims;

use crate::autograd::{Node, constant};
use crate::backend::{StorageRef, View};
use crate::{DType, Device, Layout, Result, Shape};
use std::sync::Arc;

/// An array of numbers on a device. See the [module documentation](self).
#[derive(Clone)]
pub struct Tensor {
    storage: StorageRef,
    device: Device,
    node: Option<Arc<Node>>,
    layout: Layout,
    dtype: DType,
}

impl Tensor {
    /// A contiguous tensor over a storage of exactly the right length.
    #[inline]
    pub(crate) fn from_storage(storage: StorageRef, shape: Shape, device: &Device) -> Self {
        debug_assert_eq!(storage.len(), shape.count());
        let dtype = storage.dtype();
        Tensor { storage, device: device.clone(), node: None, layout: Layout::contiguous(shape), dtype }
    }

    /// The same storage through another layout, without history.
    pub(crate) fn with_layout(&self, layout: Layout) -> Self {
        Tensor { storage: self.storage.clone(), device: self.device.clone(), node: None, layout, dtype: self.dtype }
    }

    #[inline]
    pub(crate) fn with_node(mut self, node: Arc<Node>) -> Self {
        self.node = Some(node);
        self
    }

    #[inline]
    pub(crate) fn node(&self) -> Option<&Arc<Node>> {
        self.node.as_ref()
    }

    /// The operand that this tensor is for a device.
    #[inline]
    pub fn view(&self) -> View<'_> {
        View::new(&self.storage, &self.layout)
    }

    /// As [`Tensor::view`], through another layout.
    pub(crate) fn view_as<'a>(&'a self, layout: &'a Layout) -> View<'a> {
        View::new(&self.storage, layout)
    }

    pub(crate) fn storage(&self) -> &StorageRef {
        &self.storage
    }

    /// Gives up the tensor for its storage, copied only if this is a partial or strided view of it.
    ///
    /// The storage is unshared if no other tensor looked at it, so that a device can write into it.
    pub(crate) fn into_storage(self) -> Result<StorageRef> {
        if self.layout.offset() == 0 && self.layout.is_contiguous() && self.storage.len() == self.count() {
            return Ok(self.storage);
        }
        self.device.kernels().copy(self.view())
    }

    /// The sizes, outermost dimension first.
    #[inline]
    pub fn shape(&self) -> &Shape {
        self.layout.shape()
    }

    /// The size of dimension `dim`, counted from the end if negative.
    ///
    /// # Errors
    /// [`ErrorKind::Index`](crate::ErrorKind::Index) outside of the rank.
    pub fn size(&self, dim: isize) -> Result<usize> {
        Ok(self.shape()[self.shape().dim("size", dim)?])
    }

    /// Number of dimensions.
    pub fn rank(&self) -> usize {
        self.layout.rank()
    }

    /// Number of elements.
    pub fn count(&self) -> usize {
        self.layout.count()
    }

    /// The element type.
    #[inline]
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The device.
    #[inline]
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Shape, strides and offset.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Whether elements lie one after the other in row-major order.
    pub fn is_contiguous(&self) -> bool {
        self.layout.is_contiguous()
    }

    /// The sizes of a tensor of rank `N`.
    ///
    /// ```
    /// # use vlm_core::{Device, DType, Tensor};
    /// let x = Tensor::zeros([2, 3, 4], DType::F32, &Device::reference())?;
    /// let [b, s, d] = x.dims()?;
    /// assert_eq!((b, s, d), (2, 3, 4));
    /// # Ok::<(), vlm_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) for another rank.
    pub fn dims<const N: usize>(&self) -> Result<[usize; N]> {
        <[usize; N]>::try_from(&**self.shape()).map_err(|_| {
            let message = format!("expected {N} dimensions, found shape {}", self.shape());
            crate::Error::new(crate::ErrorKind::Shape, "dims", message)
        })
    }

    /// A leaf with these elements that asks for a gradient.
    ///
    /// # Errors
    /// [`ErrorKind::DType`](crate::ErrorKind::DType) for element types that are not floats.
    pub fn requires_grad(&self) -> Result<Tensor> {
        if !self.dtype.is_float() {
            let message = format!("only floats have gradients, this is {}", self.dtype);
            return Err(crate::Error::new(crate::ErrorKind::DType, "requires_grad", message));
        }
        Ok(self.detach().with_node(Arc::new(Node::leaf())))
    }

    /// The same elements without history.
    #[inline]
    pub fn detach(&self) -> Tensor {
        constant(self.with_layout(self.layout))
    }

    /// Whether gradients flow through this tensor: it is a leaf that asks for one or depends on such a leaf.
    #[inline]
    pub fn tracks_grad(&self) -> bool {
        self.node.is_some()
    }

    /// Whether it is a leaf that asks for a gradient.
    pub fn is_leaf(&self) -> bool {
        self.node.as_ref().is_some_and(|n| n.is_leaf())
    }

    /// The name of the operation that it came from, if it tracks gradients.
    pub fn grad_op(&self) -> Option<&'static str> {
        self.node.as_ref().map(|n| n.op())
    }
}
