//! What a device says about itself, as data: tests, the support matrix and `doctor` read it.

use super::OpKind;
use crate::DType;

/// Facts about an open device.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct DeviceProperties {
    /// What a person calls it: `"AMD EPYC, 2 threads, AVX-512"`.
    pub name: String,
    /// Element types it computes with. All nine can be stored and copied.
    pub dtypes: Vec<DType>,
    /// Memory of the device in bytes, if known.
    pub memory_bytes: Option<u64>,
    /// Whether its memory is the host's, so that reading it back costs no transfer.
    pub host_memory: bool,
    /// Whether methods may return before the work is done; errors then surface at `synchronize` or `download`.
    pub asynchronous: bool,
    /// Further facts for `doctor`: `("isa", "avx512")`.
    pub details: Vec<(String, String)>,
}

impl DeviceProperties {
    /// A device called `name` that computes with `dtypes`; the rest is unknown, synchronous, not host memory.
    pub fn new(name: impl Into<String>, dtypes: &[DType]) -> Self {
        DeviceProperties {
            name: name.into(),
            dtypes: dtypes.to_vec(),
            memory_bytes: None,
            host_memory: false,
            asynchronous: false,
            details: Vec::new(),
        }
    }
}

/// What a device's allocator holds, in bytes unless noted. Zero where it does not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryStats {
    /// In use by live storages.
    pub allocated: u64,
    /// Taken from the system, in use or waiting for reuse.
    pub reserved: u64,
    /// The most that was ever in use.
    pub peak_allocated: u64,
    /// Number of allocations served from what was waiting.
    pub reused: u64,
    /// Number of allocations that went to the system.
    pub fresh: u64,
}

/// How a device carries out an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Support {
    /// Not at all.
    Unsupported,
    /// From primitives, by the default body.
    Composed,
    /// By a kernel of its own.
    Native,
}

impl Support {
    /// The usual answer of a backend: `native` operations are, other fused ones are composed, and no operation takes
    /// an element type outside of `dtypes`.
    pub fn from_lists(op: OpKind, operands: &[DType], native: &[OpKind], dtypes: &[DType]) -> Support {
        if operands.iter().any(|d| !dtypes.contains(d)) {
            Support::Unsupported
        } else if op.is_primitive() || native.contains(&op) {
            Support::Native
        } else {
            Support::Composed
        }
    }
}
