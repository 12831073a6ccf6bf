use super::*;
use crate::backend::reference::ReferenceDevice;
use crate::backend::{
    ArgReduceOp, BinaryOp, CompareOp, CumulativeOp, DeviceProperties, Kernels, Memory, MemoryStats, OpKind, Primitives,
    ReduceOp, ScatterOp, StorageRef, Support, UnaryOp, View,
};
use crate::{DType, Device, Dims, Error, ErrorKind, Layout, Result, Scalar, Tensor};
use std::sync::Arc;

fn layered<L: Layer + 'static>(layer: Arc<L>) -> Device {
    Device::reference().with_kernels(|inner| Arc::new(Layered::new(inner, layer)))
}

/// A loss of a small network and the gradient of its weights.
fn work(device: &Device) -> Result<(f32, Vec<f32>)> {
    let x = Tensor::from_slice(&[0.5f32, -1.0, 2.0, 0.25, 1.5, -0.5], [2, 3], device)?;
    let w = Tensor::from_slice(&[0.1f32, 0.2, -0.3, 0.4, 0.5, 0.6], [2, 3], device)?.requires_grad()?;
    let targets = Tensor::from_slice(&[1i64, 0], 2, device)?;
    let loss = x.linear(&w, None)?.gelu()?.softmax(-1)?.cross_entropy(&targets, -100)?.mean_all()?;
    let grads = loss.backward()?;
    Ok((loss.item()?, grads.require(&w)?.to_vec()?))
}

#[test]
fn layers_change_no_number_and_stack() {
    let plain = work(&Device::reference()).unwrap();
    let count = Arc::new(Count::default());
    let device = layered(Arc::new(Check::default().infinities()));
    let device = device.with_kernels(|inner| Arc::new(Layered::new(inner, Trace::default())));
    let device = device.with_kernels(|inner| Arc::new(Layered::new(inner, count.clone())));
    assert_eq!(work(&device).unwrap(), plain);
    assert!(count.calls(OpKind::Linear) == 1 && count.calls(OpKind::CrossEntropyBackward) == 1, "{:?}", count.all());
}

#[test]
fn a_tensor_moves_behind_a_layer_without_a_copy() {
    let x = Tensor::from_slice(&[1.0f32, 2.0], 2, &Device::reference()).unwrap();
    let count = Arc::new(Count::default());
    let seen = x.to_device(&layered(count.clone())).unwrap();
    assert!(count.all().is_empty());
    seen.exp().unwrap();
    assert_eq!(count.calls(OpKind::Unary), 1);
}

#[test]
fn calls_and_bytes_are_counted() {
    let count = Arc::new(Count::default());
    let device = layered(count.clone());
    let x = Tensor::ones([4, 8], DType::F32, &device).unwrap();
    count.reset();
    x.add(&x.narrow(0, 0, 1).unwrap()).unwrap();
    let counted = count.all()[&OpKind::Binary];
    assert_eq!((counted.calls, counted.read, counted.written), (1, 2 * 128, 128));
    assert_eq!(count.all().len(), 1);
}

#[test]
fn a_trace_is_read_by_chrome_and_stays_bounded() {
    let trace = Arc::new(Trace::default().with_capacity(3).synchronizing());
    let device = layered(trace.clone());
    let x = Tensor::ones([2, 3], DType::BF16, &device).unwrap();
    for _ in 0..5 {
        x.exp().unwrap();
    }
    assert_eq!((trace.events().len(), trace.dropped()), (3, 3));
    assert_eq!((trace.events()[1].op, trace.events()[1].operands.as_str()), (OpKind::Unary, "bf16[2, 3]"));
    let chrome: serde_json::Value = serde_json::from_str(&trace.to_chrome_json()).unwrap();
    let event = &chrome["traceEvents"][1];
    assert_eq!((event["name"].as_str(), event["ph"].as_str()), (Some("unary"), Some("X")));
    assert!(event["dur"].as_f64().unwrap() >= 0.0 && event["tid"].as_u64().unwrap() > 0);
}

#[test]
fn the_first_nan_is_named_and_later_ones_are_not() {
    let device = layered(Arc::new(Check::default()));
    let x = Tensor::from_slice(&[1.0f32, -4.0], 2, &device).unwrap();
    let e = x.sqrt().unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NonFinite);
    assert!(e.to_string().contains("unary: result 0 is NaN at element 1") && e.to_string().contains("f32[2]"), "{e}");
    // Where a NaN comes in, it may go out.
    let nan = Tensor::from_slice(&[f32::NAN], 1, &device).unwrap();
    assert!(nan.exp().is_ok());
    assert!(Tensor::from_slice(&[1e30f32], 1, &device).unwrap().square().is_ok());
    let strict = layered(Arc::new(Check::default().infinities()));
    assert!(Tensor::from_slice(&[1e30f32], 1, &strict).unwrap().square().is_err());
}

#[test]
fn a_backend_that_breaks_the_contract_is_caught() {
    let broken = Device::from_kernels("broken", Arc::new(Partial { refuses: |_, _| false, aliases: true }));
    let device = broken.with_kernels(|inner| Arc::new(Layered::new(inner, Check::default())));
    let x = Tensor::from_slice(&[1.0f32, -4.0], 2, &device).unwrap();
    let e = x.abs().unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Backend);
    assert!(e.to_string().contains("returned an operand's storage"), "{e}");
}

#[test]
fn what_a_device_lacks_runs_elsewhere_once_warned() {
    // No half floats at all, and no sorting.
    let refuses = |op: OpKind, d: &[DType]| d.contains(&DType::BF16) || op == OpKind::Sort;
    let device = Device::from_kernels("partial", Arc::new(Partial { refuses, aliases: false }));
    let x = Tensor::from_slice(&[3.0f32, 1.0, 2.0], 3, &device).unwrap();
    assert_eq!(x.sort(0, false).unwrap_err().kind(), ErrorKind::Unsupported);
    let fallback = Arc::new(Fallback::to(Device::reference()));
    let device = device.with_kernels(|inner| Arc::new(Layered::new(inner, fallback.clone())));
    let x = Tensor::from_slice(&[3.0f32, 1.0, 2.0], 3, &device).unwrap();
    let (values, places) = x.sort(0, false).unwrap();
    assert_eq!(
        (values.to_vec::<f32>().unwrap(), places.to_vec::<i64>().unwrap()),
        (vec![1.0, 2.0, 3.0], vec![1, 2, 0])
    );
    assert_eq!(fallback.fallen_back(), [OpKind::Sort]);
    // Views, several operands and storages that are given up go there and come back.
    let half = x.to_dtype(DType::BF16).unwrap();
    let sum = half.unsqueeze(0).unwrap().broadcast_to([2, 3]).unwrap().add(&half).unwrap();
    assert_eq!(sum.to_dtype(DType::F32).unwrap().to_vec::<f32>().unwrap(), [6.0, 2.0, 4.0, 6.0, 2.0, 4.0]);
    let index = Tensor::from_slice(&[1i64], 1, &device).unwrap();
    let added = half.index_add(0, &index, &half.narrow(0, 0, 1).unwrap()).unwrap();
    assert_eq!(added.to_dtype(DType::F32).unwrap().to_vec::<f32>().unwrap(), [3.0, 4.0, 2.0]);
    assert_eq!(device.kernels().supports(OpKind::Sort, &[DType::F32]), Support::Composed);
    // Strict: an error that says where it would have run.
    let device = device.with_kernels(|_| {
        let partial = Arc::new(Partial { refuses, aliases: false });
        Arc::new(Layered::new(partial, Fallback::to(Device::reference()).strict()))
    });
    let x = Tensor::from_slice(&[3.0f32, 1.0], 2, &device).unwrap();
    let e = x.sort(0, false).unwrap_err();
    assert!(e.kind() == ErrorKind::Unsupported && e.to_string().contains("it would run on ref"), "{e}");
}

#[test]
fn failures_on_purpose_are_errors_and_the_same_for_a_seed() {
    let first_failure = |seed| {
        let chaos = Arc::new(Chaos::new(seed).out_of_memory(0.05));
        let device = layered(chaos.clone());
        let e = (0..1000).find_map(|_| work(&device).err()).unwrap();
        assert_eq!(e.kind(), ErrorKind::OutOfMemory, "{e}");
        chaos.calls()
    };
    assert_eq!(first_failure(3), first_failure(3));
    assert_ne!(first_failure(3), first_failure(4));
    let device = layered(Arc::new(Chaos::new(1).lost_after(7)));
    assert_eq!(work(&device).unwrap_err().kind(), ErrorKind::DeviceLost);
    assert_eq!(Tensor::ones(1, DType::F32, &device).unwrap_err().kind(), ErrorKind::DeviceLost);
}

/// The reference device with parts missing or broken.
#[derive(Debug)]
struct Partial {
    refuses: fn(OpKind, &[DType]) -> bool,
    /// `abs` returns its operand.
    aliases: bool,
}

impl Partial {
    fn has(&self, op: OpKind, dtypes: &[DType]) -> Result<ReferenceDevice> {
        if (self.refuses)(op, dtypes) {
            return Err(Error::new(ErrorKind::Unsupported, op.name(), "not here"));
        }
        Ok(ReferenceDevice::new())
    }
}

impl Kernels for Partial {}

impl Memory for Partial {
    fn alloc(&self, dtype: DType, len: usize) -> Result<StorageRef> {
        ReferenceDevice::new().alloc(dtype, len)
    }
    fn upload(&self, dtype: DType, bytes: &[u8]) -> Result<StorageRef> {
        ReferenceDevice::new().upload(dtype, bytes)
    }
    fn download(&self, src: &StorageRef, start: usize, out: &mut [u8]) -> Result<()> {
        ReferenceDevice::new().download(src, start, out)
    }
    fn copy(&self, src: View<'_>) -> Result<StorageRef> {
        ReferenceDevice::new().copy(src)
    }
    fn copy_into(&self, dst: StorageRef, layout: &Layout, src: View<'_>) -> Result<StorageRef> {
        ReferenceDevice::new().copy_into(dst, layout, src)
    }
    fn synchronize(&self) -> Result<()> {
        Ok(())
    }
    fn properties(&self) -> DeviceProperties {
        DeviceProperties::new("partial", &DType::ALL)
    }
    fn memory_stats(&self) -> MemoryStats {
        MemoryStats::default()
    }
}

impl Primitives for Partial {
    fn fill(&self, dtype: DType, len: usize, value: Scalar) -> Result<StorageRef> {
        self.has(OpKind::Fill, &[dtype])?.fill(dtype, len, value)
    }
    fn arange(&self, dtype: DType, start: f64, step: f64, len: usize) -> Result<StorageRef> {
        self.has(OpKind::Arange, &[dtype])?.arange(dtype, start, step, len)
    }
    fn cast(&self, x: View<'_>, dtype: DType) -> Result<StorageRef> {
        ReferenceDevice::new().cast(x, dtype)
    }
    fn unary(&self, op: UnaryOp, x: View<'_>) -> Result<StorageRef> {
        if self.aliases && op == UnaryOp::Abs {
            return Ok(x.storage.clone());
        }
        self.has(OpKind::Unary, &[x.dtype()])?.unary(op, x)
    }
    fn binary(&self, op: BinaryOp, a: View<'_>, b: View<'_>) -> Result<StorageRef> {
        self.has(OpKind::Binary, &[a.dtype()])?.binary(op, a, b)
    }
    fn compare(&self, op: CompareOp, a: View<'_>, b: View<'_>) -> Result<StorageRef> {
        self.has(OpKind::Compare, &[a.dtype()])?.compare(op, a, b)
    }
    fn select(&self, cond: View<'_>, a: View<'_>, b: View<'_>) -> Result<StorageRef> {
        self.has(OpKind::Select, &[a.dtype()])?.select(cond, a, b)
    }
    fn reduce(&self, op: ReduceOp, x: View<'_>, dims: Dims) -> Result<StorageRef> {
        self.has(OpKind::Reduce, &[x.dtype()])?.reduce(op, x, dims)
    }
    fn arg_reduce(&self, op: ArgReduceOp, x: View<'_>, dim: usize) -> Result<StorageRef> {
        self.has(OpKind::ArgReduce, &[x.dtype()])?.arg_reduce(op, x, dim)
    }
    fn cumulative(&self, op: CumulativeOp, x: View<'_>, dim: usize) -> Result<StorageRef> {
        self.has(OpKind::Cumulative, &[x.dtype()])?.cumulative(op, x, dim)
    }
    fn matmul(&self, a: View<'_>, b: View<'_>) -> Result<StorageRef> {
        self.has(OpKind::Matmul, &[a.dtype()])?.matmul(a, b)
    }
    fn index_select(&self, x: View<'_>, dim: usize, indices: View<'_>) -> Result<StorageRef> {
        self.has(OpKind::IndexSelect, &[x.dtype()])?.index_select(x, dim, indices)
    }
    fn index_update(
        &self,
        op: ScatterOp,
        dst: StorageRef,
        shape: Dims,
        dim: usize,
        indices: View<'_>,
        src: View<'_>,
    ) -> Result<StorageRef> {
        self.has(OpKind::IndexUpdate, &[src.dtype()])?.index_update(op, dst, shape, dim, indices, src)
    }
    fn gather(&self, x: View<'_>, dim: usize, indices: View<'_>) -> Result<StorageRef> {
        self.has(OpKind::Gather, &[x.dtype()])?.gather(x, dim, indices)
    }
    fn scatter(
        &self,
        op: ScatterOp,
        dst: StorageRef,
        shape: Dims,
        dim: usize,
        indices: View<'_>,
        src: View<'_>,
    ) -> Result<StorageRef> {
        self.has(OpKind::Scatter, &[src.dtype()])?.scatter(op, dst, shape, dim, indices, src)
    }
    fn sort(&self, x: View<'_>, dim: usize, descending: bool) -> Result<(StorageRef, StorageRef)> {
        self.has(OpKind::Sort, &[x.dtype()])?.sort(x, dim, descending)
    }
    fn supports(&self, op: OpKind, dtypes: &[DType]) -> Support {
        if (self.refuses)(op, dtypes) {
            Support::Unsupported
        } else {
            Support::from_lists(op, dtypes, &[], &DType::ALL)
        }
    }
}
