//! The reference device `ref`.

use super::{BACKEND_API, Backend, DeviceInfo, Kernels};
use crate::{Error, ErrorKind, Result};
use std::sync::Arc;

/// The registry entry of `ref`.
#[derive(Debug)]
pub struct ReferenceBackend;

impl Backend for ReferenceBackend {
    fn name(&self) -> &str {
        "ref"
    }
    fn api_version(&self) -> u32 {
        BACKEND_API
    }
    fn devices(&self) -> Vec<DeviceInfo> {
        vec![DeviceInfo::new(0, "reference", 0)]
    }
    fn open(&self, ordinal: usize) -> Result<Arc<dyn Kernels>> {
        Err(Error::new(ErrorKind::Device, "open device", format!("there is one reference device, not {ordinal}")))
    }
}
