//! What tests say to the simulator in their own process. No library of the vendor has these.

use crate::abi::{Out, Text, exports};
use crate::rng::Rng;
use crate::state::with;
use std::ffi::c_char;

/// Carries out a command; the answer, or why it was not understood.
fn command(text: &str) -> Result<String, String> {
    let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
    with(|sim| match verb {
        "report" => Ok(crate::report::json(sim)),
        "set" => {
            sim.config.apply(rest)?;
            if rest.contains("seed=") {
                sim.rng = Rng::new(sim.config.seed);
            }
            sim.memory.total = sim.config.memory;
            Ok(String::new())
        }
        "clear-faults" => {
            sim.config.faults.clear();
            Ok(String::new())
        }
        "clear-counts" => {
            sim.report.clear_counts();
            Ok(String::new())
        }
        _ => Err(format!("{verb:?} is none of report, set SETTINGS, clear-faults, clear-counts")),
    })
}

exports! {
    /// Carries out a command and writes the answer, with a zero behind it, into a buffer. Returns the length that the answer
    /// has or, for a command that was not understood, -1 minus the length of the complaint.
    fn vlmAscendSimControl(text: Text, answer: *mut c_char, capacity: usize) -> isize {
        let (answer_text, good) = match command(&text.get().unwrap_or_default()) {
            Ok(a) => (a, true),
            Err(e) => (e, false),
        };
        let bytes = answer_text.as_bytes();
        let n = bytes.len().min(capacity.saturating_sub(1));
        if !answer.is_null() && capacity > 0 {
            // SAFETY: the caller's buffer has `capacity` bytes, more than `n`.
            unsafe {
                std::ptr::copy_nonoverlapping(bytes.as_ptr().cast(), answer, n);
                answer.add(n).write(0);
            }
        }
        if good { bytes.len() as isize } else { -1 - bytes.len() as isize }
    }

    /// 1: a program that must not run on a simulator can ask.
    fn vlmAscendSimVersion(version: Out<u32>) -> i32 {
        version.offer(1);
        1
    }
}
