//! The simulator's `atc`, to be found under that name.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    ExitCode::from(vlm_ascend_sim::atc(&arguments))
}
