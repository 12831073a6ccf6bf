//! What the operations share: making results, contiguous operands, wider types.

use crate::aclnn::{Operand, Stream};
use crate::storage::{AscendStorage, operand, own};
use vlm_core::backend::{OpKind, View, unsupported};
use vlm_core::{DType, Dims, Error, ErrorKind, Layout, Result, Shape};

/// Room for a result.
pub(crate) fn room(s: &Stream, dtype: DType, len: usize) -> Result<AscendStorage> {
    if len == 0 {
        return Ok(AscendStorage::new(None, dtype, 0));
    }
    let Some(bytes) = len.checked_mul(dtype.size()).filter(|&n| isize::try_from(n).is_ok()) else {
        let message = format!("{len} elements of {dtype} are more than any memory has");
        return Err(Error::new(ErrorKind::OutOfMemory, "alloc", message));
    };
    Ok(AscendStorage::new(Some(s.queue().allocate(bytes)?), dtype, len))
}

/// A result of `shape` that `fill` writes; nothing is called where there are no elements.
pub(crate) fn result(
    s: &Stream,
    dtype: DType,
    shape: &Shape,
    fill: impl FnOnce(&Operand) -> Result<()>,
) -> Result<AscendStorage> {
    let out = room(s, dtype, shape.count())?;
    if shape.count() > 0 {
        fill(&out.shaped(*shape).at_least_1d())?;
    }
    Ok(out)
}

/// An operand together with the storage that was made for it, if one was.
pub(crate) struct Held {
    pub(crate) operand: Operand,
    pub(crate) made: Option<AscendStorage>,
}

impl Held {
    fn borrowed(operand: Operand) -> Self {
        Held { operand, made: None }
    }

    pub(crate) fn made(storage: AscendStorage, shape: Dims) -> Self {
        Held { operand: storage.shaped(shape).at_least_1d(), made: Some(storage) }
    }

    /// An operand of something that somebody else holds.
    pub(crate) fn made_of(operand: Operand) -> Self {
        Held::borrowed(operand)
    }

    /// A contiguous operand in another shape.
    pub(crate) fn seen_as(mut self, shape: &Dims) -> Self {
        let sizes = sizes(shape);
        let strides: Vec<i64> = shape.contiguous_strides().iter().map(|&n| n as i64).collect();
        self.operand = self.operand.with_view(&sizes, &strides);
        self
    }

    /// The storage that was made.
    pub(crate) fn into_storage(self) -> Option<AscendStorage> {
        self.made
    }
}

impl std::ops::Deref for Held {
    type Target = Operand;
    fn deref(&self) -> &Operand {
        &self.operand
    }
}

/// The view as an operand of an operation that takes any strides.
pub(crate) fn strided(v: &View<'_>) -> Result<Operand> {
    Ok(operand(v)?.at_least_1d())
}

/// The view with its elements side by side, copied if they are not.
pub(crate) fn contiguous(s: &Stream, v: &View<'_>) -> Result<Held> {
    let o = strided(v)?;
    if o.is_contiguous() && v.layout.offset() == 0 {
        return Ok(Held::borrowed(o));
    }
    let copy = copied(s, v)?;
    Ok(Held::made(copy, *v.shape()))
}

/// A contiguous copy.
pub(crate) fn copied(s: &Stream, v: &View<'_>) -> Result<AscendStorage> {
    if let Some(range) = v.layout.contiguous_range() {
        let (out, src, size) = (room(s, v.dtype(), v.count())?, own(v.storage)?, v.dtype().size());
        if let (Some(to), Some(from)) = (out.block(), src.block()) {
            s.queue().copy_on_device((to, 0), (from, range.start * size), range.len() * size)?;
        }
        return Ok(out);
    }
    let dtype = plain(s, v.dtype());
    result(s, v.dtype(), v.shape(), |out| {
        s.InplaceCopy(&out.clone().reinterpreted(dtype), &strided(v)?.reinterpreted(dtype))
    })
}

/// A type of the same size that every copying operation of the chip takes.
pub(crate) fn plain(s: &Stream, dtype: DType) -> DType {
    match dtype {
        DType::BF16 if !s.queue().chip.has_bf16() => DType::F16,
        DType::U32 => DType::I32,
        DType::F64 => DType::I64,
        DType::Bool => DType::U8,
        other => other,
    }
}

/// The view in another element type; borrowed if it has it.
pub(crate) fn cast(s: &Stream, v: &View<'_>, dtype: DType) -> Result<Held> {
    if v.dtype() == dtype {
        return Ok(Held::borrowed(strided(v)?));
    }
    let out = result(s, dtype, v.shape(), |out| s.Cast(&strided(v)?, dtype, out))?;
    Ok(Held::made(out, *v.shape()))
}

/// A new storage with the elements of another in this type.
pub(crate) fn cast_storage(s: &Stream, x: AscendStorage, dtype: DType) -> Result<AscendStorage> {
    if x.element_type() == dtype {
        return Ok(x);
    }
    let shape = Dims::from_slice(&[x.elements()]);
    result(s, dtype, &shape, |out| s.Cast(&x.row(), dtype, out))
}

/// That the chip computes with this type.
pub(crate) fn computes(s: &Stream, op: OpKind, detail: impl std::fmt::Debug, dtype: DType) -> Result<()> {
    let has = s.queue().chip.dtypes().contains(&dtype);
    if has { Ok(()) } else { Err(refused(s, op, detail, dtype)) }
}

/// What is said where the chip cannot do something.
#[cold]
pub(crate) fn refused(s: &Stream, op: OpKind, detail: impl std::fmt::Debug, dtype: DType) -> Error {
    let name = format!("ascend ({})", s.queue().chip.soc);
    unsupported(&name, op, detail, dtype)
}

/// Indices as the operations take them: `i64` or `i32`. Those of `u32` are below 2^31, as they are in range.
pub(crate) fn positions(s: &Stream, indices: &View<'_>) -> Result<Held> {
    match indices.dtype() {
        DType::I64 | DType::I32 => contiguous(s, indices),
        DType::U32 => {
            let mut held = contiguous(s, indices)?;
            held.operand = held.operand.clone().reinterpreted(DType::I32);
            Ok(held)
        }
        _ => {
            let out = result(s, DType::I64, indices.shape(), |out| s.Cast(&strided(indices)?, DType::I64, out))?;
            Ok(Held::made(out, *indices.shape()))
        }
    }
}

/// The sizes of a shape as the interface has them.
pub(crate) fn sizes(shape: &Dims) -> Vec<i64> {
    shape.iter().map(|&d| d as i64).collect()
}

/// The layout of one row of `len`.
pub(crate) fn flat(len: usize) -> Layout {
    Layout::contiguous(Dims::from_slice(&[len]))
}
