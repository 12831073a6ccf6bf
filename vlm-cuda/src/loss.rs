//! Cross-entropy of a last layer whose logits are never all held.

use crate::error::Of;
use crate::rows;
use crate::storage::{kind, operand};
use tch::{Kind, TchError, Tensor};
use vlm_core::Result;
use vlm_core::backend::View;

/// At most this many logits are held at once.
const MAX_LOGITS: usize = 1 << 24;

fn chunks(n: usize, v: usize) -> impl Iterator<Item = (i64, i64)> {
    let each = (MAX_LOGITS / v.max(1)).max(1);
    (0..n).step_by(each).map(move |start| (start as i64, each.min(n - start) as i64))
}

/// What the rows of logits are made of. They are kept in the accumulator type: half floats are not rounded in between.
struct Layer<'a> {
    x: &'a Tensor,
    w: &'a Tensor,
    /// The weight widened, where no kernel multiplies half floats into wide results.
    w_wide: Option<Tensor>,
    wide: Kind,
}

impl<'a> Layer<'a> {
    fn new(x: &'a Tensor, w: &'a Tensor, wide: Kind) -> Result<Self, TchError> {
        let w_wide = if x.kind() == wide || x.device().is_cuda() { None } else { Some(w.f_to_kind(wide)?) };
        Ok(Layer { x, w, w_wide, wide })
    }

    fn logits(&self, start: i64, len: i64) -> Result<Tensor, TchError> {
        let x = self.x.f_narrow(0, start, len)?;
        match &self.w_wide {
            Some(w) => x.f_to_kind(self.wide)?.f_linear(w, None::<&Tensor>),
            None if x.kind() == self.wide => x.f_linear(self.w, None::<&Tensor>),
            None => x.f_mm_dtype(&self.w.f_tr()?, self.wide),
        }
    }
}

/// One after the other; `none` where there are no rows.
fn join(mut parts: Vec<Tensor>, none: impl FnOnce() -> Result<Tensor, TchError>) -> Result<Tensor, TchError> {
    match parts.len() {
        0 => none(),
        1 => Ok(parts.swap_remove(0)),
        _ => Tensor::f_cat(&parts, 0),
    }
}

pub(crate) fn linear_cross_entropy(
    x: View<'_>,
    w: View<'_>,
    targets: View<'_>,
    ignore: i64,
) -> Result<(Tensor, Tensor)> {
    let (n, v, wide) = (x.shape()[0], w.shape()[0], rows::wide(x.dtype()));
    let (x, w, t) = (operand(&x)?, operand(&w)?, operand(&targets)?);
    let run = || {
        let layer = Layer::new(&x, &w, wide)?;
        let (mut losses, mut sums) = (Vec::new(), Vec::new());
        for (start, len) in chunks(n, v) {
            let part = layer.logits(start, len)?;
            let (loss, lse) = rows::losses(&part, &t.f_narrow(0, start, len)?, ignore)?;
            losses.push(loss);
            sums.push(lse);
        }
        let none = || Tensor::f_empty([0], (wide, x.device()));
        Ok((join(losses, none)?, join(sums, none)?))
    };
    run().of("linear_cross_entropy")
}

pub(crate) fn linear_cross_entropy_backward(
    x: View<'_>,
    w: View<'_>,
    targets: View<'_>,
    ignore: i64,
    lse: View<'_>,
    grad: View<'_>,
    weight: bool,
) -> Result<(Tensor, Option<Tensor>)> {
    let (n, k, v, wide, small) = (x.shape()[0], x.shape()[1], w.shape()[0], rows::wide(x.dtype()), kind(x.dtype()));
    let (x, w, t) = (operand(&x)?, operand(&w)?, operand(&targets)?);
    let (lse, grad) = (operand(&lse)?, operand(&grad)?);
    let run = || {
        let layer = Layer::new(&x, &w, wide)?;
        let mut dx = Vec::new();
        let mut dw: Option<Tensor> = None;
        for (start, len) in chunks(n, v) {
            let part = |t: &Tensor| t.f_narrow(0, start, len);
            let d = {
                let logits = layer.logits(start, len)?;
                rows::losses_backward(&logits, &part(&t)?, ignore, &part(&lse)?, &part(&grad)?)?
            };
            // Rounded to the element type, so that half floats are multiplied as such.
            let d = d.f_to_kind(small)?;
            dx.push(d.f_matmul(&w)?);
            if weight {
                let more = d.f_tr()?.f_matmul(&part(&x)?)?.f_to_kind(wide)?;
                dw = Some(match dw {
                    Some(mut sum) => sum.f_add_(&more)?,
                    None => more,
                });
            }
        }
        let zeros = |rows: usize| Tensor::f_zeros([rows as i64, k as i64], (small, x.device()));
        let dw = match dw {
            Some(dw) => Some(dw.f_to_kind(small)?),
            None if weight => Some(zeros(v)?),
            None => None,
        };
        Ok((join(dx, || zeros(n))?, dw))
    };
    run().of("linear_cross_entropy_backward")
}
