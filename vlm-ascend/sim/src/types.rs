//! Element types, scalars and tensors as a caller describes them.

use half::{bf16, f16};
use std::ops::Range;

/// An element type (`aclDataType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum DType {
    F32,
    F16,
    I8,
    I32,
    U8,
    I16,
    U16,
    U32,
    I64,
    U64,
    F64,
    Bool,
    BF16,
    /// Two to a byte, the low half first.
    I4,
}

pub(crate) const FLOATS: &[DType] = &[DType::F32, DType::F16, DType::BF16];
pub(crate) const FLOATS64: &[DType] = &[DType::F32, DType::F16, DType::BF16, DType::F64];

impl DType {
    /// From the number that the interface has for it.
    pub(crate) fn from_acl(number: i32) -> Option<Self> {
        Some(match number {
            0 => DType::F32,
            1 => DType::F16,
            2 => DType::I8,
            3 => DType::I32,
            4 => DType::U8,
            6 => DType::I16,
            7 => DType::U16,
            8 => DType::U32,
            9 => DType::I64,
            10 => DType::U64,
            11 => DType::F64,
            12 => DType::Bool,
            27 => DType::BF16,
            29 => DType::I4,
            _ => return None,
        })
    }

    /// The number that the interface has for it.
    pub(crate) fn to_acl(self) -> i32 {
        match self {
            DType::F32 => 0,
            DType::F16 => 1,
            DType::I8 => 2,
            DType::I32 => 3,
            DType::U8 => 4,
            DType::I16 => 6,
            DType::U16 => 7,
            DType::U32 => 8,
            DType::I64 => 9,
            DType::U64 => 10,
            DType::F64 => 11,
            DType::Bool => 12,
            DType::BF16 => 27,
            DType::I4 => 29,
        }
    }

    /// Bits of an element.
    pub(crate) fn bits(self) -> usize {
        match self {
            DType::I4 => 4,
            DType::I8 | DType::U8 | DType::Bool => 8,
            DType::F16 | DType::BF16 | DType::I16 | DType::U16 => 16,
            DType::F32 | DType::I32 | DType::U32 => 32,
            DType::F64 | DType::I64 | DType::U64 => 64,
        }
    }

    pub(crate) fn is_float(self) -> bool {
        matches!(self, DType::F32 | DType::F16 | DType::BF16 | DType::F64)
    }

    /// A number rounded to a float type, as a number; unchanged for integers.
    pub(crate) fn round(self, x: f64) -> f64 {
        match self {
            DType::F32 => f64::from(x as f32),
            DType::F16 => f16::from_f32(odd(x)).to_f64(),
            DType::BF16 => bf16::from_f32(odd(x)).to_f64(),
            _ => x,
        }
    }
}

/// A number as `f32`, rounded so that rounding it once more to fewer bits is as if that had been the only time: to the neighbour
/// whose last bit is set, where it is not exact.
pub(crate) fn odd(x: f64) -> f32 {
    let near = x as f32;
    if f64::from(near) == x || !near.is_finite() {
        return near;
    }
    let below = if f64::from(near).abs() > x.abs() { near.to_bits() - 1 } else { near.to_bits() };
    f32::from_bits(below | 1)
}

/// The value of an `aclScalar`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Scalar {
    pub(crate) dtype: DType,
    value: Value,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Value {
    Float(f64),
    Int(i64),
}

impl Scalar {
    pub(crate) fn float(dtype: DType, value: f64) -> Self {
        Scalar { dtype, value: Value::Float(value) }
    }
    pub(crate) fn int(dtype: DType, value: i64) -> Self {
        Scalar { dtype, value: Value::Int(value) }
    }
    /// The value as a float.
    pub(crate) fn f64(self) -> f64 {
        match self.value {
            Value::Float(x) => x,
            Value::Int(x) => x as f64,
        }
    }
    /// The value as an integer, towards zero.
    pub(crate) fn i64(self) -> i64 {
        match self.value {
            Value::Float(x) => x as i64,
            Value::Int(x) => x,
        }
    }
}

/// A tensor as it was described when an operation was planned: a view into a storage. Where the storage lies is known only
/// when the operation runs ([`Run`](crate::run::Run)), as the caller may change it in between.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tensor {
    pub(crate) dtype: DType,
    pub(crate) dims: Vec<usize>,
    /// In elements.
    pub(crate) strides: Vec<usize>,
    /// Of the first element from the start of the storage, in elements.
    pub(crate) offset: usize,
    /// `aclFormat`.
    pub(crate) format: i32,
    /// Elements of the storage.
    pub(crate) storage: usize,
    /// Which operand of the call it is.
    pub(crate) slot: usize,
}

impl Tensor {
    pub(crate) fn rank(&self) -> usize {
        self.dims.len()
    }

    pub(crate) fn count(&self) -> usize {
        self.dims.iter().product()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// Whether the elements lie side by side in row-major order.
    pub(crate) fn is_contiguous(&self) -> bool {
        let mut expected = 1;
        for (&d, &s) in self.dims.iter().zip(&self.strides).rev() {
            if d != 1 && s != expected {
                return self.is_empty();
            }
            expected *= d.max(1);
        }
        true
    }

    /// One past the last element that the view reaches, from the start of the storage.
    pub(crate) fn end(&self) -> usize {
        if self.is_empty() {
            return self.offset;
        }
        self.offset + self.dims.iter().zip(&self.strides).map(|(&d, &s)| (d - 1) * s).sum::<usize>() + 1
    }

    /// The bytes that the view reaches, from the start of the storage.
    pub(crate) fn bytes(&self) -> Range<usize> {
        let bits = self.dtype.bits();
        self.offset * bits / 8..(self.end() * bits).div_ceil(8)
    }

    /// Whether two indices name the same element.
    pub(crate) fn overlaps_itself(&self) -> bool {
        if self.is_empty() {
            return false;
        }
        let mut dims: Vec<(usize, usize)> =
            self.strides.iter().copied().zip(self.dims.iter().copied()).filter(|&(_, d)| d > 1).collect();
        dims.sort_unstable();
        let mut reach = 0;
        for (stride, size) in dims {
            if stride <= reach {
                return true;
            }
            reach += stride * (size - 1);
        }
        false
    }

    /// The same storage seen with other dimensions, which the caller has computed.
    pub(crate) fn with_view(&self, dims: Vec<usize>, strides: Vec<usize>, offset: usize) -> Tensor {
        Tensor { dims, strides, offset, ..self.clone() }
    }

    /// The view broadcast to `dims` by strides of 0, or `None` where it does not fit.
    pub(crate) fn broadcast(&self, dims: &[usize]) -> Option<Tensor> {
        let lead = dims.len().checked_sub(self.rank())?;
        let mut strides = vec![0; dims.len()];
        for (i, (&d, &s)) in self.dims.iter().zip(&self.strides).enumerate() {
            if d == dims[lead + i] {
                strides[lead + i] = s;
            } else if d != 1 {
                return None;
            }
        }
        Some(self.with_view(dims.to_vec(), strides, self.offset))
    }

    /// The position of dimension `dim`, which may count from the end.
    pub(crate) fn dim(&self, dim: i64) -> Option<usize> {
        let rank = self.rank().max(1) as i64;
        (-rank..rank).contains(&dim).then(|| dim.rem_euclid(rank) as usize)
    }

    /// For each element in row-major order, its place in the storage.
    pub(crate) fn places(&self) -> Places<'_> {
        Places { tensor: self, at: vec![0; self.rank()], place: self.offset, left: self.count() }
    }
}

/// See [`Tensor::places`].
pub(crate) struct Places<'a> {
    tensor: &'a Tensor,
    at: Vec<usize>,
    place: usize,
    left: usize,
}

impl Iterator for Places<'_> {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        let found = self.place;
        for d in (0..self.at.len()).rev() {
            let (size, stride) = (self.tensor.dims[d], self.tensor.strides[d]);
            self.at[d] += 1;
            self.place += stride;
            if self.at[d] < size {
                break;
            }
            self.place -= stride * size;
            self.at[d] = 0;
        }
        Some(found)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

/// The shape that shapes broadcast to.
pub(crate) fn broadcast_dims(shapes: &[&[usize]]) -> Option<Vec<usize>> {
    let rank = shapes.iter().map(|s| s.len()).max().unwrap_or(0);
    let mut out = vec![1; rank];
    for shape in shapes {
        let lead = rank - shape.len();
        for (i, &d) in shape.iter().enumerate() {
            let o = &mut out[lead + i];
            match (*o, d) {
                (a, b) if a == b => {}
                (1, b) => *o = b,
                (_, 1) => {}
                _ => return None,
            }
        }
    }
    Some(out)
}

/// Row-major strides.
pub(crate) fn contiguous_strides(dims: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; dims.len()];
    for d in (0..dims.len().saturating_sub(1)).rev() {
        strides[d] = strides[d + 1] * dims[d + 1].max(1);
    }
    strides
}
