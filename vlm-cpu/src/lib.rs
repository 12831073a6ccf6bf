//! The fast CPU backend of `vlm-core`.
//!
//! - [`cpu_features`]: what the processor can do; kernels are chosen by [`Isa`](cpu_features::Isa) level at run time.
//! - [`threads`]: the worker threads, and the rule that makes results independent of their number.
//! - [`alloc`]: the memory pool of storages and scratch space.
//! - [`gemm`]: matrix products of every type and stride, matrix × vector and quantised linear layers included.

pub mod alloc;
pub mod cpu_features;
pub mod gemm;
mod gemv;
pub mod threads;
