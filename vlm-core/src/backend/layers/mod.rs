//! Layers: what sits between core and a device and sees every call.
//!
//! | layer | what it does |
//! |---|---|
//! | [`Trace`] | records each call with shapes and times, for Chrome's trace viewer and for `tracing` |
//! | [`Count`] | counts calls and bytes by operation |
//! | [`Check`] | fails at the first NaN, and when a backend breaks the contract |
//! | [`Fallback`] | runs what the device does not have on another one |
//! | [`Recorder`] | gives the device graphs, in software: the contract of [`graphs`](super::graphs) as a program |
//! | [`Chaos`] | injects out-of-memory and lost devices, for tests of what comes after |
//!
//! A layer wraps any device and can be wrapped again:
//!
//! ```
//! use std::sync::Arc;
//! use vlm_core::backend::layers::{Count, Layered};
//! use vlm_core::{DType, Device, Tensor};
//!
//! let count = Arc::new(Count::default());
//! let device = Device::reference().with_kernels(|inner| Arc::new(Layered::new(inner, count.clone())));
//! Tensor::ones([2, 3], DType::F32, &device)?.exp()?;
//! assert_eq!(count.calls(vlm_core::backend::OpKind::Unary), 1);
//! # Ok::<(), vlm_core::Error>(())
//! ```

mod chaos;
mod check;
mod count;
mod fallback;
mod layered;
mod recorded;
mod recorder;
#[cfg(test)]
mod tests;
mod trace;

pub use chaos::Chaos;
pub use check::Check;
pub use count::{Count, Counted};
pub use fallback::Fallback;
pub use layered::{Layer, Layered, Operands, Operation};
pub use recorder::Recorder;
pub use trace::{Event, Trace};
