//! The conformance suite on libtorch's CPU and, where there is one, the first GPU.

use std::process::ExitCode;
use std::sync::Arc;
use vlm_core::Device;

fn main() -> ExitCode {
    let device = Device::from_kernels("torch-cpu", Arc::new(vlm_cuda::TorchDevice::cpu().unwrap()));
    // What GPUs compute where no fused kernel takes the operands.
    let plain = vlm_cuda::TorchDevice::cpu().unwrap().with_plain_attention();
    let plain = Device::from_kernels("torch-cpu-plain", Arc::new(plain));
    vlm_core::conformance::run(&[device, plain], "")
}
