//! Default bodies of the fused operations, in primitives only.
#![allow(unused_variables)]

use super::*;
use crate::Result;

pub(super) fn concat<K: Primitives + ?Sized>(k: &K, views: &[View<'_>], dim: usize) -> Result<StorageRef> {
    todo!()
}

pub(super) fn random<K: Primitives + ?Sized>(
    k: &K,
    dtype: DType,
    len: usize,
    from: Distribution,
    key: RandomKey,
) -> Result<StorageRef> {
    todo!()
}

pub(super) fn dropout<K: Primitives + ?Sized>(k: &K, x: View<'_>, p: f64, key: RandomKey) -> Result<StorageRef> {
    todo!()
}

pub(super) fn unary_backward<K: Primitives + ?Sized>(
    k: &K,
    op: UnaryOp,
    x: View<'_>,
    y: View<'_>,
    grad: View<'_>,
) -> Result<StorageRef> {
    todo!()
}

pub(super) fn glu<K: Primitives + ?Sized>(k: &K, op: UnaryOp, gate: View<'_>, up: View<'_>) -> Result<StorageRef> {
    todo!()
}

pub(super) fn glu_backward<K: Primitives + ?Sized>(
    k: &K,
    op: UnaryOp,
    gate: View<'_>,
    up: View<'_>,
    grad: View<'_>,
) -> Result<(StorageRef, StorageRef)> {
    todo!()
}

pub(super) fn linear<K: Primitives + ?Sized>(
    k: &K,
    x: View<'_>,
    w: View<'_>,
    bias: Option<View<'_>>,
) -> Result<StorageRef> {
    todo!()
}

pub(super) fn quantized_linear<K: Primitives + ?Sized>(k: &K, args: QuantizedLinearArgs<'_>) -> Result<StorageRef> {
    todo!()
}

pub(super) fn embedding<K: Primitives + ?Sized>(k: &K, weight: View<'_>, ids: View<'_>) -> Result<StorageRef> {
    todo!()
}

pub(super) fn softmax<K: Primitives + ?Sized>(k: &K, x: View<'_>, dim: usize) -> Result<StorageRef> {
    todo!()
}

pub(super) fn softmax_backward<K: Primitives + ?Sized>(
    k: &K,
    y: View<'_>,
    grad: View<'_>,
    dim: usize,
) -> Result<StorageRef> {
    todo!()
}

pub(super) fn log_softmax<K: Primitives + ?Sized>(k: &K, x: View<'_>, dim: usize) -> Result<StorageRef> {
    todo!()
}

pub(super) fn log_softmax_backward<K: Primitives + ?Sized>(
    k: &K,
    y: View<'_>,
    grad: View<'_>,
    dim: usize,
) -> Result<StorageRef> {
    todo!()
}

pub(super) fn layer_norm<K: Primitives + ?Sized>(
    k: &K,
    x: View<'_>,
    weight: Option<View<'_>>,
    bias: Option<View<'_>>,
    eps: f64,
) -> Result<StorageRef> {
    todo!()
}

pub(super) fn layer_norm_backward<K: Primitives + ?Sized>(
    k: &K,
    x: View<'_>,
    weight: Option<View<'_>>,
    grad: View<'_>,
    eps: f64,
    affine: bool,
) -> Result<(StorageRef, Option<StorageRef>, Option<StorageRef>)> {
    todo!()
}

pub(super) fn rms_norm<K: Primitives + ?Sized>(
    k: &K,
    x: View<'_>,
    weight: Option<View<'_>>,
    eps: f64,
    offset: f64,
) -> Result<StorageRef> {
    todo!()
}

pub(super) fn rms_norm_backward<K: Primitives + ?Sized>(
    k: &K,
    x: View<'_>,
    weight: Option<View<'_>>,
    grad: View<'_>,
    eps: f64,
    offset: f64,
    affine: bool,
) -> Result<(StorageRef, Option<StorageRef>)> {
    todo!()
}

pub(super) fn rope<K: Primitives + ?Sized>(k: &K, args: RopeArgs<'_>) -> Result<StorageRef> {
    todo!()
}

pub(super) fn attention<K: Primitives + ?Sized>(
    k: &K,
    args: &AttentionArgs<'_>,
    save: bool,
) -> Result<(StorageRef, Option<StorageRef>)> {
    todo!()
}

pub(super) fn attention_backward<K: Primitives + ?Sized>(
    k: &K,
    args: &AttentionArgs<'_>,
    out: View<'_>,
    lse: View<'_>,
    grad: View<'_>,
) -> Result<(StorageRef, StorageRef, StorageRef)> {
    todo!()
}

pub(super) fn cross_entropy<K: Primitives + ?Sized>(
    k: &K,
    logits: View<'_>,
    targets: View<'_>,
    ignore: i64,
) -> Result<(StorageRef, StorageRef)> {
    todo!()
}

pub(super) fn cross_entropy_backward<K: Primitives + ?Sized>(
    k: &K,
    logits: View<'_>,
    targets: View<'_>,
    ignore: i64,
    lse: View<'_>,
    grad: View<'_>,
) -> Result<StorageRef> {
    todo!()
}

pub(super) fn linear_cross_entropy<K: Primitives + ?Sized>(
    k: &K,
    x: View<'_>,
    w: View<'_>,
    targets: View<'_>,
    ignore: i64,
) -> Result<(StorageRef, StorageRef)> {
    todo!()
}

pub(super) fn linear_cross_entropy_backward<K: Primitives + ?Sized>(
    k: &K,
    x: View<'_>,
    w: View<'_>,
    targets: View<'_>,
    ignore: i64,
    lse: View<'_>,
    grad: View<'_>,
    weight: bool,
) -> Result<(StorageRef, Option<StorageRef>)> {
    todo!()
}

pub(super) fn topk<K: Primitives + ?Sized>(
    kernels: &K,
    x: View<'_>,
    k: usize,
    dim: usize,
    largest: bool,
) -> Result<(StorageRef, StorageRef)> {
    todo!()
}

pub(super) fn adamw_step<K: Primitives + ?Sized>(k: &K, args: AdamWArgs<'_>) -> Result<AdamWState> {
    todo!()
}
