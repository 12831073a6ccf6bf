//! Values on a device without history, so that bodies read like formulas.

use crate::backend::{BinaryOp, CompareOp, Primitives, ReduceOp, StorageRef, UnaryOp, View};
use crate::shape::Dims;
use crate::{DType, Layout, Result, Scalar};

/// A storage and a layout.
#[derive(Clone, Debug)]
pub(super) struct Value {
    pub(super) storage: StorageRef,
    pub(super) layout: Layout,
}

impl Value {
    pub(super) fn of(view: View<'_>) -> Self {
        Value { storage: view.storage.clone(), layout: *view.layout }
    }

    pub(super) fn new(storage: StorageRef, shape: Dims) -> Self {
        Value { storage, layout: Layout::contiguous(shape) }
    }

    pub(super) fn view(&self) -> View<'_> {
        View::new(&self.storage, &self.layout)
    }

    pub(super) fn dtype(&self) -> DType {
        self.storage.dtype()
    }

    pub(super) fn shape(&self) -> &Dims {
        self.layout.shape()
    }

    pub(super) fn with(&self, layout: Layout) -> Self {
        Value { storage: self.storage.clone(), layout }
    }

    pub(super) fn transpose(&self) -> Self {
        let r = self.layout.rank();
        self.with(self.layout.transpose(r - 2, r - 1))
    }

    pub(super) fn unsqueeze(&self, dim: usize) -> Self {
        self.with(self.layout.unsqueeze(dim))
    }

    pub(super) fn narrow(&self, dim: usize, start: usize, len: usize) -> Self {
        self.with(self.layout.narrow(dim, start, len))
    }

    pub(super) fn broadcast(&self, shape: &Dims) -> Self {
        self.with(self.layout.broadcast_to(shape))
    }
}

/// A device's primitives with broadcasting.
pub(super) struct Eager<'p, P: ?Sized>(pub(super) &'p P);

impl<P: Primitives + ?Sized> Eager<'_, P> {
    /// In the type in which sums are kept.
    pub(super) fn wide(&self, x: View<'_>) -> Result<Value> {
        self.cast(&Value::of(x), x.dtype().accumulator())
    }

    pub(super) fn cast(&self, x: &Value, dtype: DType) -> Result<Value> {
        if x.dtype() == dtype {
            return Ok(x.clone());
        }
        Ok(Value::new(self.0.cast(x.view(), dtype)?, *x.shape()))
    }

    /// The storage of a contiguous value of type `dtype`.
    pub(super) fn finish(&self, x: Value, dtype: DType) -> Result<StorageRef> {
        let x = self.cast(&x, dtype)?;
        if x.layout.is_contiguous() && x.layout.offset() == 0 && x.storage.len() == x.layout.count() {
            return Ok(x.storage);
        }
        self.0.copy(x.view())
    }

    pub(super) fn full(&self, shape: Dims, value: f64, dtype: DType) -> Result<Value> {
        Ok(Value::new(self.0.fill(dtype, shape.count(), Scalar::Float(value))?, shape))
    }

    pub(super) fn unary(&self, op: UnaryOp, x: &Value) -> Result<Value> {
        Ok(Value::new(self.0.unary(op, x.view())?, *x.shape()))
    }

    pub(super) fn binary(&self, op: BinaryOp, a: &Value, b: &Value) -> Result<Value> {
        let shape = a.shape().broadcast(b.shape(), "compose")?;
        Ok(Value::new(self.0.binary(op, a.broadcast(&shape).view(), b.broadcast(&shape).view())?, shape))
    }

    pub(super) fn add(&self, a: &Value, b: &Value) -> Result<Value> {
        self.binary(BinaryOp::Add, a, b)
    }
    pub(super) fn sub(&self, a: &Value, b: &Value) -> Result<Value> {
        self.binary(BinaryOp::Sub, a, b)
    }
    pub(super) fn mul(&self, a: &Value, b: &Value) -> Result<Value> {
        self.binary(BinaryOp::Mul, a, b)
    }
    pub(super) fn div(&self, a: &Value, b: &Value) -> Result<Value> {
        self.binary(BinaryOp::Div, a, b)
    }

    /// `x * mul + add`.
    pub(super) fn affine(&self, x: &Value, mul: f64, add: f64) -> Result<Value> {
        self.unary(UnaryOp::Affine { mul, add }, x)
    }

    pub(super) fn compare(&self, op: CompareOp, a: &Value, b: &Value) -> Result<Value> {
        let shape = a.shape().broadcast(b.shape(), "compose")?;
        Ok(Value::new(self.0.compare(op, a.broadcast(&shape).view(), b.broadcast(&shape).view())?, shape))
    }

    /// `op(x, number)`, as `bool`.
    pub(super) fn compare_to(&self, op: CompareOp, x: &Value, number: f64) -> Result<Value> {
        self.compare(op, x, &self.full(Dims::SCALAR, number, x.dtype())?)
    }

    pub(super) fn select(&self, cond: &Value, a: &Value, b: &Value) -> Result<Value> {
        let shape = a.shape().broadcast(b.shape(), "compose")?.broadcast(cond.shape(), "compose")?;
        let [c, a, b] = [cond, a, b].map(|v| v.broadcast(&shape));
        Ok(Value::new(self.0.select(c.view(), a.view(), b.view())?, shape))
    }

    /// `number` where `cond` is true, else `x`.
    pub(super) fn masked(&self, cond: &Value, number: f64, x: &Value) -> Result<Value> {
        self.select(cond, &self.full(Dims::SCALAR, number, x.dtype())?, x)
    }

    /// Over `dims`, which stay at size 1.
    pub(super) fn reduce(&self, op: ReduceOp, x: &Value, dims: &[usize]) -> Result<Value> {
        let storage = self.0.reduce(op, x.view(), Dims::from_slice(dims))?;
        let mut shape = *x.shape();
        for &d in dims {
            shape[d] = 1;
        }
        Ok(Value::new(storage, shape))
    }

    pub(super) fn sum(&self, x: &Value, dim: usize) -> Result<Value> {
        self.reduce(ReduceOp::Sum, x, &[dim])
    }
    pub(super) fn mean(&self, x: &Value, dim: usize) -> Result<Value> {
        self.reduce(ReduceOp::Mean, x, &[dim])
    }

    /// The sum over all dimensions but the last, `[d]`.
    pub(super) fn sum_rows(&self, x: &Value) -> Result<Value> {
        let last = x.layout.rank() - 1;
        let storage = self.0.reduce(ReduceOp::Sum, x.view(), Dims::from_slice(&[0, 1, 2, 3, 4, 5, 6, 7][..last]))?;
        Ok(Value::new(storage, Dims::from_slice(&[x.shape()[last]])))
    }

    /// Product over the last two dimensions, leading ones broadcast.
    pub(super) fn matmul(&self, a: &Value, b: &Value) -> Result<Value> {
        let (ra, rb) = (a.layout.rank(), b.layout.rank());
        let lead = |v: &Value, r: usize| Dims::from_slice(&v.shape()[..r - 2]);
        let batch = lead(a, ra).broadcast(&lead(b, rb), "compose")?;
        let with = |m: usize, n: usize| Dims::from_slice(&[&batch[..], &[m, n]].concat());
        let (m, k, n) = (a.shape()[ra - 2], a.shape()[ra - 1], b.shape()[rb - 1]);
        let storage = self.0.matmul(a.broadcast(&with(m, k)).view(), b.broadcast(&with(k, n)).view())?;
        Ok(Value::new(storage, with(m, n)))
    }

    /// The same elements in another shape.
    pub(super) fn reshape(&self, x: &Value, shape: Dims) -> Result<Value> {
        match x.layout.reshape(&shape) {
            Some(layout) => Ok(x.with(layout)),
            None => Ok(Value::new(self.0.copy(x.view())?, shape)),
        }
    }
}
