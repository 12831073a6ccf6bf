//! Rotary position embedding, in `f32` with one rounding.

use crate::shim;
use crate::storage::operand;
use tch::Tensor;
use vlm_core::Result;
use vlm_core::backend::{RopeArgs, RopeStyle};

pub(crate) fn rope(args: &RopeArgs<'_>) -> Result<Tensor> {
    let (x, cos, sin) = (operand(&args.x)?, operand(&args.cos)?, operand(&args.sin)?);
    shim::rope(&x, &cos, &sin, args.style == RopeStyle::Interleaved, args.inverse)
}
