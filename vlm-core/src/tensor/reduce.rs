//! Sums, means, extremes along dimensions.

use super::Tensor;
use super::shape_ops::IntoDims;
use crate::autograd::{constant, record};
use crate::backend::{ArgReduceOp, CumulativeOp, ReduceOp};
use crate::{DType, Dims, Error, ErrorKind, Result, Shape};

impl Tensor {
    fn reduced(&self, op: ReduceOp, dims: Dims) -> Result<Tensor> {
        let storage = self.device().kernels().reduce(op, self.view(), dims)?;
        let mut shape = *self.shape();
        for &d in dims.iter().rev() {
            shape = shape.without(d);
        }
        Ok(Tensor::from_storage(storage, shape, self.device()))
    }

    /// With the dimensions that a reduction left out, at size 1.
    fn restored(&self, shape: &Shape, dims: &Dims) -> Result<Tensor> {
        let mut kept = *shape;
        for &d in dims.iter() {
            kept[d] = 1;
        }
        self.reshape(kept)
    }

    fn keep(self, shape: &Shape, dims: &Dims, keepdim: bool) -> Result<Tensor> {
        if keepdim { self.restored(shape, dims) } else { Ok(self) }
    }

    /// The sum over `dims`, which stay as size 1 if `keepdim` is set. Kept in `f32` for half floats, in `i64` for
    /// integers and `bool`, which also return `i64`.
    ///
    /// # Errors
    /// [`ErrorKind::Index`] for a dimension outside of the rank or named twice.
    pub fn sum(&self, dims: impl IntoDims, keepdim: bool) -> Result<Tensor> {
        let dims = dims.into_dims("sum", self.shape())?;
        let out = self.reduced(ReduceOp::Sum, dims)?;
        if !self.dtype().is_float() {
            return constant(out).keep(self.shape(), &dims, keepdim);
        }
        let shape = *self.shape();
        let out = record(out, "sum", &[self], || {
            move |grad: Tensor, sink| sink.with(0, || grad.restored(&shape, &dims)?.broadcast_to(shape))
        });
        out.keep(self.shape(), &dims, keepdim)
    }

    /// The sum of all elements, a scalar.
    ///
    /// # Errors
    /// Those of the device.
    pub fn sum_all(&self) -> Result<Tensor> {
        self.sum((), false)
    }

    /// The mean over `dims`; floats only.
    ///
    /// # Errors
    /// As [`Tensor::sum`]; [`ErrorKind::DType`] for integers.
    pub fn mean(&self, dims: impl IntoDims, keepdim: bool) -> Result<Tensor> {
        self.needs_float("mean")?;
        let dims = dims.into_dims("mean", self.shape())?;
        let out = self.reduced(ReduceOp::Mean, dims)?;
        let shape = *self.shape();
        let n: usize = dims.iter().map(|&d| shape[d]).product();
        let out = record(out, "mean", &[self], || {
            move |grad: Tensor, sink| sink.with(0, || (grad / n as f64)?.restored(&shape, &dims)?.broadcast_to(shape))
        });
        out.keep(self.shape(), &dims, keepdim)
    }

    /// The mean of all elements, a scalar.
    ///
    /// # Errors
    /// As [`Tensor::mean`].
    pub fn mean_all(&self) -> Result<Tensor> {
        self.mean((), false)
    }

    /// The variance over `dims`: the mean square deviation times `n / (n - correction)`; `correction` is 1 for the
    /// unbiased estimate, 0 for the biased one.
    ///
    /// # Errors
    /// As [`Tensor::mean`].
    pub fn var(&self, dims: impl IntoDims, correction: usize, keepdim: bool) -> Result<Tensor> {
        let dims = dims.into_dims("var", self.shape())?;
        let n: usize = dims.iter().map(|&d| self.shape()[d]).product();
        let deviation = (self - self.mean(dims, true)?)?;
        deviation.square()?.sum(dims, keepdim)? / (n.saturating_sub(correction)) as f64
    }

    fn extreme(&self, name: &'static str, op: ReduceOp, dims: impl IntoDims, keepdim: bool) -> Result<Tensor> {
        let dims = dims.into_dims(name, self.shape())?;
        if let Some(&d) = dims.iter().find(|&&d| self.shape()[d] == 0) {
            let message = format!("dimension {d} of shape {} is empty", self.shape());
            return Err(Error::new(ErrorKind::Shape, name, message));
        }
        let out = self.reduced(op, dims)?;
        let shape = *self.shape();
        let out = record(out.clone(), name, &[self], || {
            let (x, out) = (self.detach(), out);
            move |grad: Tensor, sink| {
                sink.with(0, || {
                    // Equal extremes share the gradient, as PyTorch's amax does.
                    let hit = x.eq(&out.restored(&shape, &dims)?)?.to_dtype(grad.dtype())?;
                    let share = (&hit / hit.sum(dims, true)?)?;
                    share * grad.restored(&shape, &dims)?
                })
            }
        });
        out.keep(self.shape(), &dims, keepdim)
    }

    /// The largest element over `dims` (PyTorch's `amax`); NaN if any is. Equal ones share the gradient.
    ///
    /// # Errors
    /// As [`Tensor::sum`]; [`ErrorKind::Shape`] over no elements.
    pub fn max(&self, dims: impl IntoDims, keepdim: bool) -> Result<Tensor> {
        self.extreme("max", ReduceOp::Max, dims, keepdim)
    }

    /// The smallest element over `dims` (PyTorch's `amin`); NaN if any is. Equal ones share the gradient.
    ///
    /// # Errors
    /// As [`Tensor::max`].
    pub fn min(&self, dims: impl IntoDims, keepdim: bool) -> Result<Tensor> {
        self.extreme("min", ReduceOp::Min, dims, keepdim)
    }

    /// The product over `dims`; types as for [`Tensor::sum`].
    ///
    /// # Gradient
    /// The product of the others, computed as `product / element`, or without division where an element is 0.
    ///
    /// # Errors
    /// As [`Tensor::sum`].
    pub fn prod(&self, dims: impl IntoDims, keepdim: bool) -> Result<Tensor> {
        let dims = dims.into_dims("prod", self.shape())?;
        let out = self.reduced(ReduceOp::Prod, dims)?;
        if !self.dtype().is_float() {
            return constant(out).keep(self.shape(), &dims, keepdim);
        }
        let shape = *self.shape();
        let out = record(out, "prod", &[self], || {
            let x = self.detach();
            move |grad: Tensor, sink| {
                sink.with(0, || {
                    // With zeros put to one side: one zero leaves the product of the others to it alone, two leave 0.
                    let zero = x.eq(&x.zero_scalar()?)?;
                    let zeros = zero.to_dtype(grad.dtype())?.sum(dims, true)?;
                    let rest = x.masked_fill(&zero, 1.0)?;
                    let product = rest.prod(dims, true)?;
                    let none = zeros.eq(&zeros.zero_scalar()?)?.to_dtype(grad.dtype())?;
                    let one = zeros.eq(&zeros.ones_like()?)?.to_dtype(grad.dtype())?;
                    let of_zero = (zero.to_dtype(grad.dtype())? * one)?;
                    let of_rest = (rest.reciprocal()? * none)?;
                    ((of_zero + of_rest)? * product)? * grad.restored(&shape, &dims)?
                })
            }
        });
        out.keep(self.shape(), &dims, keepdim)
    }

    fn truth(&self, name: &'static str, op: ReduceOp, dims: impl IntoDims, keepdim: bool) -> Result<Tensor> {
        let dims = dims.into_dims(name, self.shape())?;
        let out = self.to_dtype(DType::Bool)?.reduced(op, dims)?;
        constant(out).keep(self.shape(), &dims, keepdim)
    }

    /// `bool`: whether any element over `dims` is true (not 0).
    ///
    /// # Errors
    /// As [`Tensor::sum`].
    pub fn any(&self, dims: impl IntoDims, keepdim: bool) -> Result<Tensor> {
        self.truth("any", ReduceOp::Any, dims, keepdim)
    }

    /// `bool`: whether all elements over `dims` are true (not 0).
    ///
    /// # Errors
    /// As [`Tensor::sum`].
    pub fn all(&self, dims: impl IntoDims, keepdim: bool) -> Result<Tensor> {
        self.truth("all", ReduceOp::All, dims, keepdim)
    }

    fn arg_extreme(&self, name: &'static str, op: ArgReduceOp, dim: isize, keepdim: bool) -> Result<Tensor> {
        let dim = self.shape().dim(name, dim)?;
        if self.shape()[dim] == 0 {
            let message = format!("dimension {dim} of shape {} is empty", self.shape());
            return Err(Error::new(ErrorKind::Shape, name, message));
        }
        let storage = self.device().kernels().arg_reduce(op, self.view(), dim)?;
        let out = constant(Tensor::from_storage(storage, self.shape().without(dim), self.device()));
        out.keep(self.shape(), &Dims::from_slice(&[dim]), keepdim)
    }

    /// `i64`: the position of the largest element along `dim`, the first of equal ones; of a NaN if there is one.
    ///
    /// # Errors
    /// [`ErrorKind::Index`] for a dimension outside of the rank, [`ErrorKind::Shape`] for an empty one.
    pub fn argmax(&self, dim: isize, keepdim: bool) -> Result<Tensor> {
        self.arg_extreme("argmax", ArgReduceOp::Max, dim, keepdim)
    }

    /// `i64`: the position of the smallest element along `dim`, the first of equal ones; of a NaN if there is one.
    ///
    /// # Errors
    /// As [`Tensor::argmax`].
    pub fn argmin(&self, dim: isize, keepdim: bool) -> Result<Tensor> {
        self.arg_extreme("argmin", ArgReduceOp::Min, dim, keepdim)
    }

    /// The running sum along `dim`; types as for [`Tensor::sum`].
    ///
    /// # Errors
    /// [`ErrorKind::Index`] for a dimension outside of the rank.
    pub fn cumsum(&self, dim: isize) -> Result<Tensor> {
        let dim = self.shape().dim("cumsum", dim)?;
        let storage = self.device().kernels().cumulative(CumulativeOp::Sum, self.view(), dim)?;
        let out = Tensor::from_storage(storage, *self.shape(), self.device());
        if !self.dtype().is_float() {
            return Ok(constant(out));
        }
        let d = dim as isize;
        Ok(record(out, "cumsum", &[self], || {
            move |grad: Tensor, sink| {
                // Element i reaches every sum from i on: the total less the sum before i.
                sink.with(0, || ((grad.sum(d, true)? - grad.cumsum(d)?)? + &grad)?.to_dtype(grad.dtype()))
            }
        }))
    }

    /// The running product along `dim`; types as for [`Tensor::sum`].
    ///
    /// # Errors
    /// As [`Tensor::cumsum`]; [`ErrorKind::NoGradient`] if it tracks gradients.
    pub fn cumprod(&self, dim: isize) -> Result<Tensor> {
        crate::autograd::forbid("cumprod", &[self])?;
        let dim = self.shape().dim("cumprod", dim)?;
        let storage = self.device().kernels().cumulative(CumulativeOp::Prod, self.view(), dim)?;
        Ok(Tensor::from_storage(storage, *self.shape(), self.device()))
    }

    /// The sum over the dimensions along which `shape` was broadcast to this shape: the gradient of a broadcast.
    pub(crate) fn sum_to(&self, shape: &Shape) -> Result<Tensor> {
        if self.shape() == shape {
            return Ok(self.clone());
        }
        let lead = self.rank() - shape.rank();
        let dims: Vec<isize> = (0..self.rank())
            .filter(|&d| d < lead || (shape[d - lead] == 1 && self.shape()[d] != 1))
            .map(|d| d as isize)
            .collect();
        self.sum(&dims[..], false)?.reshape(*shape)
    }

    pub(crate) fn needs_float(&self, op: &'static str) -> Result<()> {
        if self.dtype().is_float() {
            return Ok(());
        }
        let message = format!("expected floats, found {}", self.dtype());
        Err(Error::new(ErrorKind::DType, op, message).hint("convert it with to_dtype first"))
    }
}
