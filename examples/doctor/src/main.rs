//! What this machine can do: backends, devices, versions, what is missing and the exact remedy.
//!
//! `cargo run -p doctor [-- --json]`; exit code 0 when at least one device works.

#![forbid(unsafe_code)]
#![allow(clippy::print_stderr)] // The last words of a failing program.

mod machine;
mod report;

use clap::Parser;
use std::io::Write;
use std::process::ExitCode;

#[derive(Debug, Parser)]
#[command(about = "Says what this machine can do with vlm, what is missing and the remedy")]
struct Args {
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    #[cfg(feature = "cpu")]
    if let Err(e) = vlm_cpu::register() {
        eprintln!("error: {e}");
        return ExitCode::from(2);
    }
    // A libtorch that does not fit keeps the other devices from nothing.
    #[cfg(feature = "cuda")]
    if let Err(e) = vlm_cuda::register() {
        eprintln!("error: {e}");
    }
    #[cfg(feature = "ascend")]
    if let Err(e) = vlm_ascend::register() {
        eprintln!("error: {e}");
    }
    let report = report::examine();
    vlm_core::backend::Registry::global().close();
    let works = report["ok"] == true;
    let text = if args.json { format!("{report:#}\n") } else { report::text(&report) };
    // A reader that went away is no failure.
    let _ = std::io::stdout().write_all(text.as_bytes());
    if works { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
