//! Default bodies of the fused operations, made of primitives alone: for backends that override a method for some
//! element types or shapes and leave the others to these. Arguments are those of the methods in [`Kernels`](super::Kernels).
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

pub use activation::{dropout, glu, glu_backward, unary_backward};
pub use attention::{attention, attention_backward};
pub use index::{concat, embedding, random, topk};
pub use linear::{linear, quantized_linear};
pub use loss::{cross_entropy, cross_entropy_backward, linear_cross_entropy, linear_cross_entropy_backward};
pub use norm::{layer_norm, layer_norm_backward, rms_norm, rms_norm_backward};
pub use optimizer::adamw_step;
pub use rope::rope;
pub use softmax::{log_softmax, log_softmax_backward, softmax, softmax_backward};
