//! The backend's own storage.

use std::any::Any;
use std::sync::Arc;
use vlm_core::backend::{Storage, StorageRef, View};
use vlm_core::{DType, Element, Error, ErrorKind, Result};

/// Elements: floats of all sizes as `f64`, everything else as `i64`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Numbers {
    Float(Vec<f64>),
    Whole(Vec<i64>),
}

/// Elements with the type that core knows them by.
#[derive(Debug)]
pub(crate) struct DemoStorage {
    pub(crate) dtype: DType,
    pub(crate) numbers: Numbers,
}

impl Storage for DemoStorage {
    fn dtype(&self) -> DType {
        self.dtype
    }

    fn len(&self) -> usize {
        match &self.numbers {
            Numbers::Float(v) => v.len(),
            Numbers::Whole(v) => v.len(),
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

/// `$body` with `$t` as the Rust type of a [`DType`]. Conversions are those of [`Element`]: `half` has functions of the same
/// name that look at a part of the `f64` only.
macro_rules! with_element {
    ($dtype:expr, $t:ident => $body:expr) => {{
        use vlm_core::dtype::{bf16, f16};
        match $dtype {
            DType::F64 => {
                type $t = f64;
                $body
            }
            DType::F32 => {
                type $t = f32;
                $body
            }
            DType::F16 => {
                type $t = f16;
                $body
            }
            DType::BF16 => {
                type $t = bf16;
                $body
            }
            DType::I64 => {
                type $t = i64;
                $body
            }
            DType::I32 => {
                type $t = i32;
                $body
            }
            DType::U32 => {
                type $t = u32;
                $body
            }
            DType::U8 => {
                type $t = u8;
                $body
            }
            DType::Bool => {
                type $t = bool;
                $body
            }
        }
    }};
}
pub(crate) use with_element;

/// Floats as a storage, each rounded to `dtype`; truncated for an integer type.
pub(crate) fn floats(values: impl IntoIterator<Item = f64>, dtype: DType) -> StorageRef {
    let values = values.into_iter();
    let numbers = with_element!(dtype, T => {
        if dtype.is_float() {
            Numbers::Float(values.map(|v| <T as Element>::from_f64(v).to_f64()).collect())
        } else {
            Numbers::Whole(values.map(|v| <T as Element>::from_f64(v).to_i64()).collect())
        }
    });
    Arc::new(DemoStorage { dtype, numbers })
}

/// Integers as a storage, wrapped to `dtype`; rounded for a float type.
pub(crate) fn wholes(values: impl IntoIterator<Item = i64>, dtype: DType) -> StorageRef {
    let values = values.into_iter();
    let numbers = with_element!(dtype, T => {
        if dtype.is_float() {
            Numbers::Float(values.map(|v| T::from_i64(v).to_f64()).collect())
        } else {
            Numbers::Whole(values.map(|v| T::from_i64(v).to_i64()).collect())
        }
    });
    Arc::new(DemoStorage { dtype, numbers })
}

/// The storage behind a handle.
pub(crate) fn demo(storage: &StorageRef) -> Result<&DemoStorage> {
    storage
        .as_any()
        .downcast_ref()
        .ok_or_else(|| Error::new(ErrorKind::Device, "demo", "the storage is of another backend"))
}

/// The elements of a view in row-major order. Strides, offsets and broadcasting are dealt with here, once.
pub(crate) fn read(view: &View<'_>) -> Result<Numbers> {
    let places = view.layout.positions();
    Ok(match &demo(view.storage)?.numbers {
        Numbers::Float(v) => Numbers::Float(places.map(|p| v[p]).collect()),
        Numbers::Whole(v) => Numbers::Whole(places.map(|p| v[p]).collect()),
    })
}

/// As [`read`], for operands that are integers by contract.
pub(crate) fn read_wholes(view: &View<'_>) -> Result<Vec<i64>> {
    match read(view)? {
        Numbers::Whole(v) => Ok(v),
        Numbers::Float(_) => Err(Error::new(ErrorKind::DType, "demo", "expected integers")),
    }
}

/// Changes a storage in place if this is its only handle, else a copy of it.
pub(crate) fn modify(mut storage: StorageRef, change: impl FnOnce(&mut Numbers) -> Result<()>) -> Result<StorageRef> {
    if let Some(only) = Arc::get_mut(&mut storage).and_then(|s| s.as_any_mut().downcast_mut::<DemoStorage>()) {
        change(&mut only.numbers)?;
        return Ok(storage);
    }
    let shared = demo(&storage)?;
    let mut copy = DemoStorage { dtype: shared.dtype, numbers: shared.numbers.clone() };
    change(&mut copy.numbers)?;
    Ok(Arc::new(copy))
}
