//! The registry's entry: `ascend`.

use crate::AscendDevice;
use crate::library::Library;
use crate::runtime::{device_count, soc_name};
use std::sync::Arc;
use vlm_core::backend::{BACKEND_API, Backend, DeviceInfo, Finding, Kernels, Registry};
use vlm_core::{Error, ErrorKind, Result};

/// Ascend NPUs, through AscendCL and aclnn.
#[derive(Debug)]
pub struct AscendBackend;

impl Backend for AscendBackend {
    fn name(&self) -> &str {
        "ascend"
    }

    fn api_version(&self) -> u32 {
        BACKEND_API
    }

    fn devices(&self) -> Vec<DeviceInfo> {
        let Ok(library) = Library::get() else { return Vec::new() };
        let simulated = if library.is_simulator() { ", SIMULATED" } else { "" };
        let soc = soc_name(library).unwrap_or_else(|| "Ascend NPU".to_owned());
        // A simulator is never the best device at hand.
        let score = if library.is_simulator() { -1 } else { 110 };
        let count = device_count(library).unwrap_or(0);
        (0..count).map(|n| DeviceInfo::new(n, format!("{soc}{simulated}"), score)).collect()
    }

    fn open(&self, ordinal: usize) -> Result<Arc<dyn Kernels>> {
        let library = crate::library::library()?;
        let count = device_count(library)?;
        if ordinal >= count {
            return Err(absent(ordinal, count));
        }
        Ok(Arc::new(AscendDevice::open(ordinal)?))
    }

    fn diagnose(&self) -> Vec<Finding> {
        crate::diagnose::findings()
    }
}

fn absent(ordinal: usize, count: usize) -> Error {
    let message = match count {
        0 => format!("there is no ascend:{ordinal}: the runtime finds no device"),
        1 => format!("there is no ascend:{ordinal}: this process sees ascend:0 alone"),
        n => format!("there is no ascend:{ordinal}: this process sees ascend:0 to ascend:{}", n - 1),
    };
    let error = Error::new(ErrorKind::Device, "open device", message);
    let error = match std::env::var("ASCEND_RT_VISIBLE_DEVICES") {
        Ok(visible) => error.with("ASCEND_RT_VISIBLE_DEVICES", format!("{visible:?}")),
        Err(_) => error,
    };
    let remedy = if count == 0 { crate::error::remedy(207_004) } else { crate::error::remedy(107_001) };
    error.hint(remedy)
}

/// Makes the devices `ascend:N` known. Nothing is loaded yet, and what is missing is said when they are opened: other devices of the
/// program work in any case. Calling it again changes nothing.
///
/// # Errors
/// [`ErrorKind::Device`] if `vlm-core` has another backend API than the one this crate was compiled against.
pub fn register() -> Result<()> {
    Registry::global().register(Arc::new(AscendBackend))
}
