//! Fused operations against core's compositions, both on the simulator: the same numbers, and the operations that were meant.

mod common;

use std::slice;
use std::sync::{Arc, Mutex, PoisonError};
use vlm_ascend::AscendDevice;
use vlm_core::backend::RandomKey;
use vlm_core::tensor::AttentionOptions;
use vlm_core::{DType, Device, Result, Tensor};

/// What the simulator counts is of the whole process: one test at a time.
static ONE: Mutex<()> = Mutex::new(());

type Body = dyn Fn(&[Tensor]) -> Result<Tensor>;

fn normal(shape: &[usize], stream: u64) -> Tensor {
    Tensor::randn(shape, RandomKey { seed: 11, stream }, DType::F32, &Device::reference()).unwrap()
}

/// Result and gradients of `body` on a device.
fn outcome(device: &Device, operands: &[Tensor], dtype: DType, body: &Body) -> Vec<Vec<f32>> {
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
fn compare(operands: &[Tensor], dtypes: &[DType], wanted: &[&str], body: &Body) {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    common::simulator("schedule=random,seed=5");
    let open = |device: AscendDevice| Device::from_kernels("ascend:0", Arc::new(device));
    let fused = open(AscendDevice::open(0).unwrap());
    let composed = open(AscendDevice::open(0).unwrap().without_fused());
    for &dtype in dtypes {
        let launched = |device: &Device| {
            common::control("clear-counts");
            let values = outcome(device, operands, dtype, body);
            let tasks = common::report()["tasks"].clone();
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

const ALL: &[DType] = &[DType::F32, DType::F16, DType::BF16];

fn attention(options: AttentionOptions, s_q: usize, s_kv: usize) {
    let operands = [normal(&[2, 4, s_q, 64], 1), normal(&[2, 2, s_kv, 64], 2), normal(&[2, 2, s_kv, 64], 3)];
    let wanted = ["aclnnFlashAttentionScore", "aclnnFlashAttentionScoreGrad"];
    compare(&operands, ALL, &wanted, &move |t| t[0].scaled_dot_product_attention(&t[1], &t[2], &options));
}

#[test]
fn sim_attention_is_its_composition() {
    let causal = || AttentionOptions { causal: true, ..AttentionOptions::default() };
    attention(AttentionOptions::default(), 5, 9);
    attention(causal(), 7, 7);
    attention(causal(), 3, 8);
    attention(AttentionOptions { window: Some(3), ..causal() }, 8, 8);
    attention(AttentionOptions { segments: Some(Arc::from([0, 2, 6])), ..AttentionOptions::default() }, 6, 6);
}

#[test]
fn sim_norms_are_their_compositions() {
    let x = normal(&[3, 5, 40], 1);
    let (w, b) = (normal(&[40], 2), normal(&[40], 3));
    compare(&[x.clone(), w.clone(), b], ALL, &["aclnnLayerNorm", "aclnnLayerNormBackward"], &|t| {
        t[0].layer_norm(Some(&t[1]), Some(&t[2]), 1e-5)
    });
    compare(&[x.clone(), w.clone()], ALL, &["aclnnRmsNorm", "aclnnRmsNormGrad"], &|t| {
        t[0].rms_norm(Some(&t[1]), 1e-6, 0.0)
    });
    compare(&[x, w], ALL, &["aclnnGemmaRmsNorm", "aclnnRmsNormGrad"], &|t| t[0].rms_norm(Some(&t[1]), 1e-6, 1.0));
}

#[test]
fn sim_gates_and_activations_are_their_compositions() {
    let x = normal(&[6, 48], 1);
    compare(slice::from_ref(&x), ALL, &["aclnnSwiGlu", "aclnnSwiGluGrad"], &|t| {
        t[0].narrow(1, 0, 24)?.swiglu(&t[0].narrow(1, 24, 24)?)
    });
    compare(slice::from_ref(&x), ALL, &["aclnnGeluBackwardV2"], &|t| t[0].gelu());
    compare(slice::from_ref(&x), ALL, &["aclnnSiluBackward"], &|t| t[0].silu());
    compare(slice::from_ref(&x), ALL, &["aclnnSoftmax", "aclnnSoftmaxBackward"], &|t| t[0].softmax(-1));
    compare(slice::from_ref(&x), ALL, &["aclnnLogSoftmax", "aclnnLogSoftmaxBackward"], &|t| t[0].log_softmax(0));
}

#[test]
fn sim_losses_and_layers_are_their_compositions() {
    let classes = Tensor::from_slice(&[3i64, -100, 0, 8], 4, &Device::reference()).unwrap();
    compare(&[normal(&[4, 9], 1), classes], ALL, &["aclnnCrossEntropyLoss", "aclnnCrossEntropyLossGrad"], &|t| {
        t[0].cross_entropy(&t[1], -100)
    });
    compare(&[normal(&[5, 16], 1), normal(&[8, 16], 2), normal(&[8], 3)], ALL, &["aclnnAddmm"], &|t| {
        t[0].linear(&t[1], Some(&t[2]))
    });
    let ids = Tensor::from_slice(&[1i64, 6, 1], 3, &Device::reference()).unwrap();
    compare(&[normal(&[7, 12], 1), ids], ALL, &["aclnnEmbedding"], &|t| t[0].embedding(&t[1]));
}
