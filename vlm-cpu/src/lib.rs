//! vlm-cpu
#![allow(missing_docs)]

pub mod alloc;
pub mod cpu_features;
pub mod gemm;
mod gemv;
pub mod threads;
