//! Cross-entropy, of logits and of a last layer that is never written out.

use super::eager::{Eager, Value};
use crate::backend::{CompareOp, Primitives, ReduceOp, StorageRef, UnaryOp, View};
use crate::shape::Dims;
use crate::{DType, Result, Scalar};

/// At most this many logits are held at once by [`linear_cross_entropy`].
const MAX_LOGITS: usize = 1 << 20;

/// The targets with 0 in place of ignored ones, and where they are ignored; both `[n]`.
fn sound<P: Primitives + ?Sized>(e: &Eager<'_, P>, targets: &Value, ignore: i64) -> Result<(Value, Value)> {
    let number = |v: i64| -> Result<Value> { Ok(Value::new(e.0.fill(DType::I64, 1, Scalar::Int(v))?, Dims::SCALAR)) };
    let ignored = e.compare(CompareOp::Eq, targets, &number(ignore)?)?;
    Ok((e.select(&ignored, &number(0)?, targets)?, ignored))
}

/// Losses and logarithms of sums for wide logits `[n, v]`.
fn losses<P: Primitives + ?Sized>(
    e: &Eager<'_, P>,
    logits: &Value,
    targets: &Value,
    ignore: i64,
) -> Result<(Value, Value)> {
    let n = Dims::from_slice(&[logits.shape()[0]]);
    let (targets, ignored) = sound(e, targets, ignore)?;
    let top = e.reduce(ReduceOp::Max, logits, &[1])?;
    let sum = e.sum(&e.unary(UnaryOp::Exp, &e.sub(logits, &top)?)?, 1)?;
    let lse = e.reshape(&e.add(&e.unary(UnaryOp::Log, &sum)?, &top)?, n)?;
    let hit = Value::new(e.0.gather(logits.view(), 1, targets.unsqueeze(1).view())?, n);
    Ok((e.masked(&ignored, 0.0, &e.sub(&lse, &hit)?)?, lse))
}

/// The gradient for wide logits: `(softmax - one-hot) * grad`, 0 in ignored rows.
fn backward<P: Primitives + ?Sized>(
    e: &Eager<'_, P>,
    logits: &Value,
    targets: &Value,
    ignore: i64,
    lse: &Value,
    grad: &Value,
) -> Result<Value> {
    let (targets, ignored) = sound(e, targets, ignore)?;
    let grad = e.masked(&ignored, 0.0, grad)?.unsqueeze(1);
    let probs = e.unary(UnaryOp::Exp, &e.sub(logits, &lse.unsqueeze(1))?)?;
    // Ignored rows may hold anything.
    let spread = e.masked(&ignored.unsqueeze(1), 0.0, &e.mul(&probs, &grad)?)?;
    let minus = e.unary(UnaryOp::Neg, &grad)?;
    let shape = *logits.shape();
    let op = crate::backend::ScatterOp::Add;
    let out = e.0.scatter(op, spread.storage, shape, 1, targets.unsqueeze(1).view(), minus.view())?;
    Ok(Value::new(out, shape))
}

/// The default body of [`Kernels::cross_entropy`](crate::backend::Kernels::cross_entropy).
///
/// # Errors
/// Those of the primitives.
pub fn cross_entropy<P: Primitives + ?Sized>(
    p: &P,
    logits: View<'_>,
    targets: View<'_>,
    ignore: i64,
) -> Result<(StorageRef, StorageRef)> {
    let e = Eager(p);
    let wide = logits.dtype().accumulator();
    if logits.shape()[0] == 0 {
        return Ok((p.alloc(wide, 0)?, p.alloc(wide, 0)?));
    }
    let (losses, lse) = losses(&e, &e.wide(logits)?, &Value::of(targets), ignore)?;
    Ok((e.finish(losses, wide)?, e.finish(lse, wide)?))
}

/// The default body of [`Kernels::cross_entropy_backward`](crate::backend::Kernels::cross_entropy_backward).
///
/// # Errors
/// Those of the primitives.
pub fn cross_entropy_backward<P: Primitives + ?Sized>(
    p: &P,
    logits: View<'_>,
    targets: View<'_>,
    ignore: i64,
    lse: View<'_>,
    grad: View<'_>,
) -> Result<StorageRef> {
    let e = Eager(p);
    let (wide, lse, grad) = (e.wide(logits)?, Value::of(lse), Value::of(grad));
    e.finish(backward(&e, &wide, &Value::of(targets), ignore, &lse, &grad)?, logits.dtype())
}

fn chunks(n: usize, v: usize) -> impl Iterator<Item = (usize, usize)> {
    let each = (MAX_LOGITS / v.max(1)).max(1);
    (0..n).step_by(each).map(move |start| (start, each.min(n - start)))
}

/// The default body of [`Kernels::linear_cross_entropy`](crate::backend::Kernels::linear_cross_entropy).
///
/// # Errors
/// Those of the primitives.
pub fn linear_cross_entropy<P: Primitives + ?Sized>(
    p: &P,
    x: View<'_>,
    w: View<'_>,
    targets: View<'_>,
    ignore: i64,
) -> Result<(StorageRef, StorageRef)> {
    let e = Eager(p);
    let (n, v, wide) = (x.shape()[0], w.shape()[0], x.dtype().accumulator());
    let (mut all, mut sums) = (p.alloc(wide, n)?, p.alloc(wide, n)?);
    let out = crate::Layout::contiguous(Dims::from_slice(&[n]));
    let (x, w, t) = (e.wide(x)?, e.wide(w)?.transpose(), Value::of(targets));
    for (start, len) in chunks(n, v) {
        let logits = e.matmul(&x.narrow(0, start, len), &w)?;
        let (loss, lse) = losses(&e, &logits, &t.narrow(0, start, len), ignore)?;
        let place = out.narrow(0, start, len);
        all = p.copy_into(all, &place, loss.view())?;
        sums = p.copy_into(sums, &place, lse.view())?;
    }
    Ok((all, sums))
}

/// The default body of [`Kernels::linear_cross_entropy_backward`](crate::backend::Kernels::linear_cross_entropy_backward).
///
/// # Errors
/// Those of the primitives.
#[allow(clippy::too_many_arguments)]
pub fn linear_cross_entropy_backward<P: Primitives + ?Sized>(
    p: &P,
    x: View<'_>,
    w: View<'_>,
    targets: View<'_>,
    ignore: i64,
    lse: View<'_>,
    grad: View<'_>,
    weight: bool,
) -> Result<(StorageRef, Option<StorageRef>)> {
    let e = Eager(p);
    let (n, v, dtype) = (x.shape()[0], w.shape()[0], x.dtype());
    let (xs, ws, t) = (e.wide(x)?, e.wide(w)?, Value::of(targets));
    let (lse, grad) = (Value::of(lse), Value::of(grad));
    let whole = crate::Layout::contiguous(*x.shape());
    let mut dx = p.alloc(xs.dtype(), x.count())?;
    let mut dw = if weight { Some(e.full(*w.shape(), 0.0, ws.dtype())?) } else { None };
    for (start, len) in chunks(n, v) {
        let part = |value: &Value| value.narrow(0, start, len);
        let rows = part(&xs);
        let logits = e.matmul(&rows, &ws.transpose())?;
        let d = backward(&e, &logits, &part(&t), ignore, &part(&lse), &part(&grad))?;
        dx = p.copy_into(dx, &whole.narrow(0, start, len), e.matmul(&d, &ws)?.view())?;
        if let Some(sum) = &mut dw {
            *sum = e.add(sum, &e.matmul(&d.transpose(), &rows)?)?;
        }
    }
    let dx = e.finish(Value::new(dx, *x.shape()), dtype)?;
    Ok((dx, dw.map(|dw| e.finish(dw, dtype)).transpose()?))
}
