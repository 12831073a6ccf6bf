//! Looking for numbers that are not finite.

use crate::DType;

/// The position of the first NaN or infinity among the elements in `bytes`; `None` if there is none or the type has none.
///
/// A float is not finite exactly when all bits of its exponent are set.
pub(super) fn first_non_finite(dtype: DType, bytes: &[u8]) -> Option<usize> {
    fn scan<const N: usize>(bytes: &[u8], bad: impl Fn([u8; N]) -> bool) -> Option<usize> {
        bytes.as_chunks::<N>().0.iter().position(|c| bad(*c))
    }
    match dtype {
        DType::F64 => scan(bytes, |c| u64::from_le_bytes(c) & 0x7ff0_0000_0000_0000 == 0x7ff0_0000_0000_0000),
        DType::F32 => scan(bytes, |c| u32::from_le_bytes(c) & 0x7f80_0000 == 0x7f80_0000),
        DType::F16 => scan(bytes, |c| u16::from_le_bytes(c) & 0x7c00 == 0x7c00),
        DType::BF16 => scan(bytes, |c| u16::from_le_bytes(c) & 0x7f80 == 0x7f80),
        DType::I64 | DType::I32 | DType::U32 | DType::U8 | DType::Bool => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Element;
    use half::{bf16, f16};

    fn check<T: Element>(huge: f64) {
        let finite = [0.0, -1.5, huge, -huge, 1e-7].map(T::from_f64);
        assert_eq!(first_non_finite(T::DTYPE, T::as_bytes(&finite)), None, "{}", T::DTYPE);
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let values = [1.0, 2.0, bad, bad].map(T::from_f64);
            assert_eq!(first_non_finite(T::DTYPE, T::as_bytes(&values)), Some(2), "{} {bad}", T::DTYPE);
        }
    }

    #[test]
    fn the_first_nan_or_infinity_is_found_in_every_float_type() {
        check::<f64>(f64::MAX);
        check::<f32>(f32::MAX.into());
        check::<f16>(f16::MAX.to_f64());
        check::<bf16>(bf16::MAX.to_f64());
        assert_eq!(first_non_finite(DType::I32, &[255; 16]), None);
    }
}
