//! The reference device `ref`: every primitive as a plain loop, no fused operation of its own, no `unsafe`.
//!
//! It is always there, so that `cargo add vlm-core` alone is enough to compute, and it is what other devices are
//! compared with. Floats are computed in `f64` and rounded once, sums included: more exact than any device needs to be.

mod elementwise;
mod index;
pub mod math;
mod matmul;
mod memory;
mod reduce;
mod sort;
mod storage;

use super::{
    ArgReduceOp, BACKEND_API, Backend, BinaryOp, CompareOp, CumulativeOp, DeviceInfo, Kernels, OpKind, Primitives,
    ReduceOp, ScatterOp, StorageRef, Support, UnaryOp, View,
};
use crate::shape::{Dims, Shape};
use crate::{DType, Error, ErrorKind, Result, Scalar};
use std::sync::Arc;
use storage::Usage;

/// The registry entry of `ref`.
#[derive(Debug)]
pub struct ReferenceBackend;

impl Backend for ReferenceBackend {
    fn name(&self) -> &str {
        "ref"
    }
    fn api_version(&self) -> u32 {
        BACKEND_API
    }
    fn devices(&self) -> Vec<DeviceInfo> {
        vec![DeviceInfo::new(0, "reference loops", 0)]
    }
    fn open(&self, ordinal: usize) -> Result<Arc<dyn Kernels>> {
        if ordinal == 0 {
            return Ok(Arc::new(ReferenceDevice::new()));
        }
        let message = format!("there is one reference device, number 0, not {ordinal}");
        Err(Error::new(ErrorKind::Device, "open device", message).hint("use ref"))
    }
}

/// The reference device.
#[derive(Debug, Default)]
pub struct ReferenceDevice {
    usage: Arc<Usage>,
}

impl ReferenceDevice {
    /// A device of its own, with its own count of memory.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Kernels for ReferenceDevice {}

impl Primitives for ReferenceDevice {
    fn fill(&self, dtype: DType, len: usize, value: Scalar) -> Result<StorageRef> {
        self.store(elementwise::fill(dtype, len, value)?)
    }
    fn arange(&self, dtype: DType, start: f64, step: f64, len: usize) -> Result<StorageRef> {
        self.store(elementwise::arange(dtype, start, step, len)?)
    }
    fn cast(&self, x: View<'_>, dtype: DType) -> Result<StorageRef> {
        self.store(elementwise::cast(x, dtype)?)
    }
    fn unary(&self, op: UnaryOp, x: View<'_>) -> Result<StorageRef> {
        self.store(elementwise::unary(op, x)?)
    }
    fn binary(&self, op: BinaryOp, a: View<'_>, b: View<'_>) -> Result<StorageRef> {
        self.store(elementwise::binary(op, a, b)?)
    }
    fn compare(&self, op: CompareOp, a: View<'_>, b: View<'_>) -> Result<StorageRef> {
        self.store(elementwise::compare(op, a, b)?)
    }
    fn select(&self, cond: View<'_>, a: View<'_>, b: View<'_>) -> Result<StorageRef> {
        self.store(elementwise::select(cond, a, b)?)
    }
    fn reduce(&self, op: ReduceOp, x: View<'_>, dims: Dims) -> Result<StorageRef> {
        self.store(reduce::reduce(op, x, &dims)?)
    }
    fn arg_reduce(&self, op: ArgReduceOp, x: View<'_>, dim: usize) -> Result<StorageRef> {
        self.store(reduce::arg_reduce(op, x, dim)?)
    }
    fn cumulative(&self, op: CumulativeOp, x: View<'_>, dim: usize) -> Result<StorageRef> {
        self.store(reduce::cumulative(op, x, dim)?)
    }
    fn matmul(&self, a: View<'_>, b: View<'_>) -> Result<StorageRef> {
        self.store(matmul::matmul(a, b)?)
    }
    fn index_select(&self, x: View<'_>, dim: usize, indices: View<'_>) -> Result<StorageRef> {
        self.store(index::index_select(x, dim, indices)?)
    }
    fn index_update(
        &self,
        op: ScatterOp,
        dst: StorageRef,
        shape: Shape,
        dim: usize,
        indices: View<'_>,
        src: View<'_>,
    ) -> Result<StorageRef> {
        self.modify(dst, |data| index::index_update(op, data, &shape, dim, indices, src))
    }
    fn gather(&self, x: View<'_>, dim: usize, indices: View<'_>) -> Result<StorageRef> {
        self.store(index::gather(x, dim, indices)?)
    }
    fn scatter(
        &self,
        op: ScatterOp,
        dst: StorageRef,
        shape: Shape,
        dim: usize,
        indices: View<'_>,
        src: View<'_>,
    ) -> Result<StorageRef> {
        self.modify(dst, |data| index::scatter(op, data, &shape, dim, indices, src))
    }
    fn sort(&self, x: View<'_>, dim: usize, descending: bool) -> Result<(StorageRef, StorageRef)> {
        let (values, positions) = sort::sort(x, dim, descending)?;
        Ok((self.store(values)?, self.store(positions)?))
    }
    fn supports(&self, op: OpKind, dtypes: &[DType]) -> Support {
        Support::from_lists(op, dtypes, &[], &DType::ALL)
    }
}
