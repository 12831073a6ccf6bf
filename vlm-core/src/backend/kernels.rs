//! The third tier: fused operations, all with default bodies.

use super::compose;
use super::graphs::Graphs;
use super::{
    AdamWArgs, AdamWState, AttentionArgs, Distribution, Primitives, QuantizedLinearArgs, RandomKey, RopeArgs,
    StorageRef, UnaryOp, View,
};
use crate::{DType, Result};

/// Fused operations. Every default body calls only [`Primitives`] and [`Memory`](super::Memory), so that
/// `impl Kernels for MyDevice {}` is a complete backend; a backend overrides what it can do faster.
///
/// Conventions of [`Primitives`] hold. Inner sums, exponentials and statistics of half floats are kept in `f32`.
/// A `_backward` method returns the gradients of the forward method's operands.
pub trait Kernels: Primitives {
    /// The views one after the other along `dim`; equal element types and other dimensions; at least one view.
    fn concat(&self, views: Vec<View<'_>>, dim: usize) -> Result<StorageRef> {
        compose::concat(self, &views, dim)
    }

    /// Random numbers: element `i` depends on `key` and `i` alone, see [`crate::random`].
    fn random(&self, dtype: DType, len: usize, from: Distribution, key: RandomKey) -> Result<StorageRef> {
        compose::random(self, dtype, len, from, key)
    }

    /// `x / (1 - p)` where the draw `Bernoulli(1 - p)` of `key` is 1, else 0. Its own gradient.
    fn dropout(&self, x: View<'_>, p: f64, key: RandomKey) -> Result<StorageRef> {
        compose::dropout(self, x, p, key)
    }

    /// The gradient of [`Primitives::unary`] from its operand, its result and the gradient of the result. It reads
    /// operand and result only as [`UnaryOp::gradient_uses`] says; what it does not read may be any view of that shape.
    fn unary_backward(&self, op: UnaryOp, x: View<'_>, y: View<'_>, grad: View<'_>) -> Result<StorageRef> {
        compose::unary_backward(self, op, x, y, grad)
    }

    /// `op(gate) * up`: SwiGLU for [`UnaryOp::Silu`], GeGLU for the gelus.
    fn glu(&self, op: UnaryOp, gate: View<'_>, up: View<'_>) -> Result<StorageRef> {
        compose::glu(self, op, gate, up)
    }

    /// The gradients of [`Kernels::glu`] for `gate` and `up`.
    fn glu_backward(
        &self,
        op: UnaryOp,
        gate: View<'_>,
        up: View<'_>,
        grad: View<'_>,
    ) -> Result<(StorageRef, StorageRef)> {
        compose::glu_backward(self, op, gate, up, grad)
    }

    /// `x w^T + bias` for `x [m, k]`, `w [n, k]`, `bias [n]`.
    fn linear(&self, x: View<'_>, w: View<'_>, bias: Option<View<'_>>) -> Result<StorageRef> {
        compose::linear(self, x, w, bias)
    }

    /// `x w^T + bias` with weights of 8 or 4 bits, see [`QuantizedLinearArgs`].
    fn quantized_linear(&self, args: QuantizedLinearArgs<'_>) -> Result<StorageRef> {
        compose::quantized_linear(self, args)
    }

    /// Rows `ids` of `weight [v, d]`: `[ids…, d]`. `ids` is any integer type and shape, in range.
    fn embedding(&self, weight: View<'_>, ids: View<'_>) -> Result<StorageRef> {
        compose::embedding(self, weight, ids)
    }

    /// `e^x / Σ e^x` along `dim`.
    fn softmax(&self, x: View<'_>, dim: usize) -> Result<StorageRef> {
        compose::softmax(self, x, dim)
    }

    /// The gradient of [`Kernels::softmax`] from its result.
    fn softmax_backward(&self, y: View<'_>, grad: View<'_>, dim: usize) -> Result<StorageRef> {
        compose::softmax_backward(self, y, grad, dim)
    }

    /// `x - ln Σ e^x` along `dim`.
    fn log_softmax(&self, x: View<'_>, dim: usize) -> Result<StorageRef> {
        compose::log_softmax(self, x, dim)
    }

    /// The gradient of [`Kernels::log_softmax`] from its result.
    fn log_softmax_backward(&self, y: View<'_>, grad: View<'_>, dim: usize) -> Result<StorageRef> {
        compose::log_softmax_backward(self, y, grad, dim)
    }

    /// `(x - mean) / sqrt(var + eps) * weight + bias` over the last dimension `d`; `weight`, `bias`: `[d]`, the type
    /// of `x`. The variance is the biased one (Ba et al. 2016).
    fn layer_norm(
        &self,
        x: View<'_>,
        weight: Option<View<'_>>,
        bias: Option<View<'_>>,
        eps: f64,
    ) -> Result<StorageRef> {
        compose::layer_norm(self, x, weight, bias, eps)
    }

    /// The gradients of [`Kernels::layer_norm`] for `x`, `weight` and `bias`; the latter two only if `affine` is set
    /// (`None` otherwise). Statistics are computed again from `x`, which costs less than keeping them.
    fn layer_norm_backward(
        &self,
        x: View<'_>,
        weight: Option<View<'_>>,
        grad: View<'_>,
        eps: f64,
        affine: bool,
    ) -> Result<(StorageRef, Option<StorageRef>, Option<StorageRef>)> {
        compose::layer_norm_backward(self, x, weight, grad, eps, affine)
    }

    /// `x / sqrt(mean(x²) + eps) * (weight + offset)` over the last dimension (Zhang and Sennrich 2019); `offset` is 1
    /// for Gemma, else 0; no weight counts as 1.
    fn rms_norm(&self, x: View<'_>, weight: Option<View<'_>>, eps: f64, offset: f64) -> Result<StorageRef> {
        compose::rms_norm(self, x, weight, eps, offset)
    }

    /// The gradients of [`Kernels::rms_norm`] for `x` and, if `affine` is set, `weight`.
    fn rms_norm_backward(
        &self,
        x: View<'_>,
        weight: Option<View<'_>>,
        grad: View<'_>,
        eps: f64,
        offset: f64,
        affine: bool,
    ) -> Result<(StorageRef, Option<StorageRef>)> {
        compose::rms_norm_backward(self, x, weight, grad, eps, offset, affine)
    }

    /// Rotary position embedding (Su et al. 2021), see [`RopeArgs`]: `[b, h, s, d]`. Its gradient is itself with
    /// `inverse` set.
    fn rope(&self, args: RopeArgs<'_>) -> Result<StorageRef> {
        compose::rope(self, args)
    }

    /// Scaled dot-product attention, see [`AttentionArgs`]. Returns the output, contiguous as `[b, s_q, h, d_v]` (so
    /// that joining the heads costs nothing), and, if `save` is set, the logarithm of each row's sum of exponentials,
    /// `[b, h, s_q]` in the accumulator type. A query that sees no key gives zeros (and minus infinity).
    fn attention(&self, args: AttentionArgs<'_>, save: bool) -> Result<(StorageRef, Option<StorageRef>)> {
        compose::attention(self, &args, save)
    }

    /// The gradients of [`Kernels::attention`] for `q`, `k` and `v`, contiguous in their shapes. `out` and `grad` are
    /// views of shape `[b, h, s_q, d_v]`, `lse` is what `save` returned. The mask gets none.
    fn attention_backward(
        &self,
        args: AttentionArgs<'_>,
        out: View<'_>,
        lse: View<'_>,
        grad: View<'_>,
    ) -> Result<(StorageRef, StorageRef, StorageRef)> {
        compose::attention_backward(self, &args, out, lse, grad)
    }

    /// Cross-entropy of each row of `logits [n, v]` with the class `targets [n]` (`i64`): the losses `[n]`, 0 where the
    /// target is `ignore`, and the logarithm of the row's sum of exponentials `[n]`, both in the accumulator type.
    fn cross_entropy(&self, logits: View<'_>, targets: View<'_>, ignore: i64) -> Result<(StorageRef, StorageRef)> {
        compose::cross_entropy(self, logits, targets, ignore)
    }

    /// The gradient of [`Kernels::cross_entropy`] for `logits`, from the sums it returned and the gradient of the
    /// losses `[n]`.
    fn cross_entropy_backward(
        &self,
        logits: View<'_>,
        targets: View<'_>,
        ignore: i64,
        lse: View<'_>,
        grad: View<'_>,
    ) -> Result<StorageRef> {
        compose::cross_entropy_backward(self, logits, targets, ignore, lse, grad)
    }

    /// [`Kernels::cross_entropy`] of `x w^T` for `x [n, k]`, `w [v, k]`, without ever holding all logits.
    fn linear_cross_entropy(
        &self,
        x: View<'_>,
        w: View<'_>,
        targets: View<'_>,
        ignore: i64,
    ) -> Result<(StorageRef, StorageRef)> {
        compose::linear_cross_entropy(self, x, w, targets, ignore)
    }

    /// The gradients of [`Kernels::linear_cross_entropy`] for `x` and, if `weight` is set, `w`.
    #[allow(clippy::too_many_arguments)] // What the forward took, what it kept, and what is wanted.
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
        compose::linear_cross_entropy_backward(self, x, w, targets, ignore, lse, grad, weight)
    }

    /// The `k` largest (or smallest) elements along `dim`, in order, and their positions (`i64`).
    fn topk(&self, x: View<'_>, k: usize, dim: usize, largest: bool) -> Result<(StorageRef, StorageRef)> {
        compose::topk(self, x, k, dim, largest)
    }

    /// One step of AdamW (Loshchilov and Hutter 2019, PyTorch's order of operations), see [`AdamWArgs`].
    fn adamw_step(&self, args: AdamWArgs<'_>) -> Result<AdamWState> {
        compose::adamw_step(self, args)
    }

    /// [`Kernels::adamw_step`] of many parameters, in as few launches as the device can. Each has its own numbers.
    fn adamw_steps(&self, all: Vec<AdamWArgs<'_>>) -> Result<Vec<AdamWState>> {
        all.into_iter().map(|args| self.adamw_step(args)).collect()
    }

    /// Recording of work, if the device has it. Layers hide it: a replay would go past them.
    fn graphs(&self) -> Option<&dyn Graphs> {
        None
    }
}
