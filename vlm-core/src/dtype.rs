//! Element types and their Rust counterparts.

use crate::{Error, ErrorKind, Result};
pub use half::{bf16, f16};
use std::fmt;

/// The type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DType {
    /// 64-bit IEEE float.
    F64,
    /// 32-bit IEEE float.
    F32,
    /// 16-bit IEEE float.
    F16,
    /// The upper half of an `F32`.
    BF16,
    /// 64-bit signed integer: indices and token ids.
    I64,
    /// 32-bit signed integer.
    I32,
    /// 32-bit unsigned integer.
    U32,
    /// 8-bit unsigned integer: pictures.
    U8,
    /// One byte, 0 or 1.
    Bool,
}

/// The broad class of a [`DType`], which decides promotion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DTypeClass {
    /// [`DType::Bool`].
    Bool,
    /// Any integer.
    Int,
    /// Any float.
    Float,
}

impl DType {
    /// Every element type.
    pub const ALL: [DType; 9] =
        [DType::F64, DType::F32, DType::F16, DType::BF16, DType::I64, DType::I32, DType::U32, DType::U8, DType::Bool];

    /// The floating element types.
    pub const FLOATS: [DType; 4] = [DType::F64, DType::F32, DType::F16, DType::BF16];

    /// Bytes per element.
    pub const fn size(self) -> usize {
        match self {
            DType::F64 | DType::I64 => 8,
            DType::F32 | DType::I32 | DType::U32 => 4,
            DType::F16 | DType::BF16 => 2,
            DType::U8 | DType::Bool => 1,
        }
    }

    /// The name: `"f32"`, `"bf16"`, `"i64"`, `"bool"` …
    pub const fn name(self) -> &'static str {
        match self {
            DType::F64 => "f64",
            DType::F32 => "f32",
            DType::F16 => "f16",
            DType::BF16 => "bf16",
            DType::I64 => "i64",
            DType::I32 => "i32",
            DType::U32 => "u32",
            DType::U8 => "u8",
            DType::Bool => "bool",
        }
    }

    /// Whether elements are floats, the only ones that carry gradients.
    pub const fn is_float(self) -> bool {
        matches!(self.class(), DTypeClass::Float)
    }

    /// Whether elements are integers (`bool` is not).
    pub const fn is_int(self) -> bool {
        matches!(self.class(), DTypeClass::Int)
    }

    /// The class that decides promotion.
    pub const fn class(self) -> DTypeClass {
        match self {
            DType::F64 | DType::F32 | DType::F16 | DType::BF16 => DTypeClass::Float,
            DType::I64 | DType::I32 | DType::U32 | DType::U8 => DTypeClass::Int,
            DType::Bool => DTypeClass::Bool,
        }
    }

    /// The type in which sums over this one are kept: `f32` for half floats, `i64` for integers, else itself.
    pub const fn accumulator(self) -> DType {
        match self {
            DType::F64 => DType::F64,
            DType::F32 | DType::F16 | DType::BF16 => DType::F32,
            DType::I64 | DType::I32 | DType::U32 | DType::U8 | DType::Bool => DType::I64,
        }
    }

    /// The type of `a op b` for tensors `a` and `b`, following PyTorch: the higher class wins; within a class the
    /// wider type; `f16` with `bf16` gives `f32`; `u32` with `i32` gives `i64`.
    pub const fn promote(self, other: DType) -> DType {
        use DType::{BF16, F16, F32, F64, I32, I64, U32};
        if self as u8 == other as u8 {
            return self;
        }
        let (a, b) = (self.class() as u8, other.class() as u8);
        if a != b {
            return if a > b { self } else { other };
        }
        match (self, other) {
            (F64, _) | (_, F64) => F64,
            (F32, _) | (_, F32) => F32,
            (F16, _) | (BF16, _) => F32,
            (I64, _) | (_, I64) | (I32, U32) | (U32, I32) => I64,
            (I32, _) | (_, I32) => I32,
            (U32, _) | (_, U32) => U32,
            (a, _) => a,
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for DType {
    type Err = Error;

    /// Reads a name as [`DType::name`] prints it, or PyTorch's (`"float32"`, `"torch.bfloat16"`).
    fn from_str(text: &str) -> Result<Self> {
        let name = text.strip_prefix("torch.").unwrap_or(text).to_ascii_lowercase();
        Ok(match name.as_str() {
            "f64" | "float64" | "double" => DType::F64,
            "f32" | "float32" | "float" => DType::F32,
            "f16" | "float16" | "half" => DType::F16,
            "bf16" | "bfloat16" => DType::BF16,
            "i64" | "int64" | "long" => DType::I64,
            "i32" | "int32" | "int" => DType::I32,
            "u32" | "uint32" => DType::U32,
            "u8" | "uint8" => DType::U8,
            "bool" => DType::Bool,
            _ => {
                let names = DType::ALL.map(DType::name).join(", ");
                return Err(Error::new(ErrorKind::DType, "parse dtype", format!("unknown element type {text:?}"))
                    .hint(format!("use one of {names}")));
            }
        })
    }
}

mod sealed {
    pub trait Sealed {}
}

/// A Rust type that a tensor can hold. Sealed: the set is that of [`DType`].
///
/// `bool` tensors are read and written as `bool` and stored as one byte each.
pub trait Element: sealed::Sealed + Copy + Send + Sync + fmt::Debug + PartialEq + 'static {
    /// The matching element type.
    const DTYPE: DType;
    /// The value as `f64`; integers beyond 2^53 are rounded.
    fn to_f64(self) -> f64;
    /// The value nearest to `value`; integers truncate towards zero and saturate, `bool` is `value != 0`.
    fn from_f64(value: f64) -> Self;
    /// The value as `i64`; floats truncate towards zero and saturate.
    fn to_i64(self) -> i64;
    /// The value nearest to `value`; integers wrap as in C, `bool` is `value != 0`.
    fn from_i64(value: i64) -> Self;
    /// Views elements as bytes.
    fn as_bytes(slice: &[Self]) -> &[u8];
    /// Copies elements out of bytes of this type, which need not be aligned.
    ///
    /// A trailing part shorter than one element is ignored.
    fn from_bytes(bytes: &[u8]) -> Vec<Self>;
}

macro_rules! element {
    ($($t:ty => $dtype:ident, $to_f64:expr, $from_f64:expr, $to_i64:expr, $from_i64:expr;)*) => {$(
        impl sealed::Sealed for $t {}
        impl Element for $t {
            const DTYPE: DType = DType::$dtype;
            #[inline] fn to_f64(self) -> f64 { ($to_f64)(self) }
            #[inline] fn from_f64(value: f64) -> Self { ($from_f64)(value) }
            #[inline] fn to_i64(self) -> i64 { ($to_i64)(self) }
            #[inline] fn from_i64(value: i64) -> Self { ($from_i64)(value) }
            fn as_bytes(slice: &[Self]) -> &[u8] { bytemuck::cast_slice(slice) }
            fn from_bytes(bytes: &[u8]) -> Vec<Self> {
                bytes.chunks_exact(size_of::<$t>()).map(bytemuck::pod_read_unaligned).collect()
            }
        }
    )*};
}

element! {
    f64 => F64, |x| x, |x| x, |x: f64| x as i64, |x: i64| x as f64;
    f32 => F32, f64::from, |x: f64| x as f32, |x: f32| x as i64, |x: i64| x as f32;
    f16 => F16, f16::to_f64, |x: f64| f16::from_f32(to_odd(x)), |x: f16| x.to_f32() as i64, |x: i64| f16::from_f32(to_odd(x as f64));
    bf16 => BF16, bf16::to_f64, |x: f64| bf16::from_f32(to_odd(x)), |x: bf16| x.to_f32() as i64, |x: i64| bf16::from_f32(to_odd(x as f64));
    i64 => I64, |x: i64| x as f64, |x: f64| x as i64, |x| x, |x| x;
    i32 => I32, f64::from, |x: f64| x as i32, i64::from, |x: i64| x as i32;
    u32 => U32, f64::from, |x: f64| x as u32, i64::from, |x: i64| x as u32;
    u8 => U8, f64::from, |x: f64| x as u8, i64::from, |x: i64| x as u8;
}

/// `x` in `f32`, inexact results rounded to the neighbour whose last bit is set (Boldo and Melquiond 2005): rounding that
/// to half precision is as if `x` had been rounded once. The `half` crate looks at the upper half of an `f64` only.
fn to_odd(x: f64) -> f32 {
    let near = x as f32;
    if f64::from(near) == x || !near.is_finite() || near.to_bits() & 1 == 1 {
        return near;
    }
    let away = f64::from(near).abs() > x.abs();
    f32::from_bits(if away { near.to_bits() - 1 } else { near.to_bits() + 1 })
}

impl sealed::Sealed for bool {}
impl Element for bool {
    const DTYPE: DType = DType::Bool;
    fn to_f64(self) -> f64 {
        f64::from(u8::from(self))
    }
    fn from_f64(value: f64) -> Self {
        value != 0.0
    }
    fn to_i64(self) -> i64 {
        i64::from(self)
    }
    fn from_i64(value: i64) -> Self {
        value != 0
    }
    fn as_bytes(slice: &[Self]) -> &[u8] {
        bytemuck::cast_slice(slice)
    }
    fn from_bytes(bytes: &[u8]) -> Vec<Self> {
        bytes.iter().map(|&b| b != 0).collect()
    }
}

/// A single number whose type follows the tensor it meets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scalar {
    /// A float.
    Float(f64),
    /// An integer.
    Int(i64),
    /// A truth value.
    Bool(bool),
}

impl Scalar {
    /// The value as `f64`.
    pub fn to_f64(self) -> f64 {
        match self {
            Scalar::Float(x) => x,
            Scalar::Int(x) => x as f64,
            Scalar::Bool(x) => x.to_f64(),
        }
    }

    /// The value as an element of type `T`, keeping integers exact.
    pub fn to<T: Element>(self) -> T {
        match self {
            Scalar::Float(x) => T::from_f64(x),
            Scalar::Int(x) => T::from_i64(x),
            Scalar::Bool(x) => T::from_i64(x.into()),
        }
    }
}

impl From<f64> for Scalar {
    fn from(value: f64) -> Self {
        Scalar::Float(value)
    }
}
impl From<f32> for Scalar {
    fn from(value: f32) -> Self {
        Scalar::Float(value.into())
    }
}
impl From<i64> for Scalar {
    fn from(value: i64) -> Self {
        Scalar::Int(value)
    }
}
impl From<i32> for Scalar {
    fn from(value: i32) -> Self {
        Scalar::Int(value.into())
    }
}
impl From<bool> for Scalar {
    fn from(value: bool) -> Self {
        Scalar::Bool(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promotion_is_symmetric_and_follows_pytorch() {
        for a in DType::ALL {
            for b in DType::ALL {
                assert_eq!(a.promote(b), b.promote(a), "{a} {b}");
            }
        }
        assert_eq!(DType::F16.promote(DType::BF16), DType::F32);
        assert_eq!(DType::U8.promote(DType::Bool), DType::U8);
        assert_eq!(DType::I64.promote(DType::F16), DType::F16);
        assert_eq!(DType::I32.promote(DType::U32), DType::I64);
    }

    #[test]
    fn half_floats_are_rounded_once() {
        // Just above the middle of two neighbours, by less than an f32 can tell.
        let above = 1.0 + 2f64.powi(-8) + 2f64.powi(-40);
        assert_eq!(<bf16 as Element>::from_f64(above).to_f64(), 1.0 + 2f64.powi(-7));
        assert_eq!(<bf16 as Element>::from_f64(1.0 + 2f64.powi(-8)).to_f64(), 1.0);
        let below = 1.0 + 3.0 * 2f64.powi(-11) - 2f64.powi(-40);
        assert_eq!(<f16 as Element>::from_f64(below).to_f64(), 1.0 + 2f64.powi(-10));
        assert_eq!(<f16 as Element>::from_f64(-65519.999).to_f64(), -65504.0);
        assert_eq!(<f16 as Element>::from_f64(65520.0).to_f64(), f64::INFINITY);
        assert!(<bf16 as Element>::from_f64(f64::NAN).to_f64().is_nan());
        assert_eq!(<f16 as Element>::from_f64(2f64.powi(-25) * 1.000_000_001).to_f64(), 2f64.powi(-24));
    }

    #[test]
    fn names_round_trip_and_unknown_ones_are_refused() {
        for d in DType::ALL {
            assert_eq!(d.name().parse::<DType>().unwrap(), d);
        }
        assert_eq!("torch.bfloat16".parse::<DType>().unwrap(), DType::BF16);
        let e = "float8".parse::<DType>().unwrap_err();
        assert!(e.to_string().contains("float8") && e.to_string().contains("bf16"), "{e}");
    }
}
