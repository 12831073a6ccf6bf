//! Functions of two and three elements.

use crate::simd::simd_fn;
use crate::storage::{CpuStorage, Held, all, with_held};
use crate::strided::{Walk, for_rows, settle};
use crate::threads::{SendPtr, parallel_chunks};
use half::{bf16, f16};
use vlm_core::backend::{BinaryOp, CompareOp, OpKind, View, unsupported};
use vlm_core::{DType, Result};

/// One row of a pair: steps of 0 (one element repeated) or 1.
macro_rules! rows {
    ($a:expr, $b:expr, $out:expr, $f:expr) => {{
        let f = $f;
        match ($a.len(), $b.len()) {
            (1, 1) => $out.fill(f($a[0], $b[0])),
            (1, _) => {
                let a = $a[0];
                $out.iter_mut().zip($b).for_each(|(o, &b)| *o = f(a, b));
            }
            (_, 1) => {
                let b = $b[0];
                $out.iter_mut().zip($a).for_each(|(o, &a)| *o = f(a, b));
            }
            _ => $out.iter_mut().zip($a.iter().zip($b)).for_each(|(o, (&a, &b))| *o = f(a, b)),
        }
    }};
}

/// Arithmetic of an element type in a row.
trait Arithmetic: Held {
    /// Whether `op` is defined.
    fn defined(op: BinaryOp) -> bool;
    /// `op` of a row; a slice of one element stands for a repeated one.
    fn row(op: BinaryOp, a: &[Self], b: &[Self], out: &mut [Self]);
}

macro_rules! float_row {
    ($name:ident, $t:ty) => {
        simd_fn! {
            fn $name(op: BinaryOp, a: &[$t], b: &[$t], out: &mut [$t]) {
                match op {
                    BinaryOp::Add => rows!(a, b, out, |a: $t, b: $t| a + b),
                    BinaryOp::Sub => rows!(a, b, out, |a: $t, b: $t| a - b),
                    BinaryOp::Mul => rows!(a, b, out, |a: $t, b: $t| a * b),
                    BinaryOp::Div => rows!(a, b, out, |a: $t, b: $t| a / b),
                    BinaryOp::FloorDiv => rows!(a, b, out, |a: $t, b: $t| (a / b).floor()),
                    BinaryOp::Remainder => {
                        let f = |a: f64, b: f64| a - b * (a / b).floor();
                        rows!(a, b, out, |a: $t, b: $t| f(f64::from(a), f64::from(b)) as $t)
                    }
                    BinaryOp::Pow => rows!(a, b, out, |a: $t, b: $t| f64::from(a).powf(f64::from(b)) as $t),
                    BinaryOp::Maximum => rows!(a, b, out, |a: $t, b: $t| if a > b || a.is_nan() { a } else { b }),
                    BinaryOp::Minimum => rows!(a, b, out, |a: $t, b: $t| if a < b || a.is_nan() { a } else { b }),
                    _ => {}
                }
            }
        }
        impl Arithmetic for $t {
            fn defined(op: BinaryOp) -> bool {
                !matches!(op, BinaryOp::And | BinaryOp::Or | BinaryOp::Xor)
            }
            fn row(op: BinaryOp, a: &[Self], b: &[Self], out: &mut [Self]) {
                $name(op, a, b, out);
            }
        }
    };
}
float_row!(row_f32, f32);
float_row!(row_f64, f64);

macro_rules! half_row {
    ($($t:ty),*) => {$(
        impl Arithmetic for $t {
            fn defined(op: BinaryOp) -> bool {
                f32::defined(op)
            }
            fn row(op: BinaryOp, a: &[Self], b: &[Self], out: &mut [Self]) {
                use crate::storage::Small;
                const PIECE: usize = super::PIECE;
                let (mut wa, mut wb, mut wo) = ([0.0f32; PIECE], [0.0f32; PIECE], [0.0f32; PIECE]);
                for (i, piece) in out.chunks_mut(PIECE).enumerate() {
                    let part = |x: &'_ [Self]| if x.len() == 1 { 0..1 } else { i * PIECE..i * PIECE + piece.len() };
                    let (ra, rb) = (part(a), part(b));
                    let (x, y) = (<$t>::as_f32(&a[ra], &mut wa), <$t>::as_f32(&b[rb], &mut wb));
                    row_f32(op, x, y, &mut wo[..piece.len()]);
                    <$t>::narrow(&wo[..piece.len()], piece);
                }
            }
        }
    )*};
}
half_row!(f16, bf16);

macro_rules! integer_row {
    ($($t:ty),*) => {$(
        impl Arithmetic for $t {
            fn defined(op: BinaryOp) -> bool {
                !matches!(op, BinaryOp::Div | BinaryOp::Pow)
            }
            fn row(op: BinaryOp, a: &[Self], b: &[Self], out: &mut [Self]) {
                let floor_div = |a: $t, b: $t| {
                    let (x, y) = (i128::from(a), i128::from(b));
                    if y == 0 { 0 } else { (x.div_euclid(y) - i128::from(y < 0 && x.rem_euclid(y) != 0)) as $t }
                };
                match op {
                    BinaryOp::Add => rows!(a, b, out, |a: $t, b: $t| a.wrapping_add(b)),
                    BinaryOp::Sub => rows!(a, b, out, |a: $t, b: $t| a.wrapping_sub(b)),
                    BinaryOp::Mul => rows!(a, b, out, |a: $t, b: $t| a.wrapping_mul(b)),
                    BinaryOp::FloorDiv => rows!(a, b, out, floor_div),
                    BinaryOp::Remainder => rows!(a, b, out, |a: $t, b: $t| {
                        if b == 0 { 0 } else { a.wrapping_sub(b.wrapping_mul(floor_div(a, b))) }
                    }),
                    BinaryOp::Maximum => rows!(a, b, out, |a: $t, b: $t| a.max(b)),
                    BinaryOp::Minimum => rows!(a, b, out, |a: $t, b: $t| a.min(b)),
                    BinaryOp::And => rows!(a, b, out, |a: $t, b: $t| a & b),
                    BinaryOp::Or => rows!(a, b, out, |a: $t, b: $t| a | b),
                    BinaryOp::Xor => rows!(a, b, out, |a: $t, b: $t| a ^ b),
                    _ => {}
                }
            }
        }
    )*};
}
integer_row!(i64, i32, u32, u8);

fn pair<T: Held, R: Held>(
    a: View<'_>,
    b: View<'_>,
    dtype: DType,
    row: impl Fn(&[T], &[T], &mut [R]) + Sync,
) -> Result<CpuStorage> {
    let mut out = CpuStorage::new(dtype, a.count())?;
    let place = SendPtr(out.slice_mut::<R>()?.as_mut_ptr());
    if let (Some(ra), Some(rb)) = (a.layout.contiguous_range(), b.layout.contiguous_range()) {
        let (x, y) = (&all::<T>(&a)?[ra], &all::<T>(&b)?[rb]);
        parallel_chunks(x.len(), crate::strided::BLOCK, |range| {
            // SAFETY: tasks have disjoint ranges of the result, which lives until they are done.
            let part = unsafe { std::slice::from_raw_parts_mut(place.get().add(range.start), range.len()) };
            row(&x[range.clone()], &y[range], part);
        });
        return Ok(out);
    }
    if a.count() == 0 {
        return Ok(out);
    }
    let walk = Walk::new([a.layout, b.layout]);
    let (n, steps) = walk.inner();
    if let Some(bad) = steps.iter().position(|&s| s > 1) {
        // An operand that steps through memory is gathered first: one pass more, all of it in vector code.
        let settled = settle(if bad == 0 { a } else { b })?;
        let (a, b) = if bad == 0 { (settled.view(), b) } else { (a, settled.view()) };
        drop(out);
        return pair(a, b, dtype, row);
    }
    let (x, y) = (all::<T>(&a)?, all::<T>(&b)?);
    let span = |start: usize, step: usize| if step == 0 { start..start + 1 } else { start..start + n };
    for_rows(&walk, |[i, j], at| {
        // SAFETY: every row has its own place in the result, which lives until all are done.
        let part = unsafe { std::slice::from_raw_parts_mut(place.get().add(at), n) };
        row(&x[span(i, steps[0])], &y[span(j, steps[1])], part);
    });
    Ok(out)
}

pub(crate) fn binary(op: BinaryOp, a: View<'_>, b: View<'_>) -> Result<CpuStorage> {
    let dtype = a.dtype();
    let truth = matches!(op, BinaryOp::And | BinaryOp::Or | BinaryOp::Xor);
    if truth != (dtype == DType::Bool) {
        return Err(unsupported("cpu", OpKind::Binary, op, dtype));
    }
    with_held!(dtype, T => {
        if !<T as Arithmetic>::defined(op) {
            return Err(unsupported("cpu", OpKind::Binary, op, dtype));
        }
        pair::<T, T>(a, b, dtype, |a, b, out| T::row(op, a, b, out))
    })
}

pub(crate) fn compare(op: CompareOp, a: View<'_>, b: View<'_>) -> Result<CpuStorage> {
    with_held!(a.dtype(), T => pair::<T, u8>(a, b, DType::Bool, |a: &[T], b: &[T], out: &mut [u8]| match op {
        CompareOp::Eq => rows!(a, b, out, |a: T, b: T| u8::from(a == b)),
        CompareOp::Ne => rows!(a, b, out, |a: T, b: T| u8::from(a != b)),
        CompareOp::Lt => rows!(a, b, out, |a: T, b: T| u8::from(a < b)),
        CompareOp::Le => rows!(a, b, out, |a: T, b: T| u8::from(a <= b)),
        CompareOp::Gt => rows!(a, b, out, |a: T, b: T| u8::from(a > b)),
        CompareOp::Ge => rows!(a, b, out, |a: T, b: T| u8::from(a >= b)),
        _ => {}
    }))
}

pub(crate) fn select(cond: View<'_>, a: View<'_>, b: View<'_>) -> Result<CpuStorage> {
    let mut out = CpuStorage::new(a.dtype(), a.count())?;
    if a.count() == 0 {
        return Ok(out);
    }
    let walk = Walk::new([cond.layout, a.layout, b.layout]);
    let (n, [sc, sa, sb]) = walk.inner();
    with_held!(a.dtype(), T => {
        let (c, x, y) = (all::<u8>(&cond)?, all::<T>(&a)?, all::<T>(&b)?);
        let place = SendPtr(out.slice_mut::<T>()?.as_mut_ptr());
        for_rows(&walk, |[i, j, k], at| {
            // SAFETY: every row has its own place in the result, which lives until all are done.
            let part = unsafe { std::slice::from_raw_parts_mut(place.get().add(at), n) };
            for (e, o) in part.iter_mut().enumerate() {
                *o = if c[i + e * sc] != 0 { x[j + e * sa] } else { y[k + e * sb] };
            }
        });
    });
    Ok(out)
}
