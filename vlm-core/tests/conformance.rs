//! The conformance suite on the reference device and on a backend outside of core.
#![allow(clippy::print_stderr)] // It is a test runner.

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Err(e) = backend_demo::register() {
        eprintln!("{e}");
        return ExitCode::FAILURE;
    }
    vlm_core::conformance::main(&["ref", "demo"], "")
}
