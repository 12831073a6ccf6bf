//! The device: the contract's methods, each a line that finds its operations.

use crate::aclnn::Stream;
use crate::runtime::{Counters, Queue};
use crate::storage::AscendStorage;
use crate::{
    activation, attention, elementwise, index, loss, make, matmul, memory, norm, optimizer, random, reduce, rope, rows,
    support,
};
use vlm_core::backend::{
    AdamWArgs, AdamWState, ArgReduceOp, AttentionArgs, BinaryOp, CompareOp, CumulativeOp, DeviceProperties,
    Distribution, Kernels, Memory, MemoryStats, OpKind, Primitives, RandomKey, ReduceOp, RopeArgs, ScatterOp,
    StorageRef, Support, UnaryOp, View, compose,
};
use vlm_core::{DType, Dims, Layout, Result, Scalar, Shape};

/// An NPU.
#[derive(Debug)]
pub struct AscendDevice {
    // Dropped in this order: what holds memory before the queue it belongs to.
    tables: rope::Tables,
    masks: attention::Masks,
    stream: Stream,
    fused: bool,
}

impl AscendDevice {
    /// Opens a device.
    ///
    /// # Errors
    /// [`ErrorKind::Device`](vlm_core::ErrorKind::Device) naming what is missing: the libraries, the driver, the device.
    pub fn open(ordinal: usize) -> Result<Self> {
        let stream = Stream::new(Queue::open(ordinal)?);
        Ok(AscendDevice { tables: rope::Tables::default(), masks: attention::Masks::default(), stream, fused: true })
    }

    /// With every fused operation composed of primitives, to compare with.
    #[must_use]
    pub fn without_fused(mut self) -> Self {
        self.fused = false;
        self
    }

    /// Has every operation give the same bits each time, where the chip's default does not.
    ///
    /// # Errors
    /// Those of the runtime.
    pub fn set_deterministic(&self, on: bool) -> Result<()> {
        self.stream.queue().set_deterministic(on)
    }

    /// What the device has done since it was opened.
    pub fn counters(&self) -> Counters {
        self.stream.queue().counters()
    }

    /// Whether a fused operation of the contract is one of its own here.
    fn is_native(&self, op: OpKind) -> bool {
        self.fused && support::needs(op).is_some_and(|all| all.iter().all(|name| self.stream.has(name)))
    }
}

fn shared(made: Result<AscendStorage>) -> Result<StorageRef> {
    made.map(AscendStorage::share)
}

impl Memory for AscendDevice {
    fn alloc(&self, dtype: DType, len: usize) -> Result<StorageRef> {
        shared(make::room(&self.stream, dtype, len))
    }

    fn upload(&self, dtype: DType, bytes: &[u8]) -> Result<StorageRef> {
        shared(memory::upload(&self.stream, dtype, bytes))
    }

    fn download(&self, src: &StorageRef, start: usize, out: &mut [u8]) -> Result<()> {
        memory::download(&self.stream, src, start, out)
    }

    fn copy(&self, src: View<'_>) -> Result<StorageRef> {
        shared(make::copied(&self.stream, &src))
    }

    fn copy_into(&self, dst: StorageRef, layout: &Layout, src: View<'_>) -> Result<StorageRef> {
        memory::copy_into(&self.stream, dst, layout, src)
    }

    fn synchronize(&self) -> Result<()> {
        self.stream.queue().synchronize()
    }

    fn properties(&self) -> DeviceProperties {
        let queue = self.stream.queue();
        let library = queue.library();
        let simulated = if library.is_simulator() { ", SIMULATED" } else { "" };
        let mut properties = DeviceProperties::new(format!("{}{simulated}", queue.chip.soc), &queue.chip.dtypes());
        properties.asynchronous = true;
        properties.memory_bytes = queue.memory_info().ok().map(|(_, total)| total as u64);
        let cann = library.cann_version().unwrap_or_else(|| "unknown".to_owned());
        properties.details = vec![("cann".to_owned(), cann), ("soc".to_owned(), queue.chip.soc.clone())];
        properties
    }

    fn memory_stats(&self) -> MemoryStats {
        self.stream.queue().memory_stats()
    }

    fn first_outside(&self, indices: View<'_>, bound: usize) -> Result<Option<i64>> {
        if memory::known_inside(&indices, bound)? {
            return Ok(None);
        }
        memory::first_outside(&self.stream, &indices, bound)
    }

    fn trim(&self) -> Result<()> {
        // They are made again when they are needed.
        self.tables.forget();
        self.masks.forget();
        self.stream.queue().trim()
    }
}

impl Primitives for AscendDevice {
    fn fill(&self, dtype: DType, len: usize, value: Scalar) -> Result<StorageRef> {
        shared(elementwise::fill(&self.stream, dtype, len, value))
    }
    fn arange(&self, dtype: DType, start: f64, step: f64, len: usize) -> Result<StorageRef> {
        shared(elementwise::arange(&self.stream, dtype, start, step, len))
    }
    fn cast(&self, x: View<'_>, dtype: DType) -> Result<StorageRef> {
        shared(elementwise::cast_to(&self.stream, x, dtype))
    }
    fn unary(&self, op: UnaryOp, x: View<'_>) -> Result<StorageRef> {
        shared(elementwise::unary(&self.stream, op, x))
    }
    fn binary(&self, op: BinaryOp, a: View<'_>, b: View<'_>) -> Result<StorageRef> {
        shared(elementwise::binary(&self.stream, op, a, b))
    }
    fn compare(&self, op: CompareOp, a: View<'_>, b: View<'_>) -> Result<StorageRef> {
        shared(elementwise::compare(&self.stream, op, a, b))
    }
    fn select(&self, cond: View<'_>, a: View<'_>, b: View<'_>) -> Result<StorageRef> {
        shared(elementwise::select(&self.stream, cond, a, b))
    }
    fn reduce(&self, op: ReduceOp, x: View<'_>, dims: Dims) -> Result<StorageRef> {
        shared(reduce::reduce(&self.stream, op, x, &dims))
    }
    fn arg_reduce(&self, op: ArgReduceOp, x: View<'_>, dim: usize) -> Result<StorageRef> {
        shared(reduce::arg_reduce(&self.stream, op, x, dim))
    }
    fn cumulative(&self, op: CumulativeOp, x: View<'_>, dim: usize) -> Result<StorageRef> {
        shared(reduce::cumulative(&self.stream, op, x, dim))
    }
    fn matmul(&self, a: View<'_>, b: View<'_>) -> Result<StorageRef> {
        shared(matmul::matmul(&self.stream, a, b))
    }
    fn index_select(&self, x: View<'_>, dim: usize, indices: View<'_>) -> Result<StorageRef> {
        shared(index::index_select(&self.stream, x, dim, indices))
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
        index::index_update(&self.stream, op, dst, shape, dim, indices, src)
    }
    fn gather(&self, x: View<'_>, dim: usize, indices: View<'_>) -> Result<StorageRef> {
        shared(index::gather(&self.stream, x, dim, indices))
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
        index::scatter(&self.stream, op, dst, shape, dim, indices, src)
    }
    fn sort(&self, x: View<'_>, dim: usize, descending: bool) -> Result<(StorageRef, StorageRef)> {
        let (values, order) = index::sort(&self.stream, x, dim, descending)?;
        Ok((values.share(), order.share()))
    }
    fn supports(&self, op: OpKind, dtypes: &[DType]) -> Support {
        support::of(op, dtypes, &self.stream.queue().chip, self.is_native(op))
    }
}

impl Kernels for AscendDevice {
    fn concat(&self, views: Vec<View<'_>>, dim: usize) -> Result<StorageRef> {
        shared(index::concat(&self.stream, &views, dim))
    }

    fn random(&self, dtype: DType, len: usize, from: Distribution, key: RandomKey) -> Result<StorageRef> {
        shared(random::random(&self.stream, dtype, len, from, key))
    }

    fn dropout(&self, x: View<'_>, p: f64, key: RandomKey) -> Result<StorageRef> {
        shared(random::dropout(&self.stream, x, p, key))
    }

    fn unary_backward(&self, op: UnaryOp, x: View<'_>, y: View<'_>, grad: View<'_>) -> Result<StorageRef> {
        let own = if self.fused { activation::unary_backward(&self.stream, op, x, y, grad)? } else { None };
        own.map_or_else(|| compose::unary_backward(self, op, x, y, grad), |dx| Ok(dx.share()))
    }

    fn glu(&self, op: UnaryOp, gate: View<'_>, up: View<'_>) -> Result<StorageRef> {
        let own = if self.fused { activation::glu(&self.stream, op, gate, up)? } else { None };
        own.map_or_else(|| compose::glu(self, op, gate, up), |y| Ok(y.share()))
    }

    fn glu_backward(
        &self,
        op: UnaryOp,
        gate: View<'_>,
        up: View<'_>,
        grad: View<'_>,
    ) -> Result<(StorageRef, StorageRef)> {
        let own = if self.fused { activation::glu_backward(&self.stream, op, gate, up, grad)? } else { None };
        own.map_or_else(|| compose::glu_backward(self, op, gate, up, grad), |(a, b)| Ok((a.share(), b.share())))
    }

    fn linear(&self, x: View<'_>, w: View<'_>, bias: Option<View<'_>>) -> Result<StorageRef> {
        if bias.is_some() && !(self.fused && x.dtype().is_float()) {
            return compose::linear(self, x, w, bias);
        }
        shared(matmul::linear(&self.stream, x, w, bias))
    }

    fn embedding(&self, weight: View<'_>, ids: View<'_>) -> Result<StorageRef> {
        if !self.is_native(OpKind::Embedding) {
            return compose::embedding(self, weight, ids);
        }
        shared(index::embedding(&self.stream, weight, ids))
    }

    fn softmax(&self, x: View<'_>, dim: usize) -> Result<StorageRef> {
        if !self.is_native(OpKind::Softmax) {
            return compose::softmax(self, x, dim);
        }
        shared(rows::softmax(&self.stream, x, dim))
    }

    fn softmax_backward(&self, y: View<'_>, grad: View<'_>, dim: usize) -> Result<StorageRef> {
        if !self.is_native(OpKind::SoftmaxBackward) {
            return compose::softmax_backward(self, y, grad, dim);
        }
        shared(rows::softmax_backward(&self.stream, y, grad, dim))
    }

    fn log_softmax(&self, x: View<'_>, dim: usize) -> Result<StorageRef> {
        if !self.is_native(OpKind::LogSoftmax) {
            return compose::log_softmax(self, x, dim);
        }
        shared(rows::log_softmax(&self.stream, x, dim))
    }

    fn log_softmax_backward(&self, y: View<'_>, grad: View<'_>, dim: usize) -> Result<StorageRef> {
        if !self.is_native(OpKind::LogSoftmaxBackward) {
            return compose::log_softmax_backward(self, y, grad, dim);
        }
        shared(rows::log_softmax_backward(&self.stream, y, grad, dim))
    }

    fn layer_norm(
        &self,
        x: View<'_>,
        weight: Option<View<'_>>,
        bias: Option<View<'_>>,
        eps: f64,
    ) -> Result<StorageRef> {
        if !self.is_native(OpKind::LayerNorm) {
            return compose::layer_norm(self, x, weight, bias, eps);
        }
        shared(norm::layer_norm(&self.stream, x, weight, bias, eps))
    }

    fn layer_norm_backward(
        &self,
        x: View<'_>,
        weight: Option<View<'_>>,
        grad: View<'_>,
        eps: f64,
        affine: bool,
    ) -> Result<(StorageRef, Option<StorageRef>, Option<StorageRef>)> {
        if !self.is_native(OpKind::LayerNormBackward) {
            return compose::layer_norm_backward(self, x, weight, grad, eps, affine);
        }
        let (dx, vectors) = norm::layer_norm_backward(&self.stream, x, weight, grad, eps, affine)?;
        let (dw, db) = vectors.unzip();
        Ok((dx.share(), dw.map(AscendStorage::share), db.map(AscendStorage::share)))
    }

    fn rms_norm(&self, x: View<'_>, weight: Option<View<'_>>, eps: f64, offset: f64) -> Result<StorageRef> {
        if !self.is_native(OpKind::RmsNorm) {
            return compose::rms_norm(self, x, weight, eps, offset);
        }
        shared(norm::rms_norm(&self.stream, x, weight, eps, offset))
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
        if !self.is_native(OpKind::RmsNormBackward) {
            return compose::rms_norm_backward(self, x, weight, grad, eps, offset, affine);
        }
        let (dx, dw) = norm::rms_norm_backward(&self.stream, x, weight, grad, eps, offset, affine)?;
        Ok((dx.share(), dw.map(AscendStorage::share)))
    }

    fn rope(&self, args: RopeArgs<'_>) -> Result<StorageRef> {
        let own = if self.fused { rope::rope(&self.stream, &self.tables, &args)? } else { None };
        own.map_or_else(|| compose::rope(self, args), |y| Ok(y.share()))
    }

    fn attention(&self, args: AttentionArgs<'_>, save: bool) -> Result<(StorageRef, Option<StorageRef>)> {
        let own = if self.fused { attention::forward(&self.stream, &self.masks, &args, save)? } else { None };
        match own {
            Some((out, lse)) => Ok((out.share(), lse.map(AscendStorage::share))),
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
        let own =
            if self.fused { attention::backward(&self.stream, &self.masks, &args, out, lse, grad)? } else { None };
        match own {
            Some([dq, dk, dv]) => Ok((dq.share(), dk.share(), dv.share())),
            None => compose::attention_backward(self, &args, out, lse, grad),
        }
    }

    fn cross_entropy(&self, logits: View<'_>, targets: View<'_>, ignore: i64) -> Result<(StorageRef, StorageRef)> {
        let own = if self.fused { loss::cross_entropy(&self.stream, logits, targets, ignore)? } else { None };
        match own {
            Some((losses, lse)) => Ok((losses.share(), lse.share())),
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
        let own = if self.fused {
            loss::cross_entropy_backward(&self.stream, logits, targets, ignore, lse, grad)?
        } else {
            None
        };
        own.map_or_else(|| compose::cross_entropy_backward(self, logits, targets, ignore, lse, grad), |d| Ok(d.share()))
    }

    fn adamw_step(&self, args: AdamWArgs<'_>) -> Result<AdamWState> {
        if !self.fused || !optimizer::takes(&self.stream, &args) {
            return compose::adamw_step(self, args);
        }
        let step = optimizer::step_number(&self.stream, args.step)?;
        optimizer::adamw_step(&self.stream, args, &step)
    }

    fn adamw_steps(&self, all: Vec<AdamWArgs<'_>>) -> Result<Vec<AdamWState>> {
        // The numbers of the steps, which most parameters share, are brought to the device once.
        let mut numbers: Vec<(u64, AscendStorage)> = Vec::new();
        all.into_iter()
            .map(|args| {
                if !self.fused || !optimizer::takes(&self.stream, &args) {
                    return compose::adamw_step(self, args);
                }
                let at = match numbers.iter().position(|(n, _)| *n == args.step) {
                    Some(i) => i,
                    None => {
                        numbers.push((args.step, optimizer::step_number(&self.stream, args.step)?));
                        numbers.len() - 1
                    }
                };
                optimizer::adamw_step(&self.stream, args, &numbers[at].1)
            })
            .collect()
    }
}
