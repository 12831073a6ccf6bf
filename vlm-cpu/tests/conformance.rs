//! The conformance suite on `cpu`.
#![allow(clippy::print_stderr)] // The last words of a program that cannot start.

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Err(e) = vlm_cpu::register() {
        eprintln!("{e}");
        return ExitCode::FAILURE;
    }
    vlm_core::conformance::main(&["cpu"], "")
}
