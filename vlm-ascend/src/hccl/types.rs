//! Element types and operators as HCCL has them.

use crate::chip::{Chip, Family};
use vlm_core::backend::collective::CollectiveOp;
use vlm_core::{DType, Error, ErrorKind, Result};

/// `HcclDataType`, as far as it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Type {
    I8 = 0,
    I16 = 1,
    I32 = 2,
    F16 = 3,
    F32 = 4,
    I64 = 5,
    U8 = 7,
    U32 = 9,
    F64 = 10,
    BF16 = 11,
}

/// `HcclReduceOp`. A mean begins as a sum.
pub(super) fn operator(op: CollectiveOp) -> u8 {
    match op {
        CollectiveOp::Prod => 1,
        CollectiveOp::Max => 2,
        CollectiveOp::Min => 3,
        _ => 0,
    }
}

/// How a reduction is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// With the elements as they are.
    As(Type),
    /// In a wider type.
    In(DType, Type),
}

/// How the chip's collectives join elements of this type.
///
/// # Errors
/// [`ErrorKind::Unsupported`] where they do not.
pub(super) fn reduction(chip: &Chip, op: CollectiveOp, dtype: DType) -> Result<Way> {
    let (mean, product) = (op == CollectiveOp::Mean, op == CollectiveOp::Prod);
    let extreme = matches!(op, CollectiveOp::Max | CollectiveOp::Min);
    Ok(match dtype {
        DType::F32 => Way::As(Type::F32),
        // The sum of many numbers may be out of range where their mean is not.
        DType::F16 if mean => Way::In(DType::F32, Type::F32),
        DType::F16 => Way::As(Type::F16),
        DType::BF16 if chip.has_bf16() && product => Way::In(DType::F32, Type::F32),
        DType::BF16 if chip.has_bf16() => Way::As(Type::BF16),
        DType::I64 if chip.family != Family::P310 => Way::As(Type::I64),
        DType::I32 => Way::As(Type::I32),
        DType::U8 => Way::In(DType::I32, Type::I32),
        // Sums and products have the same bits with and without a sign.
        DType::U32 if !extreme => Way::As(Type::I32),
        // 0 and 1.
        DType::Bool if extreme => Way::As(Type::I8),
        _ => {
            let message = format!("the collectives of {} have no {op:?} of {dtype}", chip.soc);
            return Err(Error::new(ErrorKind::Unsupported, "collective", message).hint("cast to f32 or i32 first"));
        }
    })
}

/// What elements of this type are moved as.
pub(super) fn copy(chip: &Chip, dtype: DType) -> Type {
    match dtype {
        DType::F64 => Type::F64,
        DType::F32 => Type::F32,
        DType::F16 => Type::F16,
        DType::BF16 if chip.has_bf16() => Type::BF16,
        DType::BF16 => Type::I16,
        DType::I64 => Type::I64,
        DType::I32 => Type::I32,
        DType::U32 => Type::U32,
        DType::U8 | DType::Bool => Type::U8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_joined_or_refused() {
        let (a2, p310) = (Chip::of("Ascend910B3"), Chip::of("Ascend310P3"));
        let way = |chip: &Chip, op, dtype| reduction(chip, op, dtype).map_err(|e| e.kind());
        assert_eq!(way(&a2, CollectiveOp::Sum, DType::BF16), Ok(Way::As(Type::BF16)));
        assert_eq!(way(&a2, CollectiveOp::Prod, DType::BF16), Ok(Way::In(DType::F32, Type::F32)));
        assert_eq!(way(&a2, CollectiveOp::Mean, DType::F16), Ok(Way::In(DType::F32, Type::F32)));
        assert_eq!(way(&a2, CollectiveOp::Sum, DType::U32), Ok(Way::As(Type::I32)));
        for (chip, op, dtype) in [
            (&a2, CollectiveOp::Max, DType::U32),
            (&a2, CollectiveOp::Sum, DType::F64),
            (&p310, CollectiveOp::Sum, DType::I64),
            (&p310, CollectiveOp::Sum, DType::BF16),
        ] {
            assert_eq!(way(chip, op, dtype), Err(ErrorKind::Unsupported), "{op:?} {dtype}");
        }
        assert_eq!((copy(&p310, DType::BF16), copy(&a2, DType::Bool)), (Type::I16, Type::U8));
    }
}
