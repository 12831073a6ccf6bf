//! Linear layers.

use super::eager::{Eager, Value};
use crate::backend::{BinaryOp, Primitives, QuantizedLinearArgs, StorageRef, View};
use crate::shape::Dims;
use crate::{DType, Result};

pub(in crate::backend) fn linear<P: Primitives + ?Sized>(
    p: &P,
    x: View<'_>,
    w: View<'_>,
    bias: Option<View<'_>>,
) -> Result<StorageRef> {
    let e = Eager(p);
    let Some(bias) = bias else {
        return p.matmul(x, Value::of(w).transpose().view());
    };
    // In the wide type, so that product and bias are rounded together.
    let y = e.matmul(&e.wide(x)?, &e.wide(w)?.transpose())?;
    e.finish(e.add(&y, &e.wide(bias)?)?, x.dtype())
}

pub(in crate::backend) fn quantized_linear<P: Primitives + ?Sized>(
    p: &P,
    args: QuantizedLinearArgs<'_>,
) -> Result<StorageRef> {
    let e = Eager(p);
    let x = e.wide(args.x)?;
    let (n, k) = (args.data.shape()[0], args.x.shape()[1]);
    let data = Value::of(args.data);
    let q = if args.bits == 8 {
        data
    } else {
        let sixteen = e.full(Dims::SCALAR, 16.0, DType::U8)?;
        let (low, high) =
            (e.binary(BinaryOp::Remainder, &data, &sixteen)?, e.binary(BinaryOp::FloorDiv, &data, &sixteen)?);
        let both = Value::new(p.alloc(DType::U8, n * k)?, Dims::from_slice(&[n, k / 2, 2]));
        let (even, odd) = (both.layout.narrow(2, 0, 1), both.layout.narrow(2, 1, 1));
        let storage = p.copy_into(both.storage, &even, low.unsqueeze(2).view())?;
        Value::new(p.copy_into(storage, &odd, high.unsqueeze(2).view())?, Dims::from_slice(&[n, k]))
    };
    let centred = e.affine(&e.cast(&q, x.dtype())?, 1.0, -f64::from(1u32 << (args.bits - 1)))?;
    let groups = e.reshape(&centred, Dims::from_slice(&[n, k / args.group, args.group]))?;
    let scales = e.cast(&Value::of(args.scales), x.dtype())?.unsqueeze(2);
    let w = e.reshape(&e.mul(&groups, &scales)?, Dims::from_slice(&[n, k]))?;
    let mut y = e.matmul(&x, &w.transpose())?;
    if let Some(bias) = args.bias {
        y = e.add(&y, &e.wide(bias)?)?;
    }
    e.finish(y, args.x.dtype())
}
