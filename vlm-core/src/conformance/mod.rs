//! Checks any backend against the contract (feature `conformance`).
//!
//! Every operation is run for every element type it takes, over operands in every class of layout and shape, and compared
//! with the reference device computing in `f64`; so are its gradients. A backend's whole test file is
//!
//! ```no_run
//! fn main() -> std::process::ExitCode {
//!     // my_backend::register().unwrap();
//!     vlm_core::conformance::main(&["my_device"], "")
//! }
//! ```
//!
//! with `harness = false` in its `Cargo.toml`. Names are those of Rust's test runner and can be filtered:
//! `cargo test --test conformance -- grad/rms_norm`. The argument `--mode` chooses what runs:
//!
//! | mode | what |
//! |---|---|
//! | `test` | everything below but `perf` (the default) |
//! | `grad` | gradients alone |
//! | `perf` | no comparison; prints the median time of every case |
//! | `support` | prints the support matrix as a Markdown table |
//!
//! A device that cannot be opened prints `SKIPPED` with the reason. An element type or operation that the device says it
//! does not have ([`Primitives::supports`](crate::backend::Primitives::supports)) must answer with
//! [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported), which is what its tests then check. Known defects are listed
//! with a reason in a small text, see [`Expected`]; one that no longer fails is a failure.
#![allow(clippy::print_stdout)] // It is a test runner.

mod case;
mod cases;
mod contract;
mod expected;
mod forward;
mod gradient;
mod operand;
mod optimizer;
mod perf;
mod runner;
mod support;
mod tolerance;

pub use case::Case;
pub use cases::all as cases;
pub use expected::Expected;
pub use runner::{Mode, main, run, trials};
pub use support::matrix as support_matrix;
pub use tolerance::{Tolerance, table as tolerance_table};
