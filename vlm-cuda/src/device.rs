//! The devices: the contract's methods, each a line that finds its kernel.

use crate::library::{CudaPart, Driver};
use crate::storage::{TorchStorage, own};
use crate::{
    attention, elementwise, graphs, index, loss, matmul, memory, norm, optimizer, random, reduce, rope, rows, shim,
};
use tch::Tensor;
use vlm_core::backend::graphs::{Graph, Graphs};
use vlm_core::backend::{
    AdamWArgs, AdamWState, ArgReduceOp, AttentionArgs, BinaryOp, CompareOp, CumulativeOp, DeviceProperties,
    Distribution, HostBytes, Kernels, Memory, MemoryStats, OpKind, Primitives, RandomKey, ReduceOp, RopeArgs,
    ScatterOp, StorageRef, Support, UnaryOp, View, compose, unsupported,
};
use vlm_core::{DType, Dims, Layout, Result, Scalar, Shape};

/// A device of libtorch: a GPU, or the processors.
#[derive(Debug)]
pub struct TorchDevice {
    device: tch::Device,
    attention: attention::Choice,
}

/// How many threads libtorch's CPU computes with.
pub fn set_num_threads(threads: usize) {
    tch::set_num_threads(i32::try_from(threads).unwrap_or(i32::MAX));
}

impl TorchDevice {
    /// libtorch's CPU. From now on its tensors come from a pool that keeps large blocks, also those that the program makes
    /// with tch itself.
    ///
    /// # Errors
    /// Those of libtorch.
    pub fn cpu() -> Result<Self> {
        // libtorch asks for its CUDA part once and remembers that there was none: it comes first.
        CudaPart::get();
        shim::install_pool()?;
        Ok(TorchDevice { device: tch::Device::Cpu, attention: attention::Choice::Fused })
    }

    /// A GPU, which the caller knows to be there.
    ///
    /// # Errors
    /// Those of libtorch when it first uses the GPU.
    pub fn cuda(ordinal: usize) -> Result<Self> {
        CudaPart::get();
        let device = TorchDevice { device: tch::Device::Cuda(ordinal), attention: attention::Choice::Fused };
        device.alloc(DType::F32, 1)?;
        Ok(device)
    }

    /// With attention by products of matrices and a softmax, which fused kernels can be compared with.
    #[must_use]
    pub fn with_plain_attention(mut self) -> Self {
        self.attention = attention::Choice::Plain;
        self
    }

    fn is_cpu(&self) -> bool {
        self.device == tch::Device::Cpu
    }
}

/// A result whose elements are of `dtype` and whose shape is `shape`.
fn made(tensor: Tensor, shape: Shape, dtype: DType) -> Result<StorageRef> {
    Ok(TorchStorage::new(tensor, shape, dtype)?.share())
}

/// A result in one row.
fn row(tensor: Tensor, len: usize, dtype: DType) -> Result<StorageRef> {
    made(tensor, Dims::from_slice(&[len]), dtype)
}

fn without(shape: &Dims, dims: &Dims) -> Dims {
    dims.iter().rev().fold(*shape, |s, &d| s.without(d))
}

impl Memory for TorchDevice {
    fn alloc(&self, dtype: DType, len: usize) -> Result<StorageRef> {
        Ok(memory::alloc(self.device, dtype, len)?.share())
    }

    fn upload(&self, dtype: DType, bytes: &[u8]) -> Result<StorageRef> {
        Ok(memory::upload(self.device, dtype, bytes)?.share())
    }

    fn adopt(&self, dtype: DType, bytes: HostBytes) -> Result<StorageRef> {
        Ok(memory::adopt(self.device, dtype, bytes)?.share())
    }

    fn download(&self, src: &StorageRef, start: usize, out: &mut [u8]) -> Result<()> {
        memory::download(src, start, out)
    }

    fn host_bytes<'a>(&self, src: &'a StorageRef) -> Option<&'a [u8]> {
        own(src).ok().and_then(memory::host_bytes)
    }

    fn copy(&self, src: View<'_>) -> Result<StorageRef> {
        made(memory::copy(src)?, *src.shape(), src.dtype())
    }

    fn copy_into(&self, dst: StorageRef, layout: &Layout, src: View<'_>) -> Result<StorageRef> {
        memory::copy_into(dst, layout, src)
    }

    fn synchronize(&self) -> Result<()> {
        memory::synchronize(self.device)
    }

    fn properties(&self) -> DeviceProperties {
        let threads = tch::get_num_threads();
        let name = match self.device {
            tch::Device::Cuda(n) => Driver::device_name(n),
            _ => format!("libtorch's CPU, {threads} threads"),
        };
        let mut properties = DeviceProperties::new(name, &DType::ALL);
        properties.host_memory = self.is_cpu();
        properties.asynchronous = !self.is_cpu();
        if let tch::Device::Cuda(n) = self.device {
            properties.memory_bytes = shim::memory_info(n).ok().map(|(_, whole)| whole);
        }
        properties.details =
            vec![("libtorch".to_owned(), shim::version()), ("threads".to_owned(), threads.to_string())];
        properties
    }

    fn memory_stats(&self) -> MemoryStats {
        match self.device {
            tch::Device::Cuda(n) => shim::memory_stats(n).unwrap_or_default(),
            _ => shim::pool_stats(),
        }
    }

    fn first_outside(&self, indices: View<'_>, bound: usize) -> Result<Option<i64>> {
        memory::first_outside(indices, bound)
    }

    fn trim(&self) -> Result<()> {
        if self.is_cpu() {
            shim::trim_pool();
            return Ok(());
        }
        shim::empty_cache()
    }
}

impl Primitives for TorchDevice {
    fn fill(&self, dtype: DType, len: usize, value: Scalar) -> Result<StorageRef> {
        row(elementwise::fill(self.device, dtype, len, value)?, len, dtype)
    }
    fn arange(&self, dtype: DType, start: f64, step: f64, len: usize) -> Result<StorageRef> {
        row(elementwise::arange(self.device, dtype, start, step, len)?, len, dtype)
    }
    fn cast(&self, x: View<'_>, dtype: DType) -> Result<StorageRef> {
        made(elementwise::cast(x, dtype)?, *x.shape(), dtype)
    }
    fn unary(&self, op: UnaryOp, x: View<'_>) -> Result<StorageRef> {
        made(elementwise::unary(op, x)?, *x.shape(), x.dtype())
    }
    #[inline]
    fn binary(&self, op: BinaryOp, a: View<'_>, b: View<'_>) -> Result<StorageRef> {
        made(elementwise::binary(op, a, b)?, *a.shape(), a.dtype())
    }
    fn compare(&self, op: CompareOp, a: View<'_>, b: View<'_>) -> Result<StorageRef> {
        made(elementwise::compare(op, a, b)?, *a.shape(), DType::Bool)
    }
    fn select(&self, cond: View<'_>, a: View<'_>, b: View<'_>) -> Result<StorageRef> {
        made(elementwise::select(cond, a, b)?, *a.shape(), a.dtype())
    }
    fn reduce(&self, op: ReduceOp, x: View<'_>, dims: Dims) -> Result<StorageRef> {
        made(reduce::reduce(op, x, &dims)?, without(x.shape(), &dims), reduce::reduced(op, x.dtype()))
    }
    fn arg_reduce(&self, op: ArgReduceOp, x: View<'_>, dim: usize) -> Result<StorageRef> {
        made(reduce::arg_reduce(op, x, dim)?, x.shape().without(dim), DType::I64)
    }
    fn cumulative(&self, op: CumulativeOp, x: View<'_>, dim: usize) -> Result<StorageRef> {
        made(reduce::cumulative(op, x, dim)?, *x.shape(), reduce::summed(x.dtype()))
    }
    fn matmul(&self, a: View<'_>, b: View<'_>) -> Result<StorageRef> {
        let columns = b.shape()[b.shape().rank() - 1];
        made(matmul::matmul(a, b)?, a.shape().with(a.shape().rank() - 1, columns), a.dtype())
    }
    fn index_select(&self, x: View<'_>, dim: usize, indices: View<'_>) -> Result<StorageRef> {
        made(index::index_select(x, dim, indices)?, x.shape().with(dim, indices.count()), x.dtype())
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
        index::index_update(op, dst, shape, dim, indices, src)
    }
    fn gather(&self, x: View<'_>, dim: usize, indices: View<'_>) -> Result<StorageRef> {
        made(index::gather(x, dim, indices)?, *indices.shape(), x.dtype())
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
        index::scatter(op, dst, shape, dim, indices, src)
    }
    fn sort(&self, x: View<'_>, dim: usize, descending: bool) -> Result<(StorageRef, StorageRef)> {
        let (values, order) = index::sort(x, dim, descending)?;
        Ok((made(values, *x.shape(), x.dtype())?, made(order, *x.shape(), DType::I64)?))
    }
    fn supports(&self, op: OpKind, dtypes: &[DType]) -> Support {
        let composed = op == OpKind::QuantizedLinear
            || (!self.is_cpu() && matches!(op, OpKind::Attention | OpKind::AttentionBackward));
        if composed { Support::Composed } else { Support::from_lists(op, dtypes, OpKind::ALL, &DType::ALL) }
    }
}

impl Kernels for TorchDevice {
    fn concat(&self, views: Vec<View<'_>>, dim: usize) -> Result<StorageRef> {
        let shape = views[0].shape().with(dim, views.iter().map(|v| v.shape()[dim]).sum());
        made(index::concat(&views, dim)?, shape, views[0].dtype())
    }

    fn random(&self, dtype: DType, len: usize, from: Distribution, key: RandomKey) -> Result<StorageRef> {
        Ok(random::random(self.device, dtype, len, from, key)?.share())
    }

    fn dropout(&self, x: View<'_>, p: f64, key: RandomKey) -> Result<StorageRef> {
        made(random::dropout(self.device, x, p, key)?, *x.shape(), x.dtype())
    }

    fn unary_backward(&self, op: UnaryOp, x: View<'_>, y: View<'_>, grad: View<'_>) -> Result<StorageRef> {
        match elementwise::unary_backward(op, x, y, grad)? {
            Some(dx) => made(dx, *x.shape(), grad.dtype()),
            None => compose::unary_backward(self, op, x, y, grad),
        }
    }

    fn glu(&self, op: UnaryOp, gate: View<'_>, up: View<'_>) -> Result<StorageRef> {
        match elementwise::glu(op, gate, up)? {
            Some(y) => made(y, *gate.shape(), gate.dtype()),
            None => compose::glu(self, op, gate, up),
        }
    }

    fn glu_backward(
        &self,
        op: UnaryOp,
        gate: View<'_>,
        up: View<'_>,
        grad: View<'_>,
    ) -> Result<(StorageRef, StorageRef)> {
        match elementwise::glu_backward(op, gate, up, grad)? {
            Some((a, b)) => Ok((made(a, *gate.shape(), gate.dtype())?, made(b, *up.shape(), up.dtype())?)),
            None => compose::glu_backward(self, op, gate, up, grad),
        }
    }

    fn linear(&self, x: View<'_>, w: View<'_>, bias: Option<View<'_>>) -> Result<StorageRef> {
        made(matmul::linear(x, w, bias)?, Dims::from_slice(&[x.shape()[0], w.shape()[0]]), x.dtype())
    }

    fn embedding(&self, weight: View<'_>, ids: View<'_>) -> Result<StorageRef> {
        let (shape, rank) = (ids.shape(), ids.shape().rank());
        made(index::embedding(weight, ids)?, shape.with_inserted(rank, weight.shape()[1]), weight.dtype())
    }

    fn softmax(&self, x: View<'_>, dim: usize) -> Result<StorageRef> {
        made(rows::softmax(x, dim)?, *x.shape(), x.dtype())
    }

    fn softmax_backward(&self, y: View<'_>, grad: View<'_>, dim: usize) -> Result<StorageRef> {
        made(rows::softmax_backward(y, grad, dim)?, *y.shape(), grad.dtype())
    }

    fn log_softmax(&self, x: View<'_>, dim: usize) -> Result<StorageRef> {
        made(rows::log_softmax(x, dim)?, *x.shape(), x.dtype())
    }

    fn log_softmax_backward(&self, y: View<'_>, grad: View<'_>, dim: usize) -> Result<StorageRef> {
        made(rows::log_softmax_backward(y, grad, dim)?, *y.shape(), grad.dtype())
    }

    fn layer_norm(
        &self,
        x: View<'_>,
        weight: Option<View<'_>>,
        bias: Option<View<'_>>,
        eps: f64,
    ) -> Result<StorageRef> {
        made(norm::layer_norm(x, weight, bias, eps)?, *x.shape(), x.dtype())
    }

    fn layer_norm_backward(
        &self,
        x: View<'_>,
        weight: Option<View<'_>>,
        grad: View<'_>,
        eps: f64,
        affine: bool,
    ) -> Result<(StorageRef, Option<StorageRef>, Option<StorageRef>)> {
        let (dx, vectors) = norm::layer_norm_backward(x, weight, grad, eps, affine)?;
        let d = x.shape()[x.shape().rank() - 1];
        let (dw, db) = vectors.unzip();
        let vector = |t: Option<Tensor>| t.map(|t| row(t, d, x.dtype())).transpose();
        Ok((made(dx, *x.shape(), x.dtype())?, vector(dw)?, vector(db)?))
    }

    fn rms_norm(&self, x: View<'_>, weight: Option<View<'_>>, eps: f64, offset: f64) -> Result<StorageRef> {
        made(norm::rms_norm(x, weight, eps, offset)?, *x.shape(), x.dtype())
    }

    fn rms_norm_backward(
        &self,
        x: View<'_>,
        weight: Option<View<'_>>,
        grad: View<'_>,
        eps: f64,
        offset: f64,
        affine: bool,
    ) -> Result<(StorageRef, Option<StorageRef>)> {
        let (dx, dw) = norm::rms_norm_backward(x, weight, grad, eps, offset, affine)?;
        let d = x.shape()[x.shape().rank() - 1];
        Ok((made(dx, *x.shape(), x.dtype())?, dw.map(|t| row(t, d, x.dtype())).transpose()?))
    }

    fn rope(&self, args: RopeArgs<'_>) -> Result<StorageRef> {
        made(rope::rope(&args)?, *args.x.shape(), args.x.dtype())
    }

    fn attention(&self, args: AttentionArgs<'_>, save: bool) -> Result<(StorageRef, Option<StorageRef>)> {
        let Some((out, lse)) = attention::forward(&args, save, self.attention)? else {
            return compose::attention(self, &args, save);
        };
        let (q, v, dtype) = (args.q.shape(), args.v.shape(), args.q.dtype());
        let out = made(out, Dims::from_slice(&[q[0], q[2], q[1], v[3]]), dtype)?;
        let lse = lse.map(|t| made(t, Dims::from_slice(&[q[0], q[1], q[2]]), dtype.accumulator())).transpose()?;
        Ok((out, lse))
    }

    fn attention_backward(
        &self,
        args: AttentionArgs<'_>,
        out: View<'_>,
        lse: View<'_>,
        grad: View<'_>,
    ) -> Result<(StorageRef, StorageRef, StorageRef)> {
        let Some([dq, dk, dv]) = attention::backward(&args, out, lse, grad, self.attention)? else {
            return compose::attention_backward(self, &args, out, lse, grad);
        };
        let like = |t: Tensor, v: View<'_>| made(t, *v.shape(), v.dtype());
        Ok((like(dq, args.q)?, like(dk, args.k)?, like(dv, args.v)?))
    }

    fn cross_entropy(&self, logits: View<'_>, targets: View<'_>, ignore: i64) -> Result<(StorageRef, StorageRef)> {
        let (n, wide) = (logits.shape()[0], logits.dtype().accumulator());
        let (losses, lse) = rows::cross_entropy(logits, targets, ignore)?;
        Ok((row(losses, n, wide)?, row(lse, n, wide)?))
    }

    fn cross_entropy_backward(
        &self,
        logits: View<'_>,
        targets: View<'_>,
        ignore: i64,
        lse: View<'_>,
        grad: View<'_>,
    ) -> Result<StorageRef> {
        made(rows::cross_entropy_backward(logits, targets, ignore, lse, grad)?, *logits.shape(), logits.dtype())
    }

    fn linear_cross_entropy(
        &self,
        x: View<'_>,
        w: View<'_>,
        targets: View<'_>,
        ignore: i64,
    ) -> Result<(StorageRef, StorageRef)> {
        let (n, wide) = (x.shape()[0], x.dtype().accumulator());
        let (losses, lse) = loss::linear_cross_entropy(x, w, targets, ignore)?;
        Ok((row(losses, n, wide)?, row(lse, n, wide)?))
    }

    fn linear_cross_entropy_backward(
        &self,
        x: View<'_>,
        w: View<'_>,
        targets: View<'_>,
        ignore: i64,
        lse: View<'_>,
        grad: View<'_>,
        weight: bool,
    ) -> Result<(StorageRef, Option<StorageRef>)> {
        let (dx, dw) = loss::linear_cross_entropy_backward(x, w, targets, ignore, lse, grad, weight)?;
        let like = |t: Tensor, v: View<'_>| made(t, *v.shape(), v.dtype());
        Ok((like(dx, x)?, dw.map(|t| like(t, w)).transpose()?))
    }

    fn topk(&self, x: View<'_>, k: usize, dim: usize, largest: bool) -> Result<(StorageRef, StorageRef)> {
        let (values, order) = index::topk(x, k, dim, largest)?;
        let shape = x.shape().with(dim, k);
        Ok((made(values, shape, x.dtype())?, made(order, shape, DType::I64)?))
    }

    fn adamw_step(&self, args: AdamWArgs<'_>) -> Result<AdamWState> {
        optimizer::adamw_step(args)
    }

    fn adamw_steps(&self, all: Vec<AdamWArgs<'_>>) -> Result<Vec<AdamWState>> {
        optimizer::adamw_steps(all)
    }

    fn graphs(&self) -> Option<&dyn Graphs> {
        // Asked for once per token: the answer is kept.
        (!self.is_cpu() && graphs::available().is_ok()).then_some(self)
    }
}

impl Graphs for TorchDevice {
    fn capture(&self, work: &mut dyn FnMut() -> Result<()>) -> Result<Box<dyn Graph>> {
        let tch::Device::Cuda(ordinal) = self.device else {
            return Err(unsupported("libtorch's CPU", OpKind::Copy, "graph", DType::F32));
        };
        graphs::capture(ordinal, work)
    }

    fn write(&self, dst: &StorageRef, bytes: &[u8]) -> Result<()> {
        graphs::write(dst, bytes)
    }
}
