//! Rotary position embedding, in `f32` with one rounding.

use crate::error::Of;
use crate::storage::{kind, operand, sizes};
use tch::{Kind, TchError, Tensor};
use vlm_core::backend::{RopeArgs, RopeStyle};
use vlm_core::Result;

pub(crate) fn rope(args: &RopeArgs<'_>) -> Result<Tensor> {
    const OP: &str = "rope";
    let (shape, half, d) = (*args.x.shape(), args.cos.shape()[2], args.x.shape()[3]);
    let (x, cos, sin) = (operand(&args.x)?, operand(&args.cos)?, operand(&args.sin)?);
    let small = kind(args.x.dtype());
    let wide = if small == Kind::Double { Kind::Double } else { Kind::Float };
    let (all, rank) = sizes(&shape);
    let out = Tensor::f_empty(&all[..rank], (small, x.device())).of(OP)?;
    let run = || -> Result<(), TchError> {
        let half_of = |t: &Tensor, second: bool| match args.style {
            RopeStyle::Half => t.f_narrow(3, if second { half as i64 } else { 0 }, half as i64),
            _ => t.f_slice(3, i64::from(second), (2 * half) as i64, 2),
        };
        let (a, b) = (half_of(&x, false)?.f_to_kind(wide)?, half_of(&x, true)?.f_to_kind(wide)?);
        let (cos, sin) = (cos.f_unsqueeze(1)?.f_to_kind(wide)?, sin.f_unsqueeze(1)?.f_to_kind(wide)?);
        let sin = if args.inverse { sin.f_neg()? } else { sin };
        let new_a = a.f_mul(&cos)?.f_sub_(&b.f_mul(&sin)?)?;
        let new_b = b.f_mul(&cos)?.f_addcmul_(&a, &sin)?;
        half_of(&out, false)?.f_copy_(&new_a)?;
        half_of(&out, true)?.f_copy_(&new_b)?;
        if 2 * half < d {
            let rest = |t: &Tensor| t.f_narrow(3, (2 * half) as i64, (d - 2 * half) as i64);
            rest(&out)?.f_copy_(&rest(&x)?)?;
        }
        Ok(())
    };
    run().of(OP)?;
    Ok(out)
}
