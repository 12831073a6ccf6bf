//! Elements in host memory.

use crate::alloc::Buffer;
use half::{bf16, f16};
use std::any::Any;
use std::fmt;
use std::sync::Arc;
use vlm_core::backend::{HostBytes, Storage, StorageRef, View};
use vlm_core::{DType, Error, ErrorKind, Result};

/// Tensors of up to this many bytes live inside their handle, so that making one costs a single allocation.
const INLINE: usize = 64;

enum Bytes {
    Inline([u64; INLINE / 8]),
    Pool(Buffer),
    /// Bytes of a file or of somebody else; never written.
    Adopted(HostBytes),
}

/// The storage of the `cpu` device.
pub(crate) struct CpuStorage {
    dtype: DType,
    len: usize,
    bytes: Bytes,
}

/// A Rust type as which elements are computed. `bool` is `u8` of 0 and 1.
pub(crate) trait Held: bytemuck::Pod + Send + Sync + PartialOrd {}
impl<T: bytemuck::Pod + Send + Sync + PartialOrd> Held for T {}

/// Runs `$body` with `$T` standing for the Rust type in which a dtype is held.
macro_rules! with_held {
    ($dtype:expr, $T:ident => $body:expr) => {
        match $dtype {
            vlm_core::DType::F64 => {
                type $T = f64;
                $body
            }
            vlm_core::DType::F32 => {
                type $T = f32;
                $body
            }
            vlm_core::DType::F16 => {
                type $T = half::f16;
                $body
            }
            vlm_core::DType::BF16 => {
                type $T = half::bf16;
                $body
            }
            vlm_core::DType::I64 => {
                type $T = i64;
                $body
            }
            vlm_core::DType::I32 => {
                type $T = i32;
                $body
            }
            vlm_core::DType::U32 => {
                type $T = u32;
                $body
            }
            vlm_core::DType::U8 | vlm_core::DType::Bool => {
                type $T = u8;
                $body
            }
        }
    };
}
pub(crate) use with_held;

impl CpuStorage {
    /// Room for `len` elements of unspecified value.
    #[inline]
    pub(crate) fn new(dtype: DType, len: usize) -> Result<Self> {
        let size = len.saturating_mul(dtype.size());
        let bytes = if size <= INLINE { Bytes::Inline([0; INLINE / 8]) } else { Bytes::Pool(Buffer::new(size)?) };
        Ok(CpuStorage { dtype, len, bytes })
    }

    /// Refers to bytes of somebody else if they are aligned for the type, else copies them.
    pub(crate) fn adopt(dtype: DType, host: HostBytes) -> Result<Self> {
        let source = host.as_slice();
        let len = source.len() / dtype.size();
        if source.len() > INLINE && (source.as_ptr() as usize).is_multiple_of(dtype.size()) {
            return Ok(CpuStorage { dtype, len, bytes: Bytes::Adopted(host) });
        }
        let mut new = Self::new(dtype, len)?;
        new.bytes_mut()?.copy_from_slice(source);
        Ok(new)
    }

    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Inline(words) => &bytemuck::cast_slice(words)[..self.len * self.dtype.size()],
            Bytes::Pool(buffer) => buffer.as_bytes(),
            Bytes::Adopted(host) => host.as_slice(),
        }
    }

    /// The bytes for writing: adopted ones are copied first.
    #[inline]
    pub(crate) fn bytes_mut(&mut self) -> Result<&mut [u8]> {
        if let Bytes::Adopted(host) = &self.bytes {
            let mut copy = Buffer::new(host.as_slice().len())?;
            copy.as_bytes_mut().copy_from_slice(host.as_slice());
            self.bytes = Bytes::Pool(copy);
        }
        let size = self.len * self.dtype.size();
        Ok(match &mut self.bytes {
            Bytes::Inline(words) => &mut bytemuck::cast_slice_mut(words)[..size],
            Bytes::Pool(buffer) => buffer.as_bytes_mut(),
            Bytes::Adopted(_) => unreachable!("it was just copied"),
        })
    }

    /// The elements. Alignment holds: inline words and pool blocks by construction, adopted bytes by [`Self::adopt`].
    #[inline]
    pub(crate) fn slice<T: Held>(&self) -> &[T] {
        bytemuck::cast_slice(self.bytes())
    }

    #[inline]
    pub(crate) fn slice_mut<T: Held>(&mut self) -> Result<&mut [T]> {
        Ok(bytemuck::cast_slice_mut(self.bytes_mut()?))
    }

    #[inline]
    pub(crate) fn share(self) -> StorageRef {
        Arc::new(self)
    }

    pub(crate) fn duplicate(&self) -> Result<Self> {
        let mut copy = Self::new(self.dtype, self.len)?;
        copy.bytes_mut()?.copy_from_slice(self.bytes());
        Ok(copy)
    }
}

impl fmt::Debug for CpuStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CpuStorage({} x {})", self.len, self.dtype)
    }
}

impl Storage for CpuStorage {
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

/// Our own storage behind a handle.
#[inline]
pub(crate) fn own(storage: &StorageRef) -> Result<&CpuStorage> {
    storage
        .as_any()
        .downcast_ref()
        .ok_or_else(|| Error::new(ErrorKind::Device, "cpu", format!("{storage:?} does not belong to the cpu device")))
}

/// All elements behind a view's storage.
#[inline]
pub(crate) fn all<'a, T: Held>(view: &View<'a>) -> Result<&'a [T]> {
    Ok(own(view.storage)?.slice())
}

/// The storage for writing: itself if this is the only handle, else a copy.
pub(crate) fn writable(mut storage: StorageRef) -> Result<StorageRef> {
    if Arc::get_mut(&mut storage).is_some() {
        return Ok(storage);
    }
    Ok(own(&storage)?.duplicate()?.share())
}

/// The elements of a storage that [`writable`] returned.
pub(crate) fn elements_mut<T: Held>(storage: &mut StorageRef) -> Result<&mut [T]> {
    let found = Arc::get_mut(storage).and_then(|s| s.as_any_mut().downcast_mut::<CpuStorage>());
    found.map_or_else(|| Err(Error::new(ErrorKind::Device, "cpu", "the storage is shared")), CpuStorage::slice_mut)
}

/// A float type narrower than or equal to `f32`, read and written in blocks.
pub(crate) trait Small: Held {
    /// Widens `from` into `to`.
    fn widen(from: &[Self], to: &mut [f32]);
    /// Rounds `from` into `to`.
    fn narrow(from: &[f32], to: &mut [Self]);
    /// The elements as `f32`, in `scratch` unless they are.
    fn as_f32<'a>(from: &'a [Self], scratch: &'a mut [f32]) -> &'a [f32] {
        let scratch = &mut scratch[..from.len()];
        Self::widen(from, scratch);
        scratch
    }
}

impl Small for f32 {
    fn widen(from: &[f32], to: &mut [f32]) {
        to.copy_from_slice(from);
    }
    fn narrow(from: &[f32], to: &mut [f32]) {
        to.copy_from_slice(from);
    }
    fn as_f32<'a>(from: &'a [f32], _scratch: &'a mut [f32]) -> &'a [f32] {
        from
    }
}

impl Small for bf16 {
    fn widen(from: &[bf16], to: &mut [f32]) {
        crate::simd::widen_bf16(from, to);
    }
    fn narrow(from: &[f32], to: &mut [bf16]) {
        crate::simd::round_bf16(from, to);
    }
}

impl Small for f16 {
    fn widen(from: &[f16], to: &mut [f32]) {
        use half::slice::HalfFloatSliceExt;
        from.convert_to_f32_slice(to);
    }
    fn narrow(from: &[f32], to: &mut [f16]) {
        use half::slice::HalfFloatSliceExt;
        to.convert_from_f32_slice(from);
    }
}

/// Runs `$body` with `$T` standing for a [`Small`] float type, or `$other` for any other element type.
macro_rules! with_small {
    ($dtype:expr, $T:ident => $body:expr, _ => $other:expr) => {
        match $dtype {
            vlm_core::DType::F32 => {
                type $T = f32;
                $body
            }
            vlm_core::DType::F16 => {
                type $T = half::f16;
                $body
            }
            vlm_core::DType::BF16 => {
                type $T = half::bf16;
                $body
            }
            _ => $other,
        }
    };
}
pub(crate) use with_small;
