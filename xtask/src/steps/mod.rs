//! The steps of `cargo xtask test`, cheapest first.

pub(crate) mod ascend;
mod ascend_headers;
mod bad_input;
pub(crate) mod bench;
mod code;
mod cuda;
pub(crate) mod generated;
mod hub;
mod job;
mod kill;
pub(crate) mod libtorch;
pub(crate) mod npu_torch;
mod om;
mod package;
pub(crate) mod parity;
pub(crate) mod python;

use anyhow::Result;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// One thing the project promises. It fails if it cannot be checked.
#[derive(Clone, Copy)]
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    run: fn() -> Result<()>,
}

const fn step(name: &'static str, what: &'static str, run: fn() -> Result<()>) -> Step {
    Step { name, what, run }
}

/// In the order they run.
pub(crate) const ALL: &[Step] = &[
    step("setup", "makes .venv with the Python reference tools", python::setup),
    step("libtorch", "makes .libtorch, which vlm-cuda links, from the torch of the reference tools", libtorch::step),
    step("fmt", "the code is formatted", code::fmt),
    step("clippy", "no lint speaks up in any target", code::clippy),
    step("tests", "all tests of all members, conformance suite and doctests included", code::tests),
    step("docs", "the documentation builds without a warning", code::docs),
    step("minimal", "vlm-core builds without features, a C compiler or a system library", code::minimal),
    step("generated", "generated documents are up to date", generated::check),
    step("npu-torch", "the shim for torch_npu compiles, loads and says what is missing", npu_torch::step),
    step("ascend-headers", "our declarations of AscendCL are those of the vendor's headers", ascend_headers::run),
    step("package", "the packaged crates run the README's first example outside of the workspace", package::run),
    step(
        "parity",
        "every family computes what transformers and PEFT computed, and PEFT loads our adapters",
        parity::run,
    ),
    step("cuda-start", "without libtorch's CUDA part, without a driver: each is named, the CPUs work", cuda::start),
    step("cuda-job", "the main job on libtorch's CPU is as accurate as on ours", cuda::job),
    step(
        "ascend-sim",
        "the conformance suite on the simulated NPU: schedules, seeds, chips, with and without fused operations",
        ascend::conformance,
    ),
    step(
        "ascend-start",
        "without CANN, with an old one, without a device: each is named, the CPUs work",
        ascend::start,
    ),
    step("ascend-om", "vision towers compiled by the simulated atc compute what transformers computed", om::run),
    step("ascend-job", "the main job on the simulated NPU is as accurate as on our CPU", ascend::job),
    step("hub", "huggingface_hub and vlm read each other's caches of models", hub::run),
    step("job", "the main job ends in time with at least 0.90 after tuning", job::run),
    step("peft", "transformers and PEFT load what the main job wrote and answer the same", python::peft),
    step("tensorboard", "TensorBoard's reader returns the scalars of the log", python::tensorboard),
    step("bad-input", "wrong input ends in an error that names the thing and the remedy", bad_input::run),
    step("kill", "runs killed at random points resume bit for bit", kill::run),
];

/// Runs steps one after the other; a failure does not keep the others from running.
pub(crate) fn run(steps: &[Step]) -> ExitCode {
    let started = Instant::now();
    let mut failed = Vec::new();
    let mut lines = Vec::new();
    for step in steps {
        println!("\n=== {}: {}", step.name, step.what);
        let began = Instant::now();
        let result = (step.run)();
        let word = if result.is_ok() { "ok" } else { "FAILED" };
        if let Err(e) = result {
            println!("{e:#}");
            failed.push(step.name);
        }
        let line = format!("{:<12} {:>8}  {word}", step.name, show(began.elapsed()));
        println!("=== {line}");
        lines.push(line);
    }
    println!("\n{}", lines.join("\n"));
    let (n, time) = (steps.len(), show(started.elapsed()));
    if failed.is_empty() {
        println!("test result: ok. {n} of {n} steps passed in {time}");
        ExitCode::SUCCESS
    } else {
        println!("test result: FAILED. {} of {n} steps failed in {time}: {}", failed.len(), failed.join(", "));
        ExitCode::FAILURE
    }
}

fn show(time: Duration) -> String {
    let s = time.as_secs();
    if s < 60 { format!("{:.1} s", time.as_secs_f64()) } else { format!("{} min {:02} s", s / 60, s % 60) }
}
