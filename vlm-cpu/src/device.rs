//! The `cpu` device: the contract's methods, each a line that finds its kernel.

use crate::storage::{CpuStorage, own};
use crate::{attention, elementwise, index, loss, matmul, norm, optimizer, reduce, rope, rows, strided};
use vlm_core::backend::{
    AdamWArgs, AdamWState, ArgReduceOp, AttentionArgs, BinaryOp, CompareOp, CumulativeOp, DeviceProperties,
    Distribution, HostBytes, Kernels, Memory, MemoryStats, OpKind, Primitives, QuantizedLinearArgs, RandomKey,
    ReduceOp, RopeArgs, ScatterOp, StorageRef, Support, UnaryOp, View, compose,
};
use vlm_core::{DType, Dims, Error, ErrorKind, Layout, Result, Scalar, Shape};

/// The machine's processors.
#[derive(Debug, Default)]
pub struct CpuDevice;

impl Memory for CpuDevice {
    fn alloc(&self, dtype: DType, len: usize) -> Result<StorageRef> {
        Ok(CpuStorage::new(dtype, len)?.share())
    }

    fn upload(&self, dtype: DType, bytes: &[u8]) -> Result<StorageRef> {
        let mut new = CpuStorage::new(dtype, bytes.len() / dtype.size())?;
        new.bytes_mut()?.copy_from_slice(bytes);
        Ok(new.share())
    }

    fn adopt(&self, dtype: DType, bytes: HostBytes) -> Result<StorageRef> {
        Ok(CpuStorage::adopt(dtype, bytes)?.share())
    }

    fn download(&self, src: &StorageRef, start: usize, out: &mut [u8]) -> Result<()> {
        let (bytes, from) = (own(src)?.bytes(), start * src.dtype().size());
        let part = bytes.get(from..from + out.len()).ok_or_else(|| {
            let message = format!("{} bytes from {from} are outside of the {} there are", out.len(), bytes.len());
            Error::new(ErrorKind::Index, "download", message)
        })?;
        out.copy_from_slice(part);
        Ok(())
    }

    fn host_bytes<'a>(&self, src: &'a StorageRef) -> Option<&'a [u8]> {
        own(src).ok().map(CpuStorage::bytes)
    }

    fn copy(&self, src: View<'_>) -> Result<StorageRef> {
        Ok(strided::copy(src)?.share())
    }

    fn copy_into(&self, dst: StorageRef, layout: &Layout, src: View<'_>) -> Result<StorageRef> {
        strided::copy_into(dst, layout, src)
    }

    fn synchronize(&self) -> Result<()> {
        Ok(())
    }

    fn properties(&self) -> DeviceProperties {
        let (cpu, threads) = (crate::cpu_features::cpu(), crate::threads::num_threads());
        let isa = crate::cpu_features::Isa::current();
        let mut properties = DeviceProperties::new(format!("{threads} threads, {isa:?}"), &DType::ALL);
        properties.host_memory = true;
        properties.details = vec![
            ("isa".to_owned(), format!("{isa:?}")),
            ("threads".to_owned(), threads.to_string()),
            ("cpu".to_owned(), format!("{cpu:?}")),
        ];
        properties
    }

    fn memory_stats(&self) -> MemoryStats {
        let pool = crate::alloc::stats();
        let mut stats = MemoryStats::default();
        stats.allocated = pool.allocated;
        stats.reserved = pool.reserved;
        stats.peak_allocated = pool.peak;
        stats.reused = pool.hits;
        stats.fresh = pool.misses;
        stats
    }

    fn trim(&self) -> Result<()> {
        crate::alloc::trim();
        Ok(())
    }
}

impl Primitives for CpuDevice {
    fn fill(&self, dtype: DType, len: usize, value: Scalar) -> Result<StorageRef> {
        Ok(elementwise::fill(dtype, len, value)?.share())
    }
    fn arange(&self, dtype: DType, start: f64, step: f64, len: usize) -> Result<StorageRef> {
        Ok(elementwise::arange(dtype, start, step, len)?.share())
    }
    fn cast(&self, x: View<'_>, dtype: DType) -> Result<StorageRef> {
        Ok(elementwise::cast(x, dtype)?.share())
    }
    fn unary(&self, op: UnaryOp, x: View<'_>) -> Result<StorageRef> {
        Ok(elementwise::unary(op, x)?.share())
    }
    #[inline]
    fn binary(&self, op: BinaryOp, a: View<'_>, b: View<'_>) -> Result<StorageRef> {
        Ok(elementwise::binary(op, a, b)?.share())
    }
    fn compare(&self, op: CompareOp, a: View<'_>, b: View<'_>) -> Result<StorageRef> {
        Ok(elementwise::compare(op, a, b)?.share())
    }
    fn select(&self, cond: View<'_>, a: View<'_>, b: View<'_>) -> Result<StorageRef> {
        Ok(elementwise::select(cond, a, b)?.share())
    }
    fn reduce(&self, op: ReduceOp, x: View<'_>, dims: Dims) -> Result<StorageRef> {
        Ok(reduce::reduce(op, x, &dims)?.share())
    }
    fn arg_reduce(&self, op: ArgReduceOp, x: View<'_>, dim: usize) -> Result<StorageRef> {
        Ok(reduce::arg_reduce(op, x, dim)?.share())
    }
    fn cumulative(&self, op: CumulativeOp, x: View<'_>, dim: usize) -> Result<StorageRef> {
        Ok(reduce::cumulative(op, x, dim)?.share())
    }
    fn matmul(&self, a: View<'_>, b: View<'_>) -> Result<StorageRef> {
        Ok(matmul::matmul(a, b)?.share())
    }
    fn index_select(&self, x: View<'_>, dim: usize, indices: View<'_>) -> Result<StorageRef> {
        Ok(index::index_select(x, dim, indices)?.share())
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
        index::index_update(op, dst, &shape, dim, indices, src)
    }
    fn gather(&self, x: View<'_>, dim: usize, indices: View<'_>) -> Result<StorageRef> {
        Ok(index::gather(x, dim, indices)?.share())
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
        index::scatter(op, dst, &shape, dim, indices, src)
    }
    fn sort(&self, x: View<'_>, dim: usize, descending: bool) -> Result<(StorageRef, StorageRef)> {
        let (values, positions) = index::sort(x, dim, x.shape()[dim], descending)?;
        Ok((values.share(), positions.share()))
    }
    fn supports(&self, op: OpKind, dtypes: &[DType]) -> Support {
        // `f64` is for checking gradients, not for speed: its fused operations are composed.
        if !op.is_primitive()
            && dtypes.contains(&DType::F64)
            && !matches!(op, OpKind::Concat | OpKind::Linear | OpKind::TopK | OpKind::Embedding | OpKind::Random)
        {
            return Support::Composed;
        }
        Support::from_lists(op, dtypes, OpKind::ALL, &DType::ALL)
    }
}

/// The kernel's result, or the default body's where there is no kernel for these operands.
macro_rules! native_or {
    ($native:expr, $default:expr) => {
        match $native? {
            Some(made) => Ok(made.share()),
            None => $default,
        }
    };
}

fn share2((a, b): (CpuStorage, CpuStorage)) -> (StorageRef, StorageRef) {
    (a.share(), b.share())
}

impl Kernels for CpuDevice {
    fn concat(&self, views: Vec<View<'_>>, dim: usize) -> Result<StorageRef> {
        // Allocation and writing in place are all there is to it.
        compose::concat(self, &views, dim)
    }

    fn random(&self, dtype: DType, len: usize, from: Distribution, key: RandomKey) -> Result<StorageRef> {
        Ok(crate::random::random(dtype, len, from, key)?.share())
    }

    fn dropout(&self, x: View<'_>, p: f64, key: RandomKey) -> Result<StorageRef> {
        native_or!(elementwise::dropout(x, p, key), compose::dropout(self, x, p, key))
    }

    fn unary_backward(&self, op: UnaryOp, x: View<'_>, y: View<'_>, grad: View<'_>) -> Result<StorageRef> {
        native_or!(elementwise::unary_backward(op, x, y, grad), compose::unary_backward(self, op, x, y, grad))
    }

    fn glu(&self, op: UnaryOp, gate: View<'_>, up: View<'_>) -> Result<StorageRef> {
        native_or!(elementwise::glu(op, gate, up), compose::glu(self, op, gate, up))
    }

    fn glu_backward(
        &self,
        op: UnaryOp,
        gate: View<'_>,
        up: View<'_>,
        grad: View<'_>,
    ) -> Result<(StorageRef, StorageRef)> {
        match elementwise::glu_backward(op, gate, up, grad)? {
            Some(made) => Ok(share2(made)),
            None => compose::glu_backward(self, op, gate, up, grad),
        }
    }

    fn linear(&self, x: View<'_>, w: View<'_>, bias: Option<View<'_>>) -> Result<StorageRef> {
        if x.dtype() == DType::F64 && bias.is_some() {
            return compose::linear(self, x, w, bias);
        }
        Ok(matmul::linear(x, w, bias)?.share())
    }

    fn quantized_linear(&self, args: QuantizedLinearArgs<'_>) -> Result<StorageRef> {
        native_or!(matmul::quantized_linear(&args), compose::quantized_linear(self, args))
    }

    fn embedding(&self, weight: View<'_>, ids: View<'_>) -> Result<StorageRef> {
        compose::embedding(self, weight, ids)
    }

    fn softmax(&self, x: View<'_>, dim: usize) -> Result<StorageRef> {
        native_or!(rows::softmax(x, dim), compose::softmax(self, x, dim))
    }

    fn softmax_backward(&self, y: View<'_>, grad: View<'_>, dim: usize) -> Result<StorageRef> {
        native_or!(rows::softmax_backward(y, grad, dim), compose::softmax_backward(self, y, grad, dim))
    }

    fn log_softmax(&self, x: View<'_>, dim: usize) -> Result<StorageRef> {
        native_or!(rows::log_softmax(x, dim), compose::log_softmax(self, x, dim))
    }

    fn log_softmax_backward(&self, y: View<'_>, grad: View<'_>, dim: usize) -> Result<StorageRef> {
        native_or!(rows::log_softmax_backward(y, grad, dim), compose::log_softmax_backward(self, y, grad, dim))
    }

    fn layer_norm(
        &self,
        x: View<'_>,
        weight: Option<View<'_>>,
        bias: Option<View<'_>>,
        eps: f64,
    ) -> Result<StorageRef> {
        let kind = norm::Kind { centre: true, eps, offset: 0.0 };
        native_or!(norm::forward(x, weight, bias, kind), compose::layer_norm(self, x, weight, bias, eps))
    }

    fn layer_norm_backward(
        &self,
        x: View<'_>,
        weight: Option<View<'_>>,
        grad: View<'_>,
        eps: f64,
        affine: bool,
    ) -> Result<(StorageRef, Option<StorageRef>, Option<StorageRef>)> {
        let kind = norm::Kind { centre: true, eps, offset: 0.0 };
        match norm::backward(x, weight, grad, kind, affine)? {
            Some((dx, dw, db)) => Ok((dx.share(), dw.map(CpuStorage::share), db.map(CpuStorage::share))),
            None => compose::layer_norm_backward(self, x, weight, grad, eps, affine),
        }
    }

    fn rms_norm(&self, x: View<'_>, weight: Option<View<'_>>, eps: f64, offset: f64) -> Result<StorageRef> {
        let kind = norm::Kind { centre: false, eps, offset };
        native_or!(norm::forward(x, weight, None, kind), compose::rms_norm(self, x, weight, eps, offset))
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
        match norm::backward(x, weight, grad, norm::Kind { centre: false, eps, offset }, affine)? {
            Some((dx, dw, _)) => Ok((dx.share(), dw.map(CpuStorage::share))),
            None => compose::rms_norm_backward(self, x, weight, grad, eps, offset, affine),
        }
    }

    fn rope(&self, args: RopeArgs<'_>) -> Result<StorageRef> {
        native_or!(rope::rope(&args), compose::rope(self, args))
    }

    fn attention(&self, args: AttentionArgs<'_>, save: bool) -> Result<(StorageRef, Option<StorageRef>)> {
        match attention::forward(&args, save)? {
            Some((out, lse)) => Ok((out.share(), lse.map(CpuStorage::share))),
            None => compose::attention(self, &args, save),
        }
    }

    fn attention_backward(
        &self,
        args: AttentionArgs<'_>,
        out: View<'_>,
        lse: View<'_>,
        grad: View<'_>,
    ) -> Result<(StorageRef, StorageRef, StorageRef)> {
        match attention::backward(&args, out, lse, grad)? {
            Some((dq, dk, dv)) => Ok((dq.share(), dk.share(), dv.share())),
            None => compose::attention_backward(self, &args, out, lse, grad),
        }
    }

    fn cross_entropy(&self, logits: View<'_>, targets: View<'_>, ignore: i64) -> Result<(StorageRef, StorageRef)> {
        match rows::cross_entropy(logits, targets, ignore)? {
            Some(made) => Ok(share2(made)),
            None => compose::cross_entropy(self, logits, targets, ignore),
        }
    }

    fn cross_entropy_backward(
        &self,
        logits: View<'_>,
        targets: View<'_>,
        ignore: i64,
        lse: View<'_>,
        grad: View<'_>,
    ) -> Result<StorageRef> {
        native_or!(
            rows::cross_entropy_backward(logits, targets, ignore, lse, grad),
            compose::cross_entropy_backward(self, logits, targets, ignore, lse, grad)
        )
    }

    fn linear_cross_entropy(
        &self,
        x: View<'_>,
        w: View<'_>,
        targets: View<'_>,
        ignore: i64,
    ) -> Result<(StorageRef, StorageRef)> {
        match loss::linear_cross_entropy(x, w, targets, ignore)? {
            Some(made) => Ok(share2(made)),
            None => compose::linear_cross_entropy(self, x, w, targets, ignore),
        }
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
        match loss::linear_cross_entropy_backward(x, w, targets, ignore, lse, grad, weight)? {
            Some((dx, dw)) => Ok((dx.share(), dw.map(CpuStorage::share))),
            None => compose::linear_cross_entropy_backward(self, x, w, targets, ignore, lse, grad, weight),
        }
    }

    fn topk(&self, x: View<'_>, k: usize, dim: usize, largest: bool) -> Result<(StorageRef, StorageRef)> {
        Ok(share2(index::sort(x, dim, k, largest)?))
    }

    fn adamw_step(&self, args: AdamWArgs<'_>) -> Result<AdamWState> {
        match optimizer::adamw_step(args)? {
            Ok(done) => Ok(done),
            Err(args) => compose::adamw_step(self, args),
        }
    }
}
