//! `cargo xtask`: the project's chores, the same on every machine.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr)] // Its output is what it is for.

mod bindings;
mod programs;
mod run;
mod stand_ins;
mod steps;
mod workspace;

use anyhow::{Context, Result, bail};
use std::process::ExitCode;
use steps::{ALL, Step};

const HELP: &str = "\
cargo xtask setup               makes .venv with the Python reference tools (done by test where needed)
cargo xtask setup libtorch [--cuda | --from-python [PYTHON]]
                                makes .libtorch, which vlm-cuda links: libtorch's CPU, all of it, or that of a Python
cargo xtask test [STEP...]      runs all steps, or those named, in their order
cargo xtask ci                  the same as test, for a machine that has nothing yet
cargo xtask stand-ins PROGRAM DIR
                                libraries with which a program built with the feature cuda starts without libtorch
cargo xtask ascend-sim --full     the conformance suite on the simulated NPU under every schedule and 20 seeds, on every chip
cargo xtask ascend-sim --libraries DIR [--split] [--cann N] [--without NAME...]
                                writes the simulator's libascendcl.so and its fellows, to link or load them
cargo xtask npu-torch [PYTHON]  makes target/npu-torch/libvlm_npu_torch.so, by which tch's tensors live on an NPU
cargo xtask regenerate [FILE...]
                                writes the generated documents and declarations anew, or those named
cargo xtask bench [ARGS...]     whole-model and kernel benchmarks of vlm-bench
cargo xtask parity-more --python PATH [--seed N] [NAME...]
                                the step parity with other models: PATH is a Python with the packages of
                                xtask/python/requirements.txt, but pillow 12, torchvision and num2words, which make them

Environment: VLM_XTASK_SEED repeats the random points of the step `kill`; VLM_XTASK_KILLS sets their number.";

fn main() -> ExitCode {
    match dispatch(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(code) => code,
        Err(e) => {
            eprintln!("error: {e:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(args: &[String]) -> Result<ExitCode> {
    let (command, rest) = match args.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("help", args),
    };
    let named =
        |names: &[&str]| steps::run(&ALL.iter().filter(|s| names.contains(&s.name)).copied().collect::<Vec<_>>());
    match command {
        "setup" => match rest.split_first() {
            None => Ok(named(&["setup"])),
            Some((what, rest)) if what == "libtorch" => {
                steps::libtorch::setup(&steps::libtorch::Source::parse(rest)?)?;
                Ok(ExitCode::SUCCESS)
            }
            Some((what, _)) => bail!("setup takes nothing or libtorch, not {what:?}"),
        },
        "regenerate" => {
            steps::generated::regenerate(rest)?;
            Ok(ExitCode::SUCCESS)
        }
        "test" | "ci" => Ok(steps::run(&select(rest)?)),
        "parity-more" => {
            let mut rest = rest.to_vec();
            let python = take(&mut rest, "--python").context("parity-more needs --python PATH")?;
            let seed = take(&mut rest, "--seed").unwrap_or_else(|| "7".to_owned());
            steps::parity::more(python.as_ref(), &rest, &seed)?;
            Ok(ExitCode::SUCCESS)
        }
        "bench" => {
            steps::bench::run(rest)?;
            Ok(ExitCode::SUCCESS)
        }
        "npu-torch" => {
            steps::npu_torch::make(rest.first().map(std::ffi::OsStr::new))?;
            Ok(ExitCode::SUCCESS)
        }
        "ascend-sim" => {
            steps::ascend::command(rest)?;
            Ok(ExitCode::SUCCESS)
        }
        bindings::clang::CHILD => {
            print!("{}", bindings::clang::child(rest)?);
            Ok(ExitCode::SUCCESS)
        }
        "stand-ins" => {
            let [program, into] = rest else { bail!("stand-ins needs a program and a folder") };
            let count = stand_ins::make(program.as_ref(), into.as_ref())?;
            println!("{into}: stand-ins for {count} names of libtorch");
            Ok(ExitCode::SUCCESS)
        }
        "help" | "--help" | "-h" => {
            println!("{HELP}\n\nSteps of test:");
            for step in ALL {
                println!("  {:<10} {}", step.name, step.what);
            }
            Ok(ExitCode::SUCCESS)
        }
        other => bail!("unknown command {other:?}\n\n{HELP}"),
    }
}

/// Takes an option and its value out of the arguments.
fn take(args: &mut Vec<String>, option: &str) -> Option<String> {
    let at = args.iter().position(|a| a == option)?;
    args.remove(at);
    (at < args.len()).then(|| args.remove(at))
}

fn select(names: &[String]) -> Result<Vec<Step>> {
    if let Some(unknown) = names.iter().find(|n| !ALL.iter().any(|s| s.name == **n)) {
        let known: Vec<_> = ALL.iter().map(|s| s.name).collect();
        bail!("unknown step {unknown:?}; the steps are {}", known.join(", "));
    }
    Ok(ALL.iter().filter(|s| names.is_empty() || names.iter().any(|n| n == s.name)).copied().collect())
}
