#![doc = include_str!("../README.md")]

mod attention;
mod backends;
mod device;
mod elementwise;
mod error;
mod graphs;
mod index;
pub mod library;
mod loss;
mod matmul;
mod memory;
mod norm;
mod optimizer;
mod random;
mod reduce;
mod rope;
mod rows;
mod shim;
mod storage;

pub use backends::{CudaBackend, TorchCpuBackend, register};
pub use device::{TorchDevice, set_num_threads};
pub use shim::{AttentionKernels, set_attention_kernels, set_tf32};
pub use storage::TorchStorage;
