#![doc = include_str!("../README.md")]

mod attention;
mod device;
mod elementwise;
mod error;
mod index;
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

pub use device::TorchDevice;
pub use shim::{AttentionKernels, set_attention_kernels, set_tf32};
pub use storage::TorchStorage;

/// Temporary.
pub fn register() -> vlm_core::Result<()> {
    struct B;
    impl vlm_core::backend::Backend for B {
        fn name(&self) -> &str {
            "torch-cpu"
        }
        fn api_version(&self) -> u32 {
            vlm_core::backend::BACKEND_API
        }
        fn devices(&self) -> Vec<vlm_core::backend::DeviceInfo> {
            vec![vlm_core::backend::DeviceInfo::new(0, "libtorch", 20)]
        }
        fn open(&self, _: usize) -> vlm_core::Result<std::sync::Arc<dyn vlm_core::backend::Kernels>> {
            Ok(std::sync::Arc::new(TorchDevice::cpu()?))
        }
    }
    vlm_core::backend::Registry::global().register(std::sync::Arc::new(B))
}
