//! Arguments as the calls take them.

use crate::storage::AscendStorage;
use vlm_ascend_sys as sys;
use vlm_core::shape::MAX_RANK;
use vlm_core::{DType, Dims, Layout};

/// The interface's number for an element type.
pub(crate) fn acl_type(dtype: DType) -> sys::aclDataType {
    let number = match dtype {
        DType::F32 => 0,
        DType::F16 => 1,
        DType::I32 => 3,
        DType::U8 => 4,
        DType::U32 => 8,
        DType::I64 => 9,
        DType::F64 => 11,
        DType::Bool => 12,
        DType::BF16 => 27,
    };
    number as sys::aclDataType
}

/// A tensor of an operation: a view into a block of the device.
///
/// The strides and the offset are in elements. The block's owner lives as long as the call; what the call queues is done before
/// anything else that gets the memory.
#[derive(Clone, Debug)]
pub(crate) struct Operand {
    pub(super) address: usize,
    pub(super) dtype: DType,
    pub(super) rank: usize,
    pub(super) dims: [i64; MAX_RANK],
    pub(super) strides: [i64; MAX_RANK],
    pub(super) offset: i64,
    /// Elements of the storage.
    pub(super) storage: i64,
}

impl Operand {
    /// The elements of `storage` that `layout` describes.
    pub(crate) fn new(storage: &AscendStorage, layout: &Layout) -> Self {
        let mut o = Operand {
            address: storage.address() as usize,
            dtype: storage.element_type(),
            rank: layout.rank(),
            dims: [1; MAX_RANK],
            strides: [1; MAX_RANK],
            offset: layout.offset() as i64,
            storage: storage.elements() as i64,
        };
        for (i, (&d, &s)) in layout.shape().iter().zip(layout.strides().iter()).enumerate() {
            (o.dims[i], o.strides[i]) = (d as i64, s as i64);
        }
        o
    }

    /// A whole storage in this shape.
    pub(crate) fn whole(storage: &AscendStorage, shape: Dims) -> Self {
        Operand::new(storage, &Layout::contiguous(shape))
    }

    pub(crate) fn dtype(&self) -> DType {
        self.dtype
    }

    pub(crate) fn dims(&self) -> &[i64] {
        &self.dims[..self.rank]
    }

    pub(crate) fn strides(&self) -> &[i64] {
        &self.strides[..self.rank]
    }

    /// The number of elements.
    pub(crate) fn count(&self) -> i64 {
        self.dims().iter().product()
    }

    /// Whether the elements lie side by side in row-major order.
    pub(crate) fn is_contiguous(&self) -> bool {
        let mut expected = 1;
        for i in (0..self.rank).rev() {
            if self.dims[i] != 1 && self.strides[i] != expected {
                return self.count() == 0;
            }
            expected *= self.dims[i].max(1);
        }
        true
    }

    /// Seen as another type of the same size, whose values have the same bits.
    pub(crate) fn reinterpreted(mut self, dtype: DType) -> Self {
        debug_assert_eq!(dtype.size(), self.dtype.size());
        self.dtype = dtype;
        self
    }

    /// With one more dimension of size 1 where there is none: a rank of 0 is not taken by every operation.
    pub(crate) fn at_least_1d(mut self) -> Self {
        self.rank = self.rank.max(1);
        self
    }

    /// Without the repetition of elements along dimension `i`, for operations that broadcast by themselves and so read less.
    pub(crate) fn drop_repetition(&mut self, i: usize) {
        self.dims[i] = 1;
        self.strides[i] = 1;
    }

    /// With other dimensions and strides over the same storage.
    pub(crate) fn with_view(mut self, dims: &[i64], strides: &[i64]) -> Self {
        self.rank = dims.len();
        self.dims[..dims.len()].copy_from_slice(dims);
        self.strides[..dims.len()].copy_from_slice(strides);
        self
    }
}

/// A scalar argument.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Number {
    F32(f32),
    I64(i64),
}

impl Number {
    /// A number for a tensor of this type: exact for integers, and `f32` where nothing else computes in more.
    pub(crate) fn of(value: f64, dtype: DType) -> Self {
        if dtype.is_float() { Number::F32(value as f32) } else { Number::I64(value as i64) }
    }
}
