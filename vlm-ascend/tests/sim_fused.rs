//! Fused operations against core's compositions, both on the simulator: the same numbers, and the operations that were meant.

mod common;

use common::fused::{ALL, compare, normal};
use std::slice;
use std::sync::Arc;
use vlm_core::tensor::AttentionOptions;
use vlm_core::{Device, Tensor};

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
    compare(slice::from_ref(&x), ALL, &["aclnnTanhBackward"], &|t| t[0].tanh());
    compare(slice::from_ref(&x), ALL, &["aclnnSigmoidBackward"], &|t| t[0].sigmoid());
    compare(slice::from_ref(&x), ALL, &["aclnnGeluBackwardV2"], &|t| t[0].gelu_tanh());
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

/// Operands that are no plain rows: gradients of activations and gates take views as they are.
#[test]
fn sim_gradients_of_views_are_their_compositions() {
    let x = normal(&[6, 48], 1);
    compare(slice::from_ref(&x), ALL, &["aclnnTanhBackward"], &|t| t[0].transpose(0, 1)?.narrow(0, 3, 20)?.tanh());
    compare(slice::from_ref(&x), ALL, &["aclnnSigmoidBackward"], &|t| t[0].narrow(1, 5, 31)?.sigmoid());
}

/// Gate and up of their own are not the one operation: `f32` is two of them, half floats are composed.
#[test]
fn sim_a_gate_of_two_tensors_is_its_composition() {
    let operands = [normal(&[6, 24], 1), normal(&[6, 24], 2)];
    compare(&operands, &[vlm_core::DType::F32], &["aclnnSiluBackward"], &|t| t[0].swiglu(&t[1]));
    compare(&operands, &ALL[1..], &[], &|t| t[0].swiglu(&t[1]));
}
