//! Other element types.

use crate::aclnn::{Number, Stream};
use crate::make::{Held, copied, result, strided};
use crate::storage::AscendStorage;
use vlm_core::backend::{OpKind, View};
use vlm_core::{DType, Result};

/// The view in another element type. Between floats and integers the device converts towards zero and saturates for signed types;
/// for unsigned ones it does not say, so that numbers are brought into range first.
pub(crate) fn cast_to(s: &Stream, x: View<'_>, dtype: DType) -> Result<AscendStorage> {
    if x.dtype() == dtype {
        return copied(s, &x);
    }
    for given in [x.dtype(), dtype] {
        if given == DType::BF16 {
            crate::make::computes(s, OpKind::Cast, dtype, given)?;
        }
    }
    let (shape, unsigned) = (x.shape(), matches!(dtype, DType::U8 | DType::U32));
    if !x.dtype().is_float() || !unsigned {
        return result(s, dtype, shape, |out| s.Cast(&strided(&x)?, dtype, out));
    }
    let wide = result(s, DType::I64, shape, |out| s.Cast(&strided(&x)?, DType::I64, out))?;
    let wide = Held::made(wide, *shape);
    let most = if dtype == DType::U8 { i64::from(u8::MAX) } else { i64::from(u32::MAX) };
    let clamped = result(s, DType::I64, shape, |out| s.Clamp(&wide, Number::I64(0), Number::I64(most), out))?;
    let clamped = Held::made(clamped, *shape);
    // The low bits are the number.
    result(s, dtype, shape, |out| match dtype {
        DType::U32 => s.Cast(&clamped, DType::I32, &out.clone().reinterpreted(DType::I32)),
        _ => s.Cast(&clamped, dtype, out),
    })
}
