//! The handle to an open device.

use super::{Kernels, Registry};
use crate::{Error, ErrorKind, Result};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// An open device, cheap to clone. Tensors hold one.
///
/// ```
/// use vlm_core::Device;
/// let device = Device::open("ref")?;
/// assert_eq!(device.to_string(), "ref");
/// # Ok::<(), vlm_core::Error>(())
/// ```
#[derive(Clone)]
pub struct Device(Arc<Inner>);

struct Inner {
    name: String,
    kernels: Arc<dyn Kernels>,
    /// Devices with the same number share their storages: a device and the same one seen through layers.
    memory: u64,
}

static NEXT_MEMORY: AtomicU64 = AtomicU64::new(1);

impl Device {
    /// Opens a device by its string: `"cpu"`, `"cuda:1"`, `"ref"`, or `"auto"` for the best one at hand.
    ///
    /// The reference device `ref` is always there; others after their crate's `register()` was called. A device that is
    /// already open is shared.
    ///
    /// # Errors
    /// [`ErrorKind::Device`] naming what is registered and which crate or image has the missing one.
    pub fn open(spec: &str) -> Result<Self> {
        Registry::global().open(spec)
    }

    /// The reference device: slow, plain and always there.
    pub fn reference() -> Self {
        Registry::global().reference()
    }

    /// A device that no registry knows, for tests and for layers of one's own.
    pub fn from_kernels(name: impl Into<String>, kernels: Arc<dyn Kernels>) -> Self {
        Device(Arc::new(Inner { name: name.into(), kernels, memory: NEXT_MEMORY.fetch_add(1, Ordering::Relaxed) }))
    }

    /// The same device behind other kernels that work on the same storages, such as a layer around its own.
    pub fn with_kernels(&self, wrap: impl FnOnce(Arc<dyn Kernels>) -> Arc<dyn Kernels>) -> Self {
        let kernels = wrap(self.0.kernels.clone());
        Device(Arc::new(Inner { name: self.0.name.clone(), kernels, memory: self.0.memory }))
    }

    /// The string that opens it.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The contract's methods.
    #[inline]
    pub fn kernels(&self) -> &dyn Kernels {
        &*self.0.kernels
    }

    /// The shared handle behind [`Device::kernels`].
    pub fn kernels_arc(&self) -> &Arc<dyn Kernels> {
        &self.0.kernels
    }

    /// Waits until all work is done.
    ///
    /// # Errors
    /// Whatever went wrong in work not waited for until now.
    pub fn synchronize(&self) -> Result<()> {
        self.0.kernels.synchronize()
    }

    /// Whether a tensor of one is an operand for the other: the same device, perhaps seen through layers.
    #[inline]
    pub fn shares_memory(&self, other: &Device) -> bool {
        self.0.memory == other.0.memory
    }

    pub(crate) fn check_same(&self, other: &Device, op: &'static str) -> Result<()> {
        if self.shares_memory(other) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Device, op, format!("operands are on different devices, {self} and {other}"))
            .hint("move one of them with to_device"))
    }
}

impl PartialEq for Device {
    fn eq(&self, other: &Self) -> bool {
        self.shares_memory(other)
    }
}
impl Eq for Device {}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.name)
    }
}
impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Device({})", self.0.name)
    }
}
