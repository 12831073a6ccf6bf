//! Fused operations against core's compositions, for the tests of this folder.

use std::sync::{Arc, Mutex, PoisonError};
use vlm_ascend::AscendDevice;
use vlm_core::backend::RandomKey;
use vlm_core::{DType, Device, Result, Tensor};

/// What the simulator counts is of the whole process: one test at a time.
pub(crate) static ONE: Mutex<()> = Mutex::new(());

pub(crate) type Body = dyn Fn(&[Tensor]) -> Result<Tensor>;

/// Normal numbers, the same in every run.
pub(crate) fn normal(shape: &[usize], stream: u64) -> Tensor {
    Tensor::randn(shape, RandomKey { seed: 11, stream }, DType::F32, &Device::reference()).unwrap()
}

/// Result and gradients of `body` on a device.
pub(crate) fn outcome(device: &Device, operands: &[Tensor], dtype: DType, body: &Body) -> Vec<Vec<f32>> {
    let there: Vec<Tensor> = operands
        .iter()
        .map(|t| {
            let t = if t.dtype().is_float() { t.to_dtype(dtype).unwrap() } else { t.clone() };
            let t = t.to_device(device).unwrap();
            if t.dtype().is_float() { t.requires_grad().unwrap() } else { t }
        })
        .collect();
    let out = body(&there).unwrap();
    let seed = normal(out.shape(), 99).to_dtype(out.dtype()).unwrap().to_device(device).unwrap();
    let grads = out.backward_with(&seed).unwrap();
    let wide = |t: &Tensor| t.to_dtype(DType::F32).unwrap().to_vec::<f32>().unwrap();
    let floats = there.iter().filter(|t| t.dtype().is_float());
    std::iter::once(wide(&out.detach())).chain(floats.map(|t| wide(grads.require(t).unwrap()))).collect()
}

/// Compares the two, and that the fused one put `wanted` on the stream and the composed one did not.
pub(crate) fn compare(operands: &[Tensor], dtypes: &[DType], wanted: &[&str], body: &Body) {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    super::simulator("schedule=random,seed=5");
    let open = |device: AscendDevice| Device::from_kernels("ascend:0", Arc::new(device));
    let fused = open(AscendDevice::open(0).unwrap());
    let composed = open(AscendDevice::open(0).unwrap().without_fused());
    for &dtype in dtypes {
        let launched = |device: &Device| {
            super::control("clear-counts");
            let values = outcome(device, operands, dtype, body);
            let tasks = super::report()["tasks"].clone();
            (values, wanted.iter().map(|w| tasks[*w].as_u64().unwrap_or(0)).collect::<Vec<_>>())
        };
        let ((a, launches), (b, none)) = (launched(&fused), launched(&composed));
        assert!(launches.iter().all(|&n| n > 0), "{dtype}: {wanted:?} were launched {launches:?} times");
        assert!(none.iter().all(|&n| n == 0), "{dtype}: the composition launched {wanted:?} {none:?} times");
        let tolerance = match dtype {
            DType::F32 => 2e-5,
            DType::F16 => 8e-3,
            _ => 5e-2,
        };
        for (which, (a, b)) in a.iter().zip(&b).enumerate() {
            let scale = b.iter().fold(1e-6f32, |m, v| m.max(v.abs()));
            let off = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0f32, f32::max);
            assert!(off <= tolerance * scale, "{dtype}, result {which}: off by {off:e} of {scale:e}");
        }
    }
}

/// Whether all of `a` is as far from `b` as `tolerance` of the largest of `b` allows.
pub(crate) fn close(a: &[f32], b: &[f32], tolerance: f32) {
    assert_eq!(a.len(), b.len());
    let scale = b.iter().fold(1e-6f32, |m, v| m.max(v.abs()));
    let off = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0f32, f32::max);
    assert!(off <= tolerance * scale, "off by {off:e} of {scale:e}");
}

/// Every float type.
pub(crate) const ALL: &[DType] = &[DType::F32, DType::F16, DType::BF16];
