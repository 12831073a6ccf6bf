//! The bad-input catalogue as tables: each row says how its input is made, what is done with it, and the error that must
//! come of it, or the good result. A row must end within its time and memory, and must not panic.
//!
//! Rows of a table run one after the other, each in a thread of its own, so that one that hangs does not hide the others.
#![allow(dead_code)] // Each table uses its part of it.
#![allow(clippy::print_stdout)] // A table shows its rows.

pub(crate) mod family;
pub(crate) mod warnings;

use peak_alloc::PeakAlloc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use vlm_core::{ErrorKind, Result};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Bytes of a MiB.
pub(crate) const MIB: usize = 1 << 20;
/// What a row may take if it does not say otherwise. The time is for unoptimised code on a busy machine.
const USUAL_MEMORY: usize = 64 * MIB;
const USUAL_TIME: Duration = Duration::from_secs(5);
/// Longest message of an error: one that shows its input whole could be of any length.
const LONGEST_MESSAGE: usize = 4096;

type Run = Box<dyn FnOnce() -> Result<String> + Send>;

/// One line of the catalogue.
pub(crate) struct Row {
    number: &'static str,
    what: String,
    /// Makes the input and gives back what is to be judged.
    prepare: Box<dyn FnOnce() -> Run>,
    /// The kind of error; `None` if all must go well.
    kind: Option<ErrorKind>,
    parts: Vec<String>,
    memory: usize,
    time: Duration,
}

/// A row of this number: `make` makes the input, whose time and memory do not count, and `run` is judged. What `run` gives
/// is compared like an error's text. Without [`Row::fails`] or [`Row::works`] it must work.
pub(crate) fn row<I: Send + 'static>(
    number: &'static str,
    what: impl Into<String>,
    make: impl FnOnce() -> I + 'static,
    run: impl FnOnce(I) -> Result<String> + Send + 'static,
) -> Row {
    let prepare = move || -> Run {
        let input = make();
        Box::new(move || run(input))
    };
    let (memory, time) = (USUAL_MEMORY, USUAL_TIME);
    Row { number, what: what.into(), prepare: Box::new(prepare), kind: None, parts: Vec::new(), memory, time }
}

impl Row {
    /// It must fail with this kind of error, whose text has all of these parts: the thing, what was expected, what was
    /// found, the remedy.
    pub(crate) fn fails(mut self, kind: ErrorKind, parts: &[&str]) -> Self {
        self.kind = Some(kind);
        self.parts = parts.iter().map(|p| (*p).to_owned()).collect();
        self
    }

    /// It must work, and its result must have these parts.
    pub(crate) fn works(mut self, parts: &[&str]) -> Self {
        self.kind = None;
        self.parts = parts.iter().map(|p| (*p).to_owned()).collect();
        self
    }

    /// Bytes that it may take at most, besides its input.
    pub(crate) fn memory(mut self, bytes: usize) -> Self {
        self.memory = bytes;
        self
    }

    /// Seconds that it may take at most.
    pub(crate) fn seconds(mut self, seconds: u64) -> Self {
        self.time = Duration::from_secs(seconds);
        self
    }

    /// Runs it and says how much it took, or what is wrong.
    fn judge(self) -> (String, Result<String, String>) {
        let Row { number, what, prepare, kind, parts, memory, time } = self;
        let name = format!("{number} {what}");
        let run = prepare();
        let before = MEMORY.current_usage();
        MEMORY.reset_peak_usage();
        let (send, receive) = channel();
        let start = Instant::now();
        let thread = std::thread::Builder::new().spawn(move || drop(send.send(run()))).unwrap();
        let found = receive.recv_timeout(time);
        let (took, peak) = (start.elapsed(), MEMORY.peak_usage().saturating_sub(before));
        let found = match found {
            Ok(found) => found,
            Err(RecvTimeoutError::Timeout) => return (name, Err(format!("not done after {} s", time.as_secs()))),
            Err(RecvTimeoutError::Disconnected) => return (name, Err(format!("panicked: {}", text(thread.join())))),
        };
        let cost = format!("{:.1} ms, {} KiB", took.as_secs_f64() * 1e3, peak >> 10);
        let wrong = match compare(&found, kind, &parts) {
            None if peak <= memory => return (name, Ok(cost)),
            None => format!("took more than {} KiB", memory >> 10),
            Some(wrong) => wrong,
        };
        (name, Err(format!("{wrong} ({cost})")))
    }
}

/// What is wrong with a result.
fn compare(found: &Result<String>, kind: Option<ErrorKind>, parts: &[String]) -> Option<String> {
    match (found, kind) {
        (Ok(result), None) => missing(parts, result).map(|part| format!("the result lacks {part:?}: {result}")),
        (Ok(result), Some(kind)) => Some(format!("expected an error ({kind}), but it gave {result}")),
        (Err(e), None) => Some(format!("failed ({}): {e}", e.kind())),
        (Err(e), Some(kind)) if e.kind() != kind => Some(format!("expected {kind}, found {}: {e}", e.kind())),
        (Err(e), Some(_)) => match (missing(parts, &e.to_string()), e.to_string().len()) {
            (Some(part), _) => Some(format!("the message lacks {part:?}: {e}")),
            (None, length) if length > LONGEST_MESSAGE => Some(format!("a message of {length} bytes")),
            _ => None,
        },
    }
}

fn missing<'p>(parts: &'p [String], text: &str) -> Option<&'p str> {
    parts.iter().find(|part| !text.contains(&***part)).map(String::as_str)
}

fn text(ended: std::thread::Result<()>) -> String {
    match ended {
        Ok(()) => "ended without a result".to_owned(),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            text.unwrap_or("without a reason").to_owned()
        }
    }
}

/// Runs all rows and fails listing all that are wrong.
pub(crate) fn judge(rows: Vec<Row>) {
    // Memory is counted for the whole program: one table at a time.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut wrong = Vec::new();
    let all = rows.len();
    for row in rows {
        let (name, verdict) = row.judge();
        match verdict {
            Ok(cost) => println!("{name}: ok, {cost}"),
            Err(what) => {
                println!("{name}: WRONG, {what}");
                wrong.push(format!("{name}: {what}"));
            }
        }
    }
    assert!(all > 0, "the table is empty");
    assert!(wrong.is_empty(), "{} of {all} rows are wrong:\n{}", wrong.len(), wrong.join("\n"));
}
