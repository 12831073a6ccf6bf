//! Truth values.

#![allow(non_snake_case)] // Operations have the names of the interface.

use crate::ops::map::NUMBERS;
use crate::plan::{Cx, Planned, broadcast, invalid, of_shape, of_types, plan};
use crate::types::Tensor;

fn truth(cx: &Cx, x: &Tensor, other: &Tensor, out: &Tensor, f: fn(bool, bool) -> bool) -> Planned {
    of_types(cx, "self", x, NUMBERS)?;
    of_types(cx, "other", other, NUMBERS)?;
    let dims = broadcast(&[x, other])?;
    of_shape("out", out, &dims)?;
    let wide = |t: &Tensor| t.broadcast(&dims).ok_or_else(|| invalid("the shapes do not broadcast"));
    let (x, other, out) = (wide(x)?, wide(other)?, out.clone());
    plan(move |run| {
        let v: Vec<bool> = run.bools(&x)?.into_iter().zip(run.bools(&other)?).map(|(a, b)| f(a, b)).collect();
        run.put_bools(&out, &v)
    })
}

pub(crate) fn LogicalNot(cx: &Cx, x: &Tensor, out: &Tensor) -> Planned {
    of_types(cx, "self", x, NUMBERS)?;
    of_shape("out", out, &x.dims)?;
    let (x, out) = (x.clone(), out.clone());
    plan(move |run| {
        let v: Vec<bool> = run.bools(&x)?.into_iter().map(|v| !v).collect();
        run.put_bools(&out, &v)
    })
}

pub(crate) fn LogicalAnd(cx: &Cx, x: &Tensor, other: &Tensor, out: &Tensor) -> Planned {
    truth(cx, x, other, out, |a, b| a & b)
}

pub(crate) fn LogicalOr(cx: &Cx, x: &Tensor, other: &Tensor, out: &Tensor) -> Planned {
    truth(cx, x, other, out, |a, b| a | b)
}

pub(crate) fn LogicalXor(cx: &Cx, x: &Tensor, other: &Tensor, out: &Tensor) -> Planned {
    truth(cx, x, other, out, |a, b| a ^ b)
}
