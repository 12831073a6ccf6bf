//! Default bodies of the fused operations, made of primitives alone.
//!
//! Invariant: nothing here calls a method of [`Kernels`](super::Kernels), so that a backend without kernels of its own
//! cannot recurse. Half floats are computed in `f32` and rounded once at the end.

mod activation;
mod attention;
mod eager;
mod index;
mod linear;
mod loss;
mod norm;
mod optimizer;
mod rope;
mod softmax;

pub(super) use activation::{dropout, glu, glu_backward, unary_backward};
pub(super) use attention::{attention, attention_backward};
pub(super) use index::{concat, embedding, random, topk};
pub(super) use linear::{linear, quantized_linear};
pub(super) use loss::{cross_entropy, cross_entropy_backward, linear_cross_entropy, linear_cross_entropy_backward};
pub(super) use norm::{layer_norm, layer_norm_backward, rms_norm, rms_norm_backward};
pub(super) use optimizer::adamw_step;
pub(super) use rope::rope;
pub(super) use softmax::{log_softmax, log_softmax_backward, softmax, softmax_backward};
