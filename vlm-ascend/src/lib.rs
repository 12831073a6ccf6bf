#![doc = include_str!("../README.md")]

mod aclnn;
mod activation;
mod attention;
mod backends;
pub mod chip;
mod device;
mod diagnose;
mod elementwise;
mod error;
pub mod hccl;
mod index;
pub mod library;
mod loss;
mod make;
mod matmul;
mod memory;
mod norm;
#[cfg(feature = "torch-npu")]
pub mod npu_torch;
pub mod om;
mod optimizer;
mod random;
mod reduce;
mod rope;
mod rows;
mod runtime;
mod storage;
mod support;

pub use backends::{AscendBackend, register};
pub use device::AscendDevice;
pub use runtime::Counters;
pub use storage::AscendStorage;

/// The conformance suite's tests that are known to fail on a chip, with reasons, as the suite reads them.
pub fn expected_failures(soc: &str) -> &'static str {
    match chip::Chip::of(soc).family {
        chip::Family::P310 => include_str!("expected-failures-310p.txt"),
        _ => include_str!("expected-failures.txt"),
    }
}
