//! What a kernel sees when it runs: the memory of its operands.

use crate::plan::Fault;
use crate::runtime::memory::Memory;
use crate::types::{DType, Tensor, odd};
use half::{bf16, f16};

/// The device's memory, and where the operands of this call lie.
///
/// Reading gives the elements in row-major order of the view; writing takes them so.
pub(crate) struct Run<'a> {
    pub(crate) memory: &'a mut Memory,
    /// The storage of each operand, by its slot.
    pub(crate) addresses: &'a [u64],
}

macro_rules! read_as {
    ($bytes:expr, $t:expr, $T:ty, $f:expr) => {{
        let size = size_of::<$T>();
        let at = |i: usize| <$T>::from_ne_bytes($bytes[i * size..][..size].try_into().expect("the size of the type"));
        // Bytes begin at the view's first element.
        let base = $t.offset;
        if $t.is_contiguous() {
            (0..$t.count()).map(|i| $f(at(i))).collect()
        } else {
            $t.places().map(|p| $f(at(p - base))).collect()
        }
    }};
}

macro_rules! write_as {
    ($bytes:expr, $t:expr, $T:ty, $values:expr, $f:expr) => {{
        let size = size_of::<$T>();
        let base = $t.offset;
        if $t.is_contiguous() {
            for (to, &v) in $bytes.chunks_exact_mut(size).zip($values) {
                to.copy_from_slice(&<$T>::to_ne_bytes($f(v)));
            }
        } else {
            for (p, &v) in $t.places().zip($values) {
                $bytes[(p - base) * size..][..size].copy_from_slice(&<$T>::to_ne_bytes($f(v)));
            }
        }
    }};
}

/// The four bits at `place` as a signed number.
fn nibble(bytes: &[u8], place: usize) -> i8 {
    let byte = bytes[place / 2];
    let half = if place.is_multiple_of(2) { byte & 15 } else { byte >> 4 };
    ((half << 4) as i8) >> 4
}

impl Run<'_> {
    fn bytes(&self, t: &Tensor) -> Result<&[u8], Fault> {
        let range = t.bytes();
        self.memory.read(self.addresses[t.slot] + range.start as u64, range.len())
    }

    fn bytes_mut(&mut self, t: &Tensor) -> Result<&mut [u8], Fault> {
        let range = t.bytes();
        self.memory.write(self.addresses[t.slot] + range.start as u64, range.len())
    }

    /// The elements as `f64`: exact for all types but large 64-bit integers.
    pub(crate) fn f64s(&self, t: &Tensor) -> Result<Vec<f64>, Fault> {
        if t.is_empty() {
            return Ok(Vec::new());
        }
        let b = self.bytes(t)?;
        Ok(match t.dtype {
            DType::F32 => read_as!(b, t, f32, f64::from),
            DType::F16 => read_as!(b, t, u16, |x| f16::from_bits(x).to_f64()),
            DType::BF16 => read_as!(b, t, u16, |x| bf16::from_bits(x).to_f64()),
            DType::F64 => read_as!(b, t, f64, |x| x),
            DType::I8 => read_as!(b, t, i8, f64::from),
            DType::I16 => read_as!(b, t, i16, f64::from),
            DType::I32 => read_as!(b, t, i32, f64::from),
            DType::I64 => read_as!(b, t, i64, |x| x as f64),
            DType::U8 => read_as!(b, t, u8, f64::from),
            DType::U16 => read_as!(b, t, u16, f64::from),
            DType::U32 => read_as!(b, t, u32, f64::from),
            DType::U64 => read_as!(b, t, u64, |x| x as f64),
            DType::Bool => read_as!(b, t, u8, |x| f64::from(u8::from(x != 0))),
            DType::I4 => t.places().map(|p| f64::from(nibble(b, p - t.offset / 2 * 2))).collect(),
        })
    }

    /// The elements as `f32`.
    pub(crate) fn f32s(&self, t: &Tensor) -> Result<Vec<f32>, Fault> {
        if t.is_empty() {
            return Ok(Vec::new());
        }
        let b = self.bytes(t)?;
        Ok(match t.dtype {
            DType::F32 => read_as!(b, t, f32, |x| x),
            DType::F16 => read_as!(b, t, u16, |x| f16::from_bits(x).to_f32()),
            DType::BF16 => read_as!(b, t, u16, |x| bf16::from_bits(x).to_f32()),
            _ => return Ok(self.f64s(t)?.into_iter().map(|x| x as f32).collect()),
        })
    }

    /// The elements as `i64`; floats towards zero.
    pub(crate) fn i64s(&self, t: &Tensor) -> Result<Vec<i64>, Fault> {
        if t.is_empty() {
            return Ok(Vec::new());
        }
        let b = self.bytes(t)?;
        Ok(match t.dtype {
            DType::I64 => read_as!(b, t, i64, |x| x),
            DType::U64 => read_as!(b, t, u64, |x| x as i64),
            DType::I32 => read_as!(b, t, i32, i64::from),
            DType::U32 => read_as!(b, t, u32, i64::from),
            _ => return Ok(self.f64s(t)?.into_iter().map(|x| x as i64).collect()),
        })
    }

    /// The elements as truth values: whether they are not zero (NaN is not zero).
    pub(crate) fn bools(&self, t: &Tensor) -> Result<Vec<bool>, Fault> {
        Ok(self.f64s(t)?.into_iter().map(|x| x != 0.0).collect())
    }

    /// Writes numbers, rounded to nearest even for float types; towards zero and saturating for integers; whether they
    /// are not zero for `Bool`.
    pub(crate) fn put_f64(&mut self, t: &Tensor, values: &[f64]) -> Result<(), Fault> {
        debug_assert_eq!(values.len(), t.count());
        if t.is_empty() {
            return Ok(());
        }
        let b = self.bytes_mut(t)?;
        match t.dtype {
            DType::F32 => write_as!(b, t, f32, values, |v: f64| v as f32),
            DType::F16 => write_as!(b, t, u16, values, |v| f16::from_f32(odd(v)).to_bits()),
            DType::BF16 => write_as!(b, t, u16, values, |v| bf16::from_f32(odd(v)).to_bits()),
            DType::F64 => write_as!(b, t, f64, values, |v: f64| v),
            DType::I8 => write_as!(b, t, i8, values, |v: f64| v as i8),
            DType::I16 => write_as!(b, t, i16, values, |v: f64| v as i16),
            DType::I32 => write_as!(b, t, i32, values, |v: f64| v as i32),
            DType::I64 => write_as!(b, t, i64, values, |v: f64| v as i64),
            DType::U8 => write_as!(b, t, u8, values, |v: f64| v as u8),
            DType::U16 => write_as!(b, t, u16, values, |v: f64| v as u16),
            DType::U32 => write_as!(b, t, u32, values, |v: f64| v as u32),
            DType::U64 => write_as!(b, t, u64, values, |v: f64| v as u64),
            DType::Bool => write_as!(b, t, u8, values, |v: f64| u8::from(v != 0.0)),
            DType::I4 => {
                let base = t.offset / 2 * 2;
                for (p, &v) in t.places().zip(values) {
                    let (p, v) = (p - base, (v.clamp(-8.0, 7.0) as i8 as u8) & 15);
                    let byte = &mut b[p / 2];
                    *byte = if p.is_multiple_of(2) { *byte & 0xF0 | v } else { *byte & 15 | v << 4 };
                }
            }
        }
        Ok(())
    }

    /// As [`Run::put_f64`].
    pub(crate) fn put_f32(&mut self, t: &Tensor, values: &[f32]) -> Result<(), Fault> {
        debug_assert_eq!(values.len(), t.count());
        if t.is_empty() {
            return Ok(());
        }
        match t.dtype {
            DType::F32 => write_as!(self.bytes_mut(t)?, t, f32, values, |v: f32| v),
            DType::F16 => write_as!(self.bytes_mut(t)?, t, u16, values, |v| f16::from_f32(v).to_bits()),
            DType::BF16 => write_as!(self.bytes_mut(t)?, t, u16, values, |v| bf16::from_f32(v).to_bits()),
            _ => return self.put_f64(t, &values.iter().map(|&v| f64::from(v)).collect::<Vec<_>>()),
        }
        Ok(())
    }

    /// Writes integers, which wrap in narrower types.
    pub(crate) fn put_i64(&mut self, t: &Tensor, values: &[i64]) -> Result<(), Fault> {
        debug_assert_eq!(values.len(), t.count());
        if t.is_empty() {
            return Ok(());
        }
        match t.dtype {
            DType::I64 | DType::U64 => write_as!(self.bytes_mut(t)?, t, i64, values, |v: i64| v),
            DType::I32 | DType::U32 => write_as!(self.bytes_mut(t)?, t, i32, values, |v: i64| v as i32),
            DType::I16 | DType::U16 => write_as!(self.bytes_mut(t)?, t, i16, values, |v: i64| v as i16),
            DType::I8 | DType::U8 => write_as!(self.bytes_mut(t)?, t, i8, values, |v: i64| v as i8),
            DType::Bool => write_as!(self.bytes_mut(t)?, t, u8, values, |v: i64| u8::from(v != 0)),
            _ => return self.put_f64(t, &values.iter().map(|&v| v as f64).collect::<Vec<_>>()),
        }
        Ok(())
    }

    /// Writes truth values: 1 and 0.
    pub(crate) fn put_bools(&mut self, t: &Tensor, values: &[bool]) -> Result<(), Fault> {
        self.put_i64(t, &values.iter().map(|&v| i64::from(v)).collect::<Vec<_>>())
    }

    /// Moves elements from one view to another of the same type and shape, bit by bit.
    pub(crate) fn move_elements(&mut self, from: &Tensor, to: &Tensor) -> Result<(), Fault> {
        debug_assert_eq!((from.dtype, &from.dims), (to.dtype, &to.dims));
        if from.is_empty() {
            return Ok(());
        }
        if from.dtype == DType::I4 {
            let values = self.f64s(from)?;
            return self.put_f64(to, &values);
        }
        let size = from.dtype.bits() / 8;
        let source = self.bytes(from)?.to_vec();
        let (a, b) = (from.offset, to.offset);
        let target = self.bytes_mut(to)?;
        if from.is_contiguous() && to.is_contiguous() {
            target.copy_from_slice(&source);
            return Ok(());
        }
        for (p, q) in from.places().zip(to.places()) {
            target[(q - b) * size..][..size].copy_from_slice(&source[(p - a) * size..][..size]);
        }
        Ok(())
    }

    /// The bytes of the elements in row-major order.
    pub(crate) fn raw(&self, t: &Tensor) -> Result<Vec<u8>, Fault> {
        if t.is_empty() {
            return Ok(Vec::new());
        }
        let (bytes, size) = (self.bytes(t)?, t.dtype.bits() / 8);
        if t.is_contiguous() {
            return Ok(bytes.to_vec());
        }
        Ok(t.places().flat_map(|p| &bytes[(p - t.offset) * size..][..size]).copied().collect())
    }

    /// Writes the bytes of elements in row-major order.
    pub(crate) fn put_raw(&mut self, t: &Tensor, values: &[u8]) -> Result<(), Fault> {
        if t.is_empty() {
            return Ok(());
        }
        let (size, base) = (t.dtype.bits() / 8, t.offset);
        let bytes = self.bytes_mut(t)?;
        if t.is_contiguous() {
            bytes.copy_from_slice(values);
            return Ok(());
        }
        for (p, v) in t.places().zip(values.chunks_exact(size)) {
            bytes[(p - base) * size..][..size].copy_from_slice(v);
        }
        Ok(())
    }
}
