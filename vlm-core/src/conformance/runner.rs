//! The test runner.

use super::case::Case;
use super::expected::Expected;
use super::forward::Verdict;
use super::operand::Layout;
use super::{cases, contract, forward, gradient, optimizer, perf, support};
use crate::{DType, Device};
use libtest_mimic::{Arguments, Failed, Trial};
use std::process::ExitCode;
use std::sync::Arc;

/// What to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Results, gradients and the rest of the contract.
    Test,
    /// Gradients.
    Grad,
    /// Times.
    Perf,
    /// The support matrix.
    Support,
}

impl Mode {
    /// The mode called `name`.
    ///
    /// # Errors
    /// The names that there are.
    pub fn parse(name: &str) -> Result<Self, String> {
        match name {
            "test" => Ok(Mode::Test),
            "grad" => Ok(Mode::Grad),
            "perf" => Ok(Mode::Perf),
            "support" => Ok(Mode::Support),
            other => Err(format!("unknown mode {other:?}, expected test, grad, perf or support")),
        }
    }
}

/// Runs the suite on the devices with these strings, as the program's arguments say. `expected` lists known failures, see
/// [`Expected`].
pub fn main(devices: &[&str], expected: &str) -> ExitCode {
    let open = |name: &&str| match Device::open(name) {
        Ok(device) => Some(device),
        Err(e) => {
            println!("SKIPPED: device {name}: {e}");
            None
        }
    };
    run(&devices.iter().filter_map(open).collect::<Vec<_>>(), expected)
}

/// As [`main`], on open devices.
pub fn run(devices: &[Device], expected: &str) -> ExitCode {
    let (mode, arguments) = match split_arguments(std::env::args()) {
        Ok(split) => split,
        Err(e) => {
            println!("{e}");
            return ExitCode::FAILURE;
        }
    };
    match mode {
        Mode::Support => {
            print!("{}", support::matrix(devices));
            ExitCode::SUCCESS
        }
        Mode::Perf => {
            let cases = cases::all();
            devices.iter().for_each(|d| perf::print(&cases, d));
            ExitCode::SUCCESS
        }
        Mode::Test | Mode::Grad => match Expected::parse(expected) {
            Ok(expected) => {
                libtest_mimic::run(&Arguments::from_iter(arguments), trials(devices, &expected, mode)).exit_code()
            }
            Err(e) => {
                println!("{e}");
                ExitCode::FAILURE
            }
        },
    }
}

/// Takes `--mode` out of the arguments; the rest is for the test runner.
fn split_arguments(all: impl Iterator<Item = String>) -> Result<(Mode, Vec<String>), String> {
    let (mut mode, mut rest, mut all) = (Mode::Test, Vec::new(), all);
    while let Some(argument) = all.next() {
        if let Some(name) = argument.strip_prefix("--mode=") {
            mode = Mode::parse(name)?;
        } else if argument == "--mode" {
            mode = Mode::parse(&all.next().unwrap_or_default())?;
        } else {
            rest.push(argument);
        }
    }
    Ok((mode, rest))
}

/// All tests of these devices, for another runner. Names begin with the device where there are several.
pub fn trials(devices: &[Device], expected: &Expected, mode: Mode) -> Vec<Trial> {
    let cases: Vec<Arc<Case>> = cases::all().into_iter().map(Arc::new).collect();
    let mut list = List { expected: expected.clone(), prefix: String::new(), trials: Vec::new() };
    for device in devices {
        list.prefix = if devices.len() > 1 { format!("{device}/") } else { String::new() };
        for case in &cases {
            of_case(&mut list, case, device, mode);
        }
        if mode == Mode::Test {
            for (name, check) in contract::checks().into_iter().chain(optimizer::checks()) {
                let device = device.clone();
                list.add(format!("contract/{name}"), move || check(&device));
            }
        }
    }
    let names: Vec<String> = list.trials.iter().map(|t| t.name().to_owned()).collect();
    for pattern in expected.unused(&names) {
        let message = format!("no test is called {pattern:?}: remove the line");
        list.trials.push(Trial::test(format!("expected-failures/{pattern}"), move || Err(Failed::from(message))));
    }
    list.trials
}

struct List {
    expected: Expected,
    prefix: String,
    trials: Vec<Trial>,
}

impl List {
    fn add(&mut self, name: String, check: impl FnOnce() -> Verdict + Send + 'static) {
        let name = format!("{}{name}", self.prefix);
        let known = self.expected.reason(&name).map(str::to_owned);
        self.trials.push(Trial::test(name, move || match (check(), known) {
            (verdict, None) => verdict.map_err(Failed::from),
            (Err(_), Some(_)) => Ok(()),
            (Ok(()), Some(reason)) => {
                Err(Failed::from(format!("passes now, though expected to fail ({reason}): remove the line")))
            }
        }));
    }
}

fn of_case(list: &mut List, case: &Arc<Case>, device: &Device, mode: Mode) {
    let mut each = |what: &str,
                    dtype: DType,
                    which: usize,
                    layout: Layout,
                    check: fn(&Case, &[Vec<usize>], DType, Layout, &Device) -> Verdict| {
        let class =
            if which == 0 { layout.name().to_owned() } else { format!("{}-{}", case.shapes[which].0, layout.name()) };
        let (case, device) = (case.clone(), device.clone());
        list.add(format!("{what}/{}/{dtype}/{class}", case.name), move || {
            check(&case, &case.shapes[which].1, dtype, layout, &device)
        });
    };
    for &dtype in case.dtypes {
        for which in 0..case.shapes.len() {
            // Other shapes lie in memory in two ways, the usual ones in all.
            let layouts = if which == 0 { &Layout::ALL[..] } else { &Layout::ALL[..2] };
            for &layout in layouts {
                if mode == Mode::Test {
                    each("forward", dtype, which, layout, forward::check);
                }
                // A broadcast operand's gradient belongs to the view before, which the operation does not see.
                if case.differentiable && dtype.is_float() && layout != Layout::Broadcast {
                    each("grad", dtype, which, layout, gradient::check);
                }
            }
        }
    }
    if case.differentiable
        && case.smooth
        && case.dtypes.contains(&DType::F64)
        && forward::computes(DType::F64, device)
        && !forward::refused(case, DType::F64, device)
    {
        let (case, device) = (case.clone(), device.clone());
        list.add(format!("finite/{}/f64", case.name), move || gradient::finite_differences(&case, &device));
    }
}
