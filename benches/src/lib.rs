//! What the measuring programs share: the clock, the machine's limits, memory in use.

pub mod limits;
mod memory;
pub mod pictures;
mod timing;

pub use memory::{peak_rss_mib, reset_peak_rss, rss_mib};
pub use timing::{Times, time};

use anyhow::Result;
use vlm_core::Device;

/// Opens a device after registering every backend this program was built with; `threads` counts for `cpu`.
///
/// # Errors
/// If there is no such device.
pub fn open(device: &str, threads: usize) -> Result<Device> {
    vlm_cpu::register()?;
    vlm_cpu::set_num_threads(threads);
    vlm_ascend::register()?;
    #[cfg(feature = "cuda")]
    {
        vlm_cuda::register()?;
        vlm_cuda::set_num_threads(threads);
    }
    Ok(Device::open(device)?)
}
