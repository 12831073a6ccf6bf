//! Rotary position embedding.

use super::eager::{Eager, Value};
use crate::Result;
use crate::backend::{Primitives, RopeArgs, RopeStyle, StorageRef};

pub(in crate::backend) fn rope<P: Primitives + ?Sized>(p: &P, args: RopeArgs<'_>) -> Result<StorageRef> {
    let e = Eager(p);
    let x = e.wide(args.x)?;
    let half = args.cos.shape()[2];
    let table = |t| e.cast(&Value::of(t).unsqueeze(1), x.dtype());
    let (cos, mut sin) = (table(args.cos)?, table(args.sin)?);
    if args.inverse {
        sin = e.affine(&sin, -1.0, 0.0)?;
    }
    // Where the first and the second channel of each pair lie.
    let places = |second: bool| match args.style {
        RopeStyle::Half => x.layout.narrow(3, if second { half } else { 0 }, half),
        RopeStyle::Interleaved => {
            let span = (2 * half).saturating_sub(usize::from(second));
            x.layout.narrow(3, usize::from(second).min(2 * half), span).step(3, 2)
        }
    };
    let (a, b) = (x.with(places(false)), x.with(places(true)));
    let new_a = e.sub(&e.mul(&a, &cos)?, &e.mul(&b, &sin)?)?;
    let new_b = e.add(&e.mul(&b, &cos)?, &e.mul(&a, &sin)?)?;
    let out = p.copy(x.view())?;
    let flat = Value::new(out.clone(), *x.shape());
    let to = |second: bool| match args.style {
        RopeStyle::Half => flat.layout.narrow(3, if second { half } else { 0 }, half),
        RopeStyle::Interleaved => {
            let span = (2 * half).saturating_sub(usize::from(second));
            flat.layout.narrow(3, usize::from(second).min(2 * half), span).step(3, 2)
        }
    };
    let (first, second) = (to(false), to(true));
    drop(flat);
    let out = p.copy_into(out, &first, new_a.view())?;
    let out = p.copy_into(out, &second, new_b.view())?;
    e.finish(Value::new(out, *x.shape()), args.x.dtype())
}
