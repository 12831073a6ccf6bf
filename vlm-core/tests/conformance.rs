//! The conformance suite on the reference device, on a backend outside of core, and through the recorder of graphs.
#![allow(clippy::print_stderr)] // It is a test runner.

use std::process::ExitCode;
use std::sync::Arc;
use vlm_core::Device;
use vlm_core::backend::layers::Recorder;

fn main() -> ExitCode {
    if let Err(e) = backend_demo::register() {
        eprintln!("{e}");
        return ExitCode::FAILURE;
    }
    let demo = match Device::open("demo") {
        Ok(device) => device,
        Err(e) => {
            eprintln!("{e}");
            return ExitCode::FAILURE;
        }
    };
    let recorder = Recorder::new(Device::reference().kernels_arc().clone());
    let recorded = Device::from_kernels("recorded", Arc::new(recorder));
    vlm_core::conformance::run(&[Device::reference(), demo, recorded], "")
}
