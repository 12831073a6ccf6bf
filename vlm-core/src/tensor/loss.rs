//! Losses with kernels of their own.

use super::Tensor;
use super::linalg::same_dtype;
use crate::autograd::record;
use crate::{DType, Dims, Error, ErrorKind, Result};

/// The label that marks a position without a loss, as in PyTorch.
pub const IGNORE_INDEX: i64 = -100;

impl Tensor {
    /// Cross-entropy of `self [n, v]` (logits) with the classes `targets [n]` (`i64`), without reduction: `[n]`, in
    /// `f32` for half floats; 0 where the target is `ignore`.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] or [`ErrorKind::DType`] if operands do not fit; [`ErrorKind::Index`] for a class outside of
    /// `0..v` that is not `ignore`.
    pub fn cross_entropy(&self, targets: &Tensor, ignore: i64) -> Result<Tensor> {
        const OP: &str = "cross_entropy";
        self.needs_float(OP)?;
        let [n, v] = self.dims::<2>().map_err(|e| e.with("in", OP))?;
        check_targets(OP, self, targets, n, v, ignore)?;
        let targets = targets.detach();
        let (losses, lse) = self.device().kernels().cross_entropy(self.view(), targets.view(), ignore)?;
        let [losses, lse] = [losses, lse].map(|s| Tensor::from_storage(s, Dims::from_slice(&[n]), self.device()));
        Ok(record(losses, OP, &[self], || {
            let logits = self.detach();
            move |grad: Tensor, sink| {
                let kernels = logits.device().kernels();
                let (l, t) = (logits.view(), targets.view());
                let storage = kernels.cross_entropy_backward(l, t, ignore, lse.view(), grad.view())?;
                sink.put(0, Tensor::from_storage(storage, *logits.shape(), logits.device()))
            }
        }))
    }

    /// [`Tensor::cross_entropy`] of `self w^T` for `self [n, k]` and `w [v, k]`, without ever holding all `[n, v]`
    /// logits, forward or backward.
    ///
    /// # Errors
    /// As there.
    pub fn linear_cross_entropy(&self, w: &Tensor, targets: &Tensor, ignore: i64) -> Result<Tensor> {
        const OP: &str = "linear_cross_entropy";
        self.needs_float(OP)?;
        self.device().check_same(w.device(), OP)?;
        same_dtype(OP, self, w)?;
        let ([n, k], [v, k2]) = (self.dims::<2>()?, w.dims::<2>()?);
        if k != k2 {
            let message = format!("input {} does not fit weight {}", self.shape(), w.shape());
            return Err(Error::new(ErrorKind::Shape, OP, message));
        }
        check_targets(OP, self, targets, n, v, ignore)?;
        let (w_kept, targets) = (w.detach(), targets.detach());
        let kernels = self.device().kernels();
        let (losses, lse) = kernels.linear_cross_entropy(self.view(), w.view(), targets.view(), ignore)?;
        let [losses, lse] = [losses, lse].map(|s| Tensor::from_storage(s, Dims::from_slice(&[n]), self.device()));
        Ok(record(losses, OP, &[self, w], || {
            let x = self.detach();
            move |grad: Tensor, sink| {
                let kernels = x.device().kernels();
                let (dx, dw) = kernels.linear_cross_entropy_backward(
                    x.view(),
                    w_kept.view(),
                    targets.view(),
                    ignore,
                    lse.view(),
                    grad.view(),
                    sink.wants(1),
                )?;
                sink.put(0, Tensor::from_storage(dx, *x.shape(), x.device()))?;
                match dw {
                    Some(dw) => sink.put(1, Tensor::from_storage(dw, *w_kept.shape(), x.device())),
                    None => Ok(()),
                }
            }
        }))
    }
}

fn check_targets(op: &'static str, x: &Tensor, targets: &Tensor, n: usize, v: usize, ignore: i64) -> Result<()> {
    x.device().check_same(targets.device(), op)?;
    if targets.dtype() != DType::I64 || *targets.shape() != [n] {
        return Err(Error::new(ErrorKind::Shape, op, format!("expected targets of i64[{n}], found {targets:?}")));
    }
    // Ignored targets are outside of the range by design: they are replaced before the check.
    let mask = targets.eq(&Tensor::full((), ignore, DType::I64, targets.device())?)?;
    let checked = targets.masked_fill(&mask, 0)?;
    match x.device().kernels().first_outside(checked.view(), v)? {
        None => Ok(()),
        Some(class) => {
            let message = format!("class {class} is outside of 0..{v} and not {ignore}, which is ignored");
            Err(Error::new(ErrorKind::Index, op, message))
        }
    }
}
