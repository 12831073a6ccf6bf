//! Typed vectors as storage.

use crate::backend::{Storage, StorageRef, View};
use crate::{DType, Element, Error, ErrorKind, Layout, Result};
use half::{bf16, f16};
use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Elements of one type.
#[derive(Clone)]
pub(super) enum Data {
    F64(Vec<f64>),
    F32(Vec<f32>),
    F16(Vec<f16>),
    BF16(Vec<bf16>),
    I64(Vec<i64>),
    I32(Vec<i32>),
    U32(Vec<u32>),
    U8(Vec<u8>),
    Bool(Vec<bool>),
}

/// Runs `$body` with `$v` bound to the vector inside, whatever its type.
macro_rules! each {
    ($data:expr, $v:ident => $body:expr) => {
        match $data {
            Data::F64($v) => $body,
            Data::F32($v) => $body,
            Data::F16($v) => $body,
            Data::BF16($v) => $body,
            Data::I64($v) => $body,
            Data::I32($v) => $body,
            Data::U32($v) => $body,
            Data::U8($v) => $body,
            Data::Bool($v) => $body,
        }
    };
}

/// Runs `$body` with `$T` standing for the Rust type of a dtype.
macro_rules! with_type {
    ($dtype:expr, $T:ident => $body:expr) => {
        match $dtype {
            DType::F64 => {
                type $T = f64;
                $body
            }
            DType::F32 => {
                type $T = f32;
                $body
            }
            DType::F16 => {
                type $T = half::f16;
                $body
            }
            DType::BF16 => {
                type $T = half::bf16;
                $body
            }
            DType::I64 => {
                type $T = i64;
                $body
            }
            DType::I32 => {
                type $T = i32;
                $body
            }
            DType::U32 => {
                type $T = u32;
                $body
            }
            DType::U8 => {
                type $T = u8;
                $body
            }
            DType::Bool => {
                type $T = bool;
                $body
            }
        }
    };
}
pub(super) use with_type;

/// A Rust type that [`Data`] holds.
pub(super) trait Held: crate::Element {
    fn wrap(values: Vec<Self>) -> Data;
    fn of(data: &Data) -> Option<&[Self]>;
    fn of_mut(data: &mut Data) -> Option<&mut Vec<Self>>;
}

macro_rules! held {
    ($($t:ty => $variant:ident),*) => {$(
        impl Held for $t {
            fn wrap(values: Vec<Self>) -> Data { Data::$variant(values) }
            fn of(data: &Data) -> Option<&[Self]> { if let Data::$variant(v) = data { Some(v) } else { None } }
            fn of_mut(data: &mut Data) -> Option<&mut Vec<Self>> { if let Data::$variant(v) = data { Some(v) } else { None } }
        }
    )*};
}
held!(f64 => F64, f32 => F32, f16 => F16, bf16 => BF16, i64 => I64, i32 => I32, u32 => U32, u8 => U8, bool => Bool);

impl Data {
    pub(super) fn dtype(&self) -> DType {
        match self {
            Data::F64(_) => DType::F64,
            Data::F32(_) => DType::F32,
            Data::F16(_) => DType::F16,
            Data::BF16(_) => DType::BF16,
            Data::I64(_) => DType::I64,
            Data::I32(_) => DType::I32,
            Data::U32(_) => DType::U32,
            Data::U8(_) => DType::U8,
            Data::Bool(_) => DType::Bool,
        }
    }

    pub(super) fn len(&self) -> usize {
        each!(self, v => v.len())
    }

    pub(super) fn bytes(&self) -> &[u8] {
        each!(self, v => crate::Element::as_bytes(v))
    }
}

/// An empty vector with room for `len` elements, or the error that there is none.
pub(super) fn room<T>(len: usize) -> Result<Vec<T>> {
    let mut v = Vec::new();
    v.try_reserve_exact(len).map_err(|_| {
        let message = format!("{len} elements of {} bytes do not fit into memory", size_of::<T>());
        Error::new(ErrorKind::OutOfMemory, "alloc", message)
    })?;
    Ok(v)
}

/// The elements of a view in row-major order, borrowed where they lie so.
pub(super) fn read<'a, T: Held>(view: &View<'a>) -> Result<Cow<'a, [T]>> {
    let all = T::of(data(view.storage)?).ok_or_else(|| wrong_type(view.dtype(), T::DTYPE))?;
    if let Some(range) = view.layout.contiguous_range() {
        return Ok(Cow::Borrowed(&all[range]));
    }
    let mut out = room(view.count())?;
    out.extend(view.layout.positions().map(|p| all[p]));
    Ok(Cow::Owned(out))
}

/// The elements of any float view as `f64`, or any other as `f64` too (exact up to 2^53).
pub(super) fn read_f64(view: &View<'_>) -> Result<Vec<f64>> {
    with_type!(view.dtype(), T => {
        let values = read::<T>(view)?;
        let mut out = room(values.len())?;
        out.extend(values.iter().map(|v| crate::Element::to_f64(*v)));
        Ok(out)
    })
}

/// The elements of an integer or truth view as `i64`.
pub(super) fn read_i64(view: &View<'_>) -> Result<Vec<i64>> {
    with_type!(view.dtype(), T => {
        let values = read::<T>(view)?;
        let mut out = room(values.len())?;
        out.extend(values.iter().map(|v| crate::Element::to_i64(*v)));
        Ok(out)
    })
}

/// Rounds `f64`s to a type.
pub(super) fn round(values: Vec<f64>, dtype: DType) -> Data {
    if dtype == DType::F64 {
        return Data::F64(values);
    }
    with_type!(dtype, T => T::wrap(values.into_iter().map(<T as crate::Element>::from_f64).collect()))
}

/// Wraps `i64`s to a type.
pub(super) fn narrow(values: Vec<i64>, dtype: DType) -> Data {
    if dtype == DType::I64 {
        return Data::I64(values);
    }
    with_type!(dtype, T => T::wrap(values.into_iter().map(<T as crate::Element>::from_i64).collect()))
}

fn wrong_type(found: DType, wanted: DType) -> Error {
    Error::new(ErrorKind::DType, "ref", format!("expected {wanted}, found {found}"))
}

/// What is in use, in bytes.
#[derive(Debug, Default)]
pub(super) struct Usage {
    pub(super) now: AtomicU64,
    pub(super) peak: AtomicU64,
    pub(super) allocations: AtomicU64,
}

/// The storage of the reference device.
pub(super) struct HostStorage {
    pub(super) data: Data,
    usage: Arc<Usage>,
}

impl HostStorage {
    pub(super) fn new(data: Data, usage: &Arc<Usage>) -> Self {
        let bytes = data.bytes().len() as u64;
        let now = usage.now.fetch_add(bytes, Ordering::Relaxed) + bytes;
        usage.peak.fetch_max(now, Ordering::Relaxed);
        usage.allocations.fetch_add(1, Ordering::Relaxed);
        HostStorage { data, usage: usage.clone() }
    }
}

impl Drop for HostStorage {
    fn drop(&mut self) {
        self.usage.now.fetch_sub(self.data.bytes().len() as u64, Ordering::Relaxed);
    }
}

impl fmt::Debug for HostStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostStorage({} x {})", self.data.len(), self.data.dtype())
    }
}

impl Storage for HostStorage {
    fn dtype(&self) -> DType {
        self.data.dtype()
    }
    fn len(&self) -> usize {
        self.data.len()
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

/// The vector behind a handle.
pub(super) fn data(storage: &StorageRef) -> Result<&Data> {
    storage.as_any().downcast_ref::<HostStorage>().map(|s| &s.data).ok_or_else(|| {
        Error::new(ErrorKind::Device, "ref", format!("{storage:?} does not belong to the reference device"))
    })
}

/// Copies `src` to the places of `dst` that `layout` names.
pub(super) fn write(dst: &mut Data, layout: &Layout, src: View<'_>) -> Result<()> {
    let dtype = dst.dtype();
    with_type!(dtype, T => {
        let values = read::<T>(&src)?;
        let Some(out) = T::of_mut(dst) else { return Err(wrong_type(dtype, T::DTYPE)) };
        match layout.contiguous_range() {
            Some(range) => out[range].copy_from_slice(&values),
            None => layout.positions().zip(values.iter()).for_each(|(p, v)| out[p] = *v),
        }
        Ok(())
    })
}
