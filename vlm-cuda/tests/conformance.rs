//! The conformance suite on libtorch's CPU and, where there is one, the first GPU.

#![allow(clippy::print_stdout, clippy::print_stderr)] // What the program has to say.

use std::process::ExitCode;
use std::sync::Arc;
use vlm_core::Device;

fn main() -> ExitCode {
    if let Err(e) = vlm_cuda::register() {
        eprintln!("{e}");
        return ExitCode::FAILURE;
    }
    let open = |name: &str| match Device::open(name) {
        Ok(device) => Some(device),
        Err(e) => {
            println!("SKIPPED: device {name}: {e}");
            None
        }
    };
    let mut devices: Vec<Device> = ["torch-cpu", "cuda:0"].into_iter().filter_map(open).collect();
    // What GPUs compute where no fused kernel takes the operands.
    match vlm_cuda::TorchDevice::cpu() {
        Ok(plain) => devices.push(Device::from_kernels("torch-cpu-plain", Arc::new(plain.with_plain_attention()))),
        Err(e) => println!("SKIPPED: device torch-cpu-plain: {e}"),
    }
    vlm_core::conformance::run(&devices, "")
}
