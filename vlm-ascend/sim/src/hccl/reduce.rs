//! What a reducing operation does with the elements of all ranks.

use crate::types::DType;
use half::{bf16, f16};

/// `HcclReduceOp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Sum,
    Prod,
    Max,
    Min,
}

impl Op {
    pub(super) fn from_number(number: i32) -> Option<Self> {
        [Op::Sum, Op::Prod, Op::Max, Op::Min].get(usize::try_from(number).ok()?).copied()
    }
}

macro_rules! float {
    ($op:expr) => {
        |a, b| match $op {
            Op::Sum => a + b,
            Op::Prod => a * b,
            // NaN wins.
            Op::Max => {
                if a.is_nan() || a > b {
                    a
                } else {
                    b
                }
            }
            Op::Min => {
                if a.is_nan() || a < b {
                    a
                } else {
                    b
                }
            }
        }
    };
}

/// All parts in one, in the order of the ranks. `read` and `write` go to the type that it is computed in and back.
fn fold<T: Copy, W: Copy, const N: usize>(
    parts: &[&[u8]],
    read: impl Fn([u8; N]) -> T,
    write: impl Fn(T) -> W,
    bytes: impl Fn(W) -> [u8; N],
    join: impl Fn(T, T) -> T,
) -> Vec<u8> {
    let Some((first, others)) = parts.split_first() else { return Vec::new() };
    let mut out = Vec::with_capacity(first.len());
    for i in 0..first.len() / N {
        let at = |part: &[u8]| {
            let mut b = [0; N];
            b.copy_from_slice(&part[i * N..][..N]);
            read(b)
        };
        let all = others.iter().fold(at(first), |a, p| join(a, at(p)));
        out.extend(bytes(write(all)));
    }
    out
}

macro_rules! integers {
    ($parts:expr, $op:expr, $T:ty) => {
        fold(
            $parts,
            <$T>::from_ne_bytes,
            |x| x,
            <$T>::to_ne_bytes,
            |a, b| match $op {
                Op::Sum => a.wrapping_add(b),
                Op::Prod => a.wrapping_mul(b),
                Op::Max => a.max(b),
                Op::Min => a.min(b),
            },
        )
    };
}

/// The elements of all ranks in one. Half floats are joined in `f32` and rounded once.
pub(super) fn reduce(dtype: DType, op: Op, parts: &[&[u8]]) -> Vec<u8> {
    match dtype {
        DType::F32 => fold(parts, f32::from_ne_bytes, |x| x, f32::to_ne_bytes, float!(op)),
        DType::F64 => fold(parts, f64::from_ne_bytes, |x| x, f64::to_ne_bytes, float!(op)),
        DType::F16 => fold(parts, |b| f16::from_ne_bytes(b).to_f32(), f16::from_f32, f16::to_ne_bytes, float!(op)),
        DType::BF16 => fold(parts, |b| bf16::from_ne_bytes(b).to_f32(), bf16::from_f32, bf16::to_ne_bytes, float!(op)),
        DType::I8 => integers!(parts, op, i8),
        DType::I16 => integers!(parts, op, i16),
        DType::I32 => integers!(parts, op, i32),
        DType::I64 => integers!(parts, op, i64),
        DType::U16 => integers!(parts, op, u16),
        DType::U32 => integers!(parts, op, u32),
        DType::U64 => integers!(parts, op, u64),
        DType::U8 | DType::Bool | DType::I4 => integers!(parts, op, u8),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_joined_by_type() {
        let bytes = |v: &[f32]| v.iter().flat_map(|x| x.to_ne_bytes()).collect::<Vec<u8>>();
        let (a, b) = (bytes(&[1.0, f32::NAN, -3.0]), bytes(&[2.5, 1.0, 4.0]));
        assert_eq!(reduce(DType::F32, Op::Prod, &[&a, &a])[8..], bytes(&[9.0]));
        let max = reduce(DType::F32, Op::Max, &[&a, &b]);
        assert_eq!((&max[..4], &max[8..]), (&bytes(&[2.5])[..], &bytes(&[4.0])[..]));
        assert!(f32::from_ne_bytes(max[4..8].try_into().unwrap()).is_nan());
        // Summed in half floats the two ones would be lost one by one.
        let halves = [2048.0, 1.0, 1.0].map(|x| f16::from_f32(x).to_ne_bytes());
        let sum = reduce(DType::F16, Op::Sum, &[&halves[0], &halves[1], &halves[2]]);
        assert_eq!(f16::from_ne_bytes(sum.try_into().unwrap()).to_f32(), 2050.0);
        assert_eq!(reduce(DType::I8, Op::Sum, &[&[100], &[100]]), [200u8]);
        assert_eq!(reduce(DType::I64, Op::Min, &[&(-5i64).to_ne_bytes(), &3i64.to_ne_bytes()]), (-5i64).to_ne_bytes());
    }
}
