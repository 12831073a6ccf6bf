//! For backend authors: the contract between core and a device.
//!
//! A backend is a crate with one type per tier:
//!
//! | trait | what | methods |
//! | --- | --- | --- |
//! | [`Backend`] | the registry entry: finds and opens devices | name, devices, open |
//! | [`Memory`] | allocation, transfer, copies | 8 required |
//! | [`Primitives`] | what every device must compute | 17 required |
//! | [`Kernels`] | fused operations | none required, all have default bodies |
//!
//! `impl Kernels for MyDevice {}` is a complete backend, checked by the feature `conformance`, and gets faster
//! kernel by kernel. Core holds an `Arc<dyn Kernels>` and no code above this module is generic over backends or asks
//! which one it runs on.
//!
//! # What a backend may rely on
//! - **Validation is core's.** Shapes, element types, devices and index ranges are checked before a method is called,
//!   once, there. Repeat a check as `debug_assert!` at most.
//! - **Views may have any layout.** Transposed, sliced, broadcast, empty. One helper that copies to a contiguous
//!   storage is enough for kernels that cannot step.
//! - **Storages are immutable while shared.** A method that writes in place takes its storage by value, see
//!   [`StorageRef`].
//!
//! # What a backend owes
//! - Results are new contiguous storages of exactly the right length.
//! - Errors cover what core could not foresee: [`OutOfMemory`](crate::ErrorKind::OutOfMemory),
//!   [`DeviceLost`](crate::ErrorKind::DeviceLost), [`Unsupported`](crate::ErrorKind::Unsupported) and
//!   [`Backend`](crate::ErrorKind::Backend), with the driver's code and message in the context.
//! - An enum variant it does not know is answered with [`unsupported`].
//! - Nothing panics and nothing is printed; logging goes through `tracing`.
//!
//! # Versions
//! [`BACKEND_API`] grows when a required method is added or the meaning of one changes: a minor version before 1.0, a
//! major one after. New fused operations come with default bodies and new enum variants may be refused, so neither
//! changes it. No primitive is added without two implementations and a caller.

mod calls;
pub mod collective;
pub mod compose;
mod device;
pub mod graphs;
mod indices;
mod kernels;
pub mod layers;
mod memory;
mod ops;
mod primitives;
mod properties;
pub mod reference;
mod registry;
mod storage;

pub use calls::{Argument, OpKind, Outcome, Remap};
pub use device::Device;
pub use kernels::Kernels;
pub use memory::Memory;
pub use ops::{
    AdamWArgs, AdamWState, ArgReduceOp, AttentionArgs, BinaryOp, CompareOp, CumulativeOp, Distribution,
    QuantizedLinearArgs, RandomKey, ReduceOp, RopeArgs, RopeStyle, ScatterOp, UnaryOp,
};
pub use primitives::Primitives;
pub use properties::{DeviceProperties, MemoryStats, Support};
pub use registry::{Backend, DeviceInfo, Finding, Registry};
pub use storage::{HostBytes, Storage, StorageRef, View};

use crate::{DType, Error, ErrorKind};

/// The version of the contract, see [the module documentation](self).
pub const BACKEND_API: u32 = 1;

/// The error for an operation, or a variant of one, that a device does not have.
#[cold]
pub fn unsupported(device: &str, op: OpKind, what: impl std::fmt::Debug, dtype: DType) -> Error {
    Error::new(ErrorKind::Unsupported, op.name(), format!("{device} has no {what:?} for {dtype}"))
        .hint("wrap the device in the Fallback layer, or cast to another element type first")
}
