//! The smallest complete backend: what a library author writes outside of vlm's workspace.
//!
//! It keeps every number as an `f64` or an `i64` and rounds results to the element type that the tensor has. It implements
//! [`Memory`](vlm_core::backend::Memory) and [`Primitives`](vlm_core::backend::Primitives); the fused operations come from
//! the default bodies of [`Kernels`]. `docs/adding-a-backend.md` walks through it.

mod elementwise;
mod index;
mod memory;
mod numbers;
mod primitives;
mod reduce;

use std::sync::Arc;
use vlm_core::backend::{BACKEND_API, Backend, DeviceInfo, Kernels, Registry};
use vlm_core::{Error, ErrorKind, Result};

/// The device.
#[derive(Debug, Default)]
pub struct DemoDevice;

impl Kernels for DemoDevice {}

/// The registry entry: devices of this backend are called `demo` or `demo:0`.
#[derive(Debug)]
pub struct DemoBackend;

impl Backend for DemoBackend {
    fn name(&self) -> &str {
        "demo"
    }

    fn api_version(&self) -> u32 {
        BACKEND_API
    }

    fn devices(&self) -> Vec<DeviceInfo> {
        vec![DeviceInfo::new(0, "a demonstration", 0)]
    }

    fn open(&self, ordinal: usize) -> Result<Arc<dyn Kernels>> {
        if ordinal == 0 {
            return Ok(Arc::new(DemoDevice));
        }
        Err(Error::new(ErrorKind::Device, "open device", format!("there is demo:0 alone, not demo:{ordinal}"))
            .hint("use demo"))
    }
}

/// Makes the device `demo` known. Calling it again changes nothing.
///
/// # Errors
/// [`ErrorKind::Device`] if `vlm-core` has another backend API than the one this crate was compiled against.
pub fn register() -> Result<()> {
    Registry::global().register(Arc::new(DemoBackend))
}
