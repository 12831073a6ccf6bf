//! The registry's entries: `cuda` and `torch-cpu`.

use crate::TorchDevice;
use crate::library::{CudaPart, Driver, check, running, wrong};
use crate::shim;
use std::sync::Arc;
use vlm_core::backend::{BACKEND_API, Backend, DeviceInfo, Finding, Kernels, Registry};
use vlm_core::{Error, ErrorKind, Result};

fn finding(what: &str, found: String, remedy: Option<String>) -> Finding {
    Finding { what: what.to_owned(), found, remedy }
}

/// NVIDIA GPUs, through libtorch.
#[derive(Debug)]
pub struct CudaBackend;

impl Backend for CudaBackend {
    fn name(&self) -> &str {
        "cuda"
    }

    fn api_version(&self) -> u32 {
        BACKEND_API
    }

    fn devices(&self) -> Vec<DeviceInfo> {
        (0..CudaPart::get().devices()).map(|n| DeviceInfo::new(n, Driver::device_name(n), 100)).collect()
    }

    fn open(&self, ordinal: usize) -> Result<Arc<dyn Kernels>> {
        check()?;
        let part = CudaPart::get();
        if ordinal >= part.devices() {
            return Err(part.error(ordinal));
        }
        Ok(Arc::new(TorchDevice::cuda(ordinal)?))
    }

    fn diagnose(&self) -> Vec<Finding> {
        if wrong().is_some() {
            // Said by `torch-cpu`.
            return Vec::new();
        }
        let part = CudaPart::get();
        let driver = Driver::get();
        let wrong = !matches!(driver, Driver::Knows(v) if *v >= 13_000);
        let mut all = vec![
            finding("CUDA part of libtorch", part.found(), part.remedy()),
            finding("driver", driver.found(), wrong.then(|| driver.remedy())),
        ];
        if part.devices() > 0 {
            let found = crate::graphs::available().map_or_else(|why| format!("none: {why}"), |()| "there".to_owned());
            let remedy =
                found.starts_with("none").then(|| "run `cargo xtask setup libtorch --cuda` and build again".to_owned());
            all.push(finding("graphs", found, remedy));
        }
        for n in 0..part.devices() {
            let said = shim::memory_info(n)
                .map_or_else(|e| e.to_string(), |(free, whole)| format!("{} of {} MiB free", free >> 20, whole >> 20));
            all.push(finding(&format!("memory of cuda:{n}"), said, None));
        }
        all
    }
}

/// libtorch's CPU.
#[derive(Debug)]
pub struct TorchCpuBackend;

impl Backend for TorchCpuBackend {
    fn name(&self) -> &str {
        "torch-cpu"
    }

    fn api_version(&self) -> u32 {
        BACKEND_API
    }

    fn devices(&self) -> Vec<DeviceInfo> {
        if check().is_err() {
            return Vec::new();
        }
        vec![DeviceInfo::new(0, format!("libtorch's CPU, {} threads", tch::get_num_threads()), 20)]
    }

    fn open(&self, ordinal: usize) -> Result<Arc<dyn Kernels>> {
        check()?;
        if ordinal == 0 {
            return Ok(Arc::new(TorchDevice::cpu()?));
        }
        let message = format!("all processors are one device, number 0, not {ordinal}");
        Err(Error::new(ErrorKind::Device, "open device", message).hint("use torch-cpu"))
    }

    fn diagnose(&self) -> Vec<Finding> {
        if let Some((found, remedy)) = wrong() {
            return vec![finding("libtorch", found, Some(remedy))];
        }
        let (path, version) = running();
        let path = path.map_or_else(|| "an unknown place".to_owned(), |p| p.display().to_string());
        vec![finding("libtorch", format!("{version} from {path}"), None)]
    }
}

/// Makes the devices `cuda:N` and `torch-cpu` known. Nothing is loaded yet, and what is missing is said when they are opened: other
/// devices of the program work in any case. Calling it again changes nothing.
///
/// # Errors
/// [`ErrorKind::Device`] if `vlm-core` has another backend API than the one this crate was compiled against.
pub fn register() -> Result<()> {
    Registry::global().register(Arc::new(CudaBackend))?;
    Registry::global().register(Arc::new(TorchCpuBackend))
}
