#![doc = include_str!("../README.md")]

pub mod alloc;
mod attention;
pub mod cpu_features;
mod device;
mod elementwise;
pub mod gemm;
mod gemv;
mod index;
mod loss;
mod matmul;
mod norm;
mod optimizer;
mod random;
mod reduce;
mod rope;
mod rows;
mod simd;
mod storage;
mod strided;
pub mod threads;

pub use device::CpuDevice;
pub use threads::{num_threads, set_num_threads};

use std::sync::Arc;
use vlm_core::backend::{BACKEND_API, Backend, DeviceInfo, Finding, Kernels, Registry};
use vlm_core::{Error, ErrorKind, Result};

/// The registry entry of `cpu`.
#[derive(Debug)]
pub struct CpuBackend;

impl Backend for CpuBackend {
    fn name(&self) -> &str {
        "cpu"
    }

    fn api_version(&self) -> u32 {
        BACKEND_API
    }

    fn devices(&self) -> Vec<DeviceInfo> {
        vec![DeviceInfo::new(0, format!("{} threads, {:?}", num_threads(), cpu_features::Isa::current()), 50)]
    }

    fn open(&self, ordinal: usize) -> Result<Arc<dyn Kernels>> {
        if ordinal == 0 {
            return Ok(Arc::new(CpuDevice));
        }
        let message = format!("all processors are one device, number 0, not {ordinal}");
        Err(Error::new(ErrorKind::Device, "open device", message).hint("use cpu"))
    }

    fn diagnose(&self) -> Vec<Finding> {
        let finding = |what: &str, found: String| Finding { what: what.to_owned(), found, remedy: None };
        vec![
            finding("instruction set", format!("{:?}", cpu_features::Isa::current())),
            finding("threads", num_threads().to_string()),
        ]
    }
}

/// Makes the device `cpu` known. Calling it again changes nothing.
///
/// # Errors
/// [`ErrorKind::Device`] if `vlm-core` has another backend API than the one this crate was compiled against.
pub fn register() -> Result<()> {
    Registry::global().register(Arc::new(CpuBackend))
}
