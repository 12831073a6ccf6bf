//! Picking elements by position, and putting them back.

use super::Tensor;
use crate::autograd::{constant, forbid, record};
use crate::backend::ScatterOp;
use crate::{DType, Error, ErrorKind, Result};

impl Tensor {
    /// Checks that this tensor can index `bound` things.
    fn check_indices(&self, op: &'static str, on: &Tensor, bound: usize) -> Result<()> {
        on.device().check_same(self.device(), op)?;
        if !matches!(self.dtype(), DType::I64 | DType::I32 | DType::U32) {
            let message = format!("indices are i64, i32 or u32, not {}", self.dtype());
            return Err(Error::new(ErrorKind::DType, op, message));
        }
        match self.device().kernels().first_outside(self.view(), bound)? {
            None => Ok(()),
            Some(index) => {
                let message = format!("index {index} is outside of 0..{bound}");
                Err(Error::new(ErrorKind::Index, op, message).with("indexed", format!("{on:?}")))
            }
        }
    }

    /// The slices along `dim` named by `indices`, a tensor of rank 1.
    ///
    /// # Errors
    /// [`ErrorKind::Index`] for an index outside of the dimension, [`ErrorKind::Shape`] for indices of another rank,
    /// [`ErrorKind::DType`] for indices that are not integers.
    pub fn index_select(&self, dim: isize, indices: &Tensor) -> Result<Tensor> {
        const OP: &str = "index_select";
        let d = self.shape().dim(OP, dim)?;
        expect_rank(OP, indices, 1)?;
        indices.check_indices(OP, self, self.shape()[d])?;
        let storage = self.device().kernels().index_select(self.view(), d, indices.view())?;
        let out = Tensor::from_storage(storage, self.shape().with(d, indices.count()), self.device());
        let shape = *self.shape();
        Ok(record(out, OP, &[self], || {
            let indices = indices.detach();
            move |grad: Tensor, sink| {
                sink.with(0, || {
                    let zeros = Tensor::zeros(shape, grad.dtype(), grad.device())?;
                    zeros.updated(ScatterOp::Add, d, &indices, &grad)
                })
            }
        }))
    }

    /// Gives this tensor up for itself with slices of `src` written at `indices`. Nothing is checked or recorded.
    fn updated(self, op: ScatterOp, dim: usize, indices: &Tensor, src: &Tensor) -> Result<Tensor> {
        let (shape, device) = (*self.shape(), self.device().clone());
        let dst = self.into_storage()?;
        let storage = device.kernels().index_update(op, dst, shape, dim, indices.view(), src.view())?;
        Ok(constant(Tensor::from_storage(storage, shape, &device)))
    }

    /// This tensor with slice `i` of `src` along `dim` added at `indices[i]`.
    ///
    /// # Errors
    /// As [`Tensor::index_select`]; [`ErrorKind::Shape`] if `src` does not fit.
    pub fn index_add(&self, dim: isize, indices: &Tensor, src: &Tensor) -> Result<Tensor> {
        const OP: &str = "index_add";
        let d = self.check_update(OP, dim, indices, src)?;
        let out = self.detach().updated(ScatterOp::Add, d, indices, src)?;
        Ok(record(out, OP, &[self, src], || {
            let indices = indices.detach();
            move |grad: Tensor, sink| {
                sink.with(1, || grad.index_select(d as isize, &indices))?;
                sink.put(0, grad)
            }
        }))
    }

    /// This tensor with slice `i` of `src` along `dim` in place of slice `indices[i]`; of repeated indices the last one
    /// wins.
    ///
    /// # Errors
    /// As [`Tensor::index_add`]; [`ErrorKind::NoGradient`] if `src` or this tensor tracks gradients and an index may be
    /// repeated (more than one index).
    pub fn index_copy(&self, dim: isize, indices: &Tensor, src: &Tensor) -> Result<Tensor> {
        const OP: &str = "index_copy";
        if indices.count() > 1 {
            forbid(OP, &[self, src])?;
        }
        let d = self.check_update(OP, dim, indices, src)?;
        let out = self.detach().updated(ScatterOp::Set, d, indices, src)?;
        Ok(record(out, OP, &[self, src], || {
            let indices = indices.detach();
            let shape = *src.shape();
            move |grad: Tensor, sink| {
                sink.with(1, || grad.index_select(d as isize, &indices))?;
                sink.with(0, || {
                    let zeros = Tensor::zeros(shape, grad.dtype(), grad.device())?;
                    grad.updated(ScatterOp::Set, d, &indices, &zeros)
                })
            }
        }))
    }

    fn check_update(&self, op: &'static str, dim: isize, indices: &Tensor, src: &Tensor) -> Result<usize> {
        let d = self.shape().dim(op, dim)?;
        expect_rank(op, indices, 1)?;
        indices.check_indices(op, self, self.shape()[d])?;
        self.device().check_same(src.device(), op)?;
        let wanted = self.shape().with(d, indices.count());
        if *src.shape() != wanted || src.dtype() != self.dtype() {
            let message = format!("expected a source of {}{wanted}, found {src:?}", self.dtype());
            return Err(Error::new(ErrorKind::Shape, op, message));
        }
        Ok(d)
    }

    /// `out[i][j] = self[indices[i][j]][j]` for `dim = 0`, and so on (PyTorch's `gather`).
    ///
    /// # Errors
    /// [`ErrorKind::Index`] for an index outside of the dimension; [`ErrorKind::Shape`] if `indices` has another rank or
    /// is larger in another dimension.
    pub fn gather(&self, dim: isize, indices: &Tensor) -> Result<Tensor> {
        const OP: &str = "gather";
        let d = self.shape().dim(OP, dim)?;
        self.check_gather(OP, d, indices)?;
        let storage = self.device().kernels().gather(self.view(), d, indices.view())?;
        let out = Tensor::from_storage(storage, *indices.shape(), self.device());
        let shape = *self.shape();
        Ok(record(out, OP, &[self], || {
            let indices = indices.detach();
            move |grad: Tensor, sink| {
                sink.with(0, || {
                    Tensor::zeros(shape, grad.dtype(), grad.device())?.scatter_add(d as isize, &indices, &grad)
                })
            }
        }))
    }

    fn check_gather(&self, op: &'static str, d: usize, indices: &Tensor) -> Result<()> {
        expect_rank(op, indices, self.rank())?;
        let fits = (0..self.rank()).all(|i| i == d || indices.shape()[i] <= self.shape()[i]);
        if !fits {
            let message = format!("indices of shape {} reach outside of shape {}", indices.shape(), self.shape());
            return Err(Error::new(ErrorKind::Shape, op, message));
        }
        indices.check_indices(op, self, self.shape()[d])
    }

    /// This tensor with `self[indices[i][j]][j] += src[i][j]` for `dim = 0`, and so on.
    ///
    /// # Errors
    /// As [`Tensor::gather`]; [`ErrorKind::Shape`] if `src` has another shape than `indices`.
    pub fn scatter_add(&self, dim: isize, indices: &Tensor, src: &Tensor) -> Result<Tensor> {
        const OP: &str = "scatter_add";
        let d = self.shape().dim(OP, dim)?;
        self.check_gather(OP, d, indices)?;
        self.device().check_same(src.device(), OP)?;
        if src.shape() != indices.shape() || src.dtype() != self.dtype() {
            let message = format!("expected a source of {}{}, found {src:?}", self.dtype(), indices.shape());
            return Err(Error::new(ErrorKind::Shape, OP, message));
        }
        let (shape, kernels) = (*self.shape(), self.device().kernels());
        let dst = self.detach().into_storage()?;
        let storage = kernels.scatter(ScatterOp::Add, dst, shape, d, indices.view(), src.view())?;
        let out = Tensor::from_storage(storage, shape, self.device());
        Ok(record(out, OP, &[self, src], || {
            let indices = indices.detach();
            move |grad: Tensor, sink| {
                sink.with(1, || grad.gather(d as isize, &indices))?;
                sink.put(0, grad)
            }
        }))
    }

    /// Rows of this table, `[v, d]`, for `ids` of any shape: `[ids…, d]`.
    ///
    /// # Errors
    /// [`ErrorKind::Index`] for an id outside of the table.
    pub fn embedding(&self, ids: &Tensor) -> Result<Tensor> {
        const OP: &str = "embedding";
        expect_rank(OP, self, 2)?;
        let [v, d] = self.dims()?;
        ids.check_indices(OP, self, v)?;
        let shape = crate::Dims::new(OP, &[&ids.shape()[..], &[d]].concat())?;
        let storage = self.device().kernels().embedding(self.view(), ids.view())?;
        let out = Tensor::from_storage(storage, shape, self.device());
        Ok(record(out, OP, &[self], || {
            let ids = ids.detach();
            move |grad: Tensor, sink| {
                sink.with(0, || {
                    let zeros = Tensor::zeros([v, d], grad.dtype(), grad.device())?;
                    let (ids, grad) = (ids.reshape(ids.count())?, grad.reshape([ids.count(), d])?);
                    zeros.updated(ScatterOp::Add, 0, &ids, &grad)
                })
            }
        }))
    }

    /// Sorted values along `dim` and their former positions (`i64`). Equal elements keep their order.
    ///
    /// # Errors
    /// [`ErrorKind::Index`] for a dimension outside of the rank.
    pub fn sort(&self, dim: isize, descending: bool) -> Result<(Tensor, Tensor)> {
        let d = self.shape().dim("sort", dim)?;
        let (values, positions) = self.device().kernels().sort(self.view(), d, descending)?;
        let positions = constant(Tensor::from_storage(positions, *self.shape(), self.device()));
        let values = Tensor::from_storage(values, *self.shape(), self.device());
        Ok((self.picked("sort", values, d, &positions), positions))
    }

    /// The `k` largest (or smallest) elements along `dim` in order, and their positions (`i64`).
    ///
    /// # Errors
    /// [`ErrorKind::Index`] if `k` is more than the dimension has.
    pub fn topk(&self, k: usize, dim: isize, largest: bool) -> Result<(Tensor, Tensor)> {
        let d = self.shape().dim("topk", dim)?;
        if k > self.shape()[d] {
            let message = format!("asked for {k} elements of dimension {dim} of shape {}", self.shape());
            return Err(Error::new(ErrorKind::Index, "topk", message));
        }
        let shape = self.shape().with(d, k);
        let (values, positions) = self.device().kernels().topk(self.view(), k, d, largest)?;
        let positions = constant(Tensor::from_storage(positions, shape, self.device()));
        let values = Tensor::from_storage(values, shape, self.device());
        Ok((self.picked("topk", values, d, &positions), positions))
    }

    /// The rule of values picked from this tensor at `positions` along `dim`.
    fn picked(&self, op: &'static str, values: Tensor, dim: usize, positions: &Tensor) -> Tensor {
        let shape = *self.shape();
        record(values, op, &[self], || {
            let positions = positions.clone();
            move |grad: Tensor, sink| {
                sink.with(0, || {
                    let zeros = Tensor::zeros(shape, grad.dtype(), grad.device())?;
                    zeros.scatter_add(dim as isize, &positions, &grad)
                })
            }
        })
    }

    /// This tensor with elements `start .. start + src` along `dim` replaced by `src`, written in place if nobody else
    /// looks at the storage: the step of a key-value cache.
    ///
    /// # Errors
    /// [`ErrorKind::Index`] outside of the dimension, [`ErrorKind::Shape`] if other dimensions differ,
    /// [`ErrorKind::NoGradient`] if either tracks gradients.
    pub fn write_slice(self, dim: isize, start: usize, src: &Tensor) -> Result<Tensor> {
        const OP: &str = "write_slice";
        forbid(OP, &[&self, src])?;
        let d = self.shape().dim(OP, dim)?;
        self.device().check_same(src.device(), OP)?;
        if src.rank() != self.rank() || src.shape().without(d) != self.shape().without(d) || src.dtype() != self.dtype()
        {
            let message = format!("{src:?} does not fit into {self:?} along dimension {dim}");
            return Err(Error::new(ErrorKind::Shape, OP, message));
        }
        let len = src.shape()[d];
        if start + len > self.shape()[d] {
            let message =
                format!("{len} elements from {start} are outside of dimension {dim} of shape {}", self.shape());
            return Err(Error::new(ErrorKind::Index, OP, message));
        }
        let (shape, device) = (*self.shape(), self.device().clone());
        let layout = crate::Layout::contiguous(shape).narrow(d, start, len);
        let storage = device.kernels().copy_into(self.into_storage()?, &layout, src.view())?;
        Ok(Tensor::from_storage(storage, shape, &device))
    }
}

fn expect_rank(op: &'static str, t: &Tensor, rank: usize) -> Result<()> {
    if t.rank() == rank {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Shape, op, format!("expected rank {rank}, found shape {}", t.shape())))
}
