//! Views: the same elements in another shape, order or part. None of these calls the device, except where a layout
//! cannot express the result and the elements are copied.

use super::Tensor;
use crate::autograd::{constant, record};
use crate::{Dims, Error, ErrorKind, IntoShape, Layout, Result, Shape};

/// Anything that names dimensions: one index, several, or `()` for all. Negative ones count from the end.
pub trait IntoDims {
    /// The dimensions, ascending.
    ///
    /// # Errors
    /// [`ErrorKind::Index`] outside of the rank of `shape` or for one named twice.
    fn into_dims(self, op: &'static str, shape: &Shape) -> Result<Dims>;
}
impl IntoDims for () {
    fn into_dims(self, _op: &'static str, shape: &Shape) -> Result<Dims> {
        Ok(Dims::from_slice(&[0, 1, 2, 3, 4, 5, 6, 7][..shape.rank()]))
    }
}
impl IntoDims for isize {
    fn into_dims(self, op: &'static str, shape: &Shape) -> Result<Dims> {
        Ok(Dims::from_slice(&[shape.dim(op, self)?]))
    }
}
impl IntoDims for &[isize] {
    fn into_dims(self, op: &'static str, shape: &Shape) -> Result<Dims> {
        let mut dims: Vec<usize> = self.iter().map(|&d| shape.dim(op, d)).collect::<Result<_>>()?;
        dims.sort_unstable();
        if dims.windows(2).any(|w| w[0] == w[1]) {
            let message = format!("dimensions {self:?} of shape {shape} name one of them twice");
            return Err(Error::new(ErrorKind::Index, op, message));
        }
        Ok(Dims::from_slice(&dims))
    }
}
impl<const N: usize> IntoDims for [isize; N] {
    fn into_dims(self, op: &'static str, shape: &Shape) -> Result<Dims> {
        self[..].into_dims(op, shape)
    }
}
impl IntoDims for Dims {
    fn into_dims(self, _op: &'static str, _shape: &Shape) -> Result<Dims> {
        Ok(self)
    }
}

impl Tensor {
    /// A view with its rule.
    fn viewed<R>(&self, op: &'static str, layout: Layout, back: R) -> Tensor
    where
        R: FnOnce(Tensor) -> Result<Tensor> + Send + 'static,
    {
        record(self.with_layout(layout), op, &[self], || move |grad, sink| sink.with(0, || back(grad)))
    }

    /// The same elements in row-major order under another shape, without copying where strides allow.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] if the number of elements differs.
    pub fn reshape(&self, shape: impl IntoShape) -> Result<Tensor> {
        let shape = shape.into_shape("reshape")?;
        if shape == *self.shape() {
            return Ok(self.clone());
        }
        if shape.count() != self.count() {
            let (from, n) = (self.shape(), self.count());
            let message = format!("{from} has {n} elements, {shape} would have {}", shape.count());
            return Err(Error::new(ErrorKind::Shape, "reshape", message));
        }
        let from = *self.shape();
        match self.layout().reshape(&shape) {
            Some(layout) => Ok(self.viewed("reshape", layout, move |grad| grad.reshape(from))),
            None => self.contiguous()?.reshape(shape),
        }
    }

    /// Dimensions `first ..= last` joined into one.
    ///
    /// # Errors
    /// [`ErrorKind::Index`] for dimensions outside of the rank or in the wrong order.
    pub fn flatten(&self, first: isize, last: isize) -> Result<Tensor> {
        let (a, b) = (self.shape().dim("flatten", first)?, self.shape().dim("flatten", last)?);
        if a > b {
            let message = format!("dimension {first} comes after {last} in shape {}", self.shape());
            return Err(Error::new(ErrorKind::Index, "flatten", message));
        }
        let s = self.shape();
        let joined = [&s[..a], &[s[a..=b].iter().product()], &s[b + 1..]].concat();
        self.reshape(joined)
    }

    /// A copy whose elements lie in row-major order; itself if they do.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`].
    pub fn contiguous(&self) -> Result<Tensor> {
        if self.is_contiguous() {
            return Ok(self.clone());
        }
        let storage = self.device().kernels().copy(self.view())?;
        let out = Tensor::from_storage(storage, *self.shape(), self.device());
        Ok(record(out, "contiguous", &[self], || |grad, sink| sink.put(0, grad)))
    }

    /// Dimensions `a` and `b` exchanged.
    ///
    /// # Errors
    /// [`ErrorKind::Index`] outside of the rank.
    pub fn transpose(&self, a: isize, b: isize) -> Result<Tensor> {
        let (i, j) = (self.shape().dim("transpose", a)?, self.shape().dim("transpose", b)?);
        Ok(self.viewed("transpose", self.layout().transpose(i, j), move |grad| grad.transpose(a, b)))
    }

    /// The last two dimensions exchanged (PyTorch's `mT`).
    ///
    /// # Errors
    /// [`ErrorKind::Index`] below rank 2.
    pub fn t(&self) -> Result<Tensor> {
        self.transpose(-2, -1)
    }

    /// Dimension `i` of the result is dimension `order[i]` of this tensor.
    ///
    /// # Errors
    /// [`ErrorKind::Index`] unless `order` names every dimension once.
    pub fn permute(&self, order: &[isize]) -> Result<Tensor> {
        let sorted = order.into_dims("permute", self.shape())?;
        if sorted.rank() != self.rank() {
            let message = format!("{order:?} does not name every dimension of shape {}", self.shape());
            return Err(Error::new(ErrorKind::Index, "permute", message));
        }
        let order: Vec<usize> = order.iter().map(|&d| self.shape().dim("permute", d)).collect::<Result<_>>()?;
        let mut back = vec![0isize; order.len()];
        for (to, &from) in order.iter().enumerate() {
            back[from] = to as isize;
        }
        Ok(self.viewed("permute", self.layout().permute(&order), move |grad| grad.permute(&back)))
    }

    /// With a dimension of size 1 at `dim`; `-1` appends one.
    ///
    /// # Errors
    /// [`ErrorKind::Index`] outside of the new rank, [`ErrorKind::Shape`] beyond the highest rank.
    pub fn unsqueeze(&self, dim: isize) -> Result<Tensor> {
        let rank = self.rank() as isize + 1;
        if !(-rank..rank).contains(&dim) {
            let message = format!("no dimension {dim} can be inserted into shape {}", self.shape());
            return Err(Error::new(ErrorKind::Index, "unsqueeze", message));
        }
        let at = if dim < 0 { dim + rank } else { dim } as usize;
        Dims::new("unsqueeze", &[&self.shape()[..], &[1]].concat())?;
        Ok(self.viewed("unsqueeze", self.layout().unsqueeze(at), move |grad| grad.squeeze(at as isize)))
    }

    /// Without dimension `dim`, which has size 1.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] if it has another size, [`ErrorKind::Index`] outside of the rank.
    pub fn squeeze(&self, dim: isize) -> Result<Tensor> {
        let at = self.shape().dim("squeeze", dim)?;
        if self.shape()[at] != 1 {
            let message = format!("dimension {dim} of shape {} is not 1", self.shape());
            return Err(Error::new(ErrorKind::Shape, "squeeze", message));
        }
        Ok(self.viewed("squeeze", self.layout().squeeze(at), move |grad| grad.unsqueeze(at as isize)))
    }

    /// Repeated without copying to `shape`.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] if this shape does not broadcast to it.
    pub fn broadcast_to(&self, shape: impl IntoShape) -> Result<Tensor> {
        let shape = shape.into_shape("broadcast_to")?;
        if self.shape().broadcast(&shape, "broadcast_to")? != shape {
            let message = format!("shape {} does not broadcast to {shape}", self.shape());
            return Err(Error::new(ErrorKind::Shape, "broadcast_to", message));
        }
        let from = *self.shape();
        Ok(self.viewed("broadcast_to", self.layout().broadcast_to(&shape), move |grad| grad.sum_to(&from)))
    }

    /// Elements `start .. start + len` along `dim`.
    ///
    /// # Errors
    /// [`ErrorKind::Index`] outside of the dimension.
    pub fn narrow(&self, dim: isize, start: usize, len: usize) -> Result<Tensor> {
        let d = self.shape().dim("narrow", dim)?;
        let size = self.shape()[d];
        if start.checked_add(len).is_none_or(|end| end > size) {
            let message =
                format!("{len} elements from {start} are outside of dimension {dim} of shape {}", self.shape());
            return Err(Error::new(ErrorKind::Index, "narrow", message));
        }
        if len == size {
            return Ok(self.clone());
        }
        let from = *self.shape();
        let part = Layout::contiguous(from).narrow(d, start, len);
        Ok(self.viewed("narrow", self.layout().narrow(d, start, len), move |grad| grad.put_into(&from, &part)))
    }

    /// Zeros of shape `shape` with this tensor written to the part `layout`: the gradient of taking that part.
    fn put_into(&self, shape: &Shape, layout: &Layout) -> Result<Tensor> {
        let zeros = self.device().kernels().fill(self.dtype(), shape.count(), crate::Scalar::Int(0))?;
        let storage = self.device().kernels().copy_into(zeros, layout, self.view())?;
        Ok(constant(Tensor::from_storage(storage, *shape, self.device())))
    }

    /// The slice at `index` along `dim`, which is left out.
    ///
    /// # Errors
    /// [`ErrorKind::Index`] outside of the dimension.
    pub fn select(&self, dim: isize, index: usize) -> Result<Tensor> {
        let d = self.shape().dim("select", dim)? as isize;
        self.narrow(d, index, 1)?.squeeze(d)
    }

    /// Every `step`-th element of `start .. end` along `dim`.
    ///
    /// # Errors
    /// [`ErrorKind::Index`] outside of the dimension or for a step of 0.
    pub fn slice(&self, dim: isize, start: usize, end: usize, step: usize) -> Result<Tensor> {
        if step == 0 || start > end {
            let message = format!("cannot go from {start} to {end} in steps of {step}");
            return Err(Error::new(ErrorKind::Index, "slice", message));
        }
        let part = self.narrow(dim, start, end - start)?;
        if step == 1 {
            return Ok(part);
        }
        let d = self.shape().dim("slice", dim)?;
        let from = *part.shape();
        let every = Layout::contiguous(from).step(d, step);
        Ok(part.viewed("slice", part.layout().step(d, step), move |grad| grad.put_into(&from, &every)))
    }

    /// Cut along `dim` into parts of these sizes.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] if they do not add up to the dimension.
    pub fn split(&self, sizes: &[usize], dim: isize) -> Result<Vec<Tensor>> {
        let total = self.size(dim)?;
        if sizes.iter().sum::<usize>() != total {
            let message = format!("parts {sizes:?} do not add up to dimension {dim} of shape {}", self.shape());
            return Err(Error::new(ErrorKind::Shape, "split", message));
        }
        let starts = sizes.iter().scan(0, |at, &n| Some(std::mem::replace(at, *at + n)));
        starts.zip(sizes).map(|(start, &n)| self.narrow(dim, start, n)).collect()
    }

    /// Cut along `dim` into `n` parts of equal size, the last one perhaps smaller.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] for 0 parts.
    pub fn chunk(&self, n: usize, dim: isize) -> Result<Vec<Tensor>> {
        if n == 0 {
            return Err(Error::new(ErrorKind::Shape, "chunk", "cannot cut into 0 parts"));
        }
        let total = self.size(dim)?;
        let each = total.div_ceil(n).max(1);
        (0..total.max(1)).step_by(each).map(|start| self.narrow(dim, start, each.min(total - start))).collect()
    }

    /// The tensors one after the other along `dim`. Element types must be equal.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] if other dimensions differ or there is no tensor; [`ErrorKind::DType`] or
    /// [`ErrorKind::Device`] if those differ.
    pub fn cat<T: AsRef<Tensor>>(tensors: &[T], dim: isize) -> Result<Tensor> {
        const OP: &str = "cat";
        let tensors: Vec<&Tensor> = tensors.iter().map(AsRef::as_ref).collect();
        let Some(first) = tensors.first() else {
            return Err(Error::new(ErrorKind::Shape, OP, "there are no tensors to put together"));
        };
        let d = first.shape().dim(OP, dim)?;
        let mut shape = first.shape().with(d, 0);
        for t in &tensors {
            first.device().check_same(t.device(), OP)?;
            if t.dtype() != first.dtype() {
                let message = format!("element types {} and {} differ", first.dtype(), t.dtype());
                return Err(Error::new(ErrorKind::DType, OP, message));
            }
            if t.rank() != shape.rank() || t.shape().without(d) != shape.without(d) {
                let message = format!("shapes {} and {} differ outside of dimension {dim}", first.shape(), t.shape());
                return Err(Error::new(ErrorKind::Shape, OP, message));
            }
            shape[d] += t.shape()[d];
        }
        let storage = first.device().kernels().concat(tensors.iter().map(|t| t.view()).collect(), d)?;
        let out = Tensor::from_storage(storage, shape, first.device());
        Ok(record(out, OP, &tensors, || {
            let sizes: Vec<usize> = tensors.iter().map(|t| t.shape()[d]).collect();
            move |grad: Tensor, sink| {
                let mut start = 0;
                for (i, n) in sizes.into_iter().enumerate() {
                    sink.with(i, || grad.narrow(d as isize, start, n))?;
                    start += n;
                }
                Ok(())
            }
        }))
    }

    /// The tensors along a new dimension `dim`.
    ///
    /// # Errors
    /// As [`Tensor::cat`].
    pub fn stack<T: AsRef<Tensor>>(tensors: &[T], dim: isize) -> Result<Tensor> {
        let raised: Vec<Tensor> = tensors.iter().map(|t| t.as_ref().unsqueeze(dim)).collect::<Result<_>>()?;
        let dim = if dim < 0 { dim + raised.first().map_or(0, |t| t.rank() as isize) } else { dim };
        Tensor::cat(&raised, dim)
    }

    /// Each slice along `dim` repeated `n` times in a row (PyTorch's `repeat_interleave`).
    ///
    /// # Errors
    /// [`ErrorKind::Index`] outside of the rank.
    pub fn repeat_interleave(&self, n: usize, dim: isize) -> Result<Tensor> {
        let d = self.shape().dim("repeat_interleave", dim)?;
        let wide = self.unsqueeze(d as isize + 1)?;
        let shape = wide.shape().with(d + 1, n);
        wide.broadcast_to(shape)?.flatten(d as isize, d as isize + 1)
    }

    /// Filled up with `value`: `before` elements at the start and `after` at the end of `dim`.
    ///
    /// # Errors
    /// [`ErrorKind::Index`] outside of the rank.
    pub fn pad(&self, dim: isize, before: usize, after: usize, value: f64) -> Result<Tensor> {
        let d = self.shape().dim("pad", dim)?;
        let part = |n: usize| Tensor::full(self.shape().with(d, n), value, self.dtype(), self.device());
        Tensor::cat(&[part(before)?, self.clone(), part(after)?], d as isize)
    }
}

impl AsRef<Tensor> for Tensor {
    fn as_ref(&self) -> &Tensor {
        self
    }
}
