//! The state of the simulated machine: one per process, behind one lock.
#![allow(clippy::print_stderr)] // What it is for: nobody shall take it for an NPU.

use crate::chip::Chip;
use crate::config::Config;
use crate::fault;
use crate::model::Models;
use crate::objects::Objects;
use crate::plan::Fault;
use crate::report::Report;
use crate::rng::Rng;
use crate::runtime::context::Contexts;
use crate::runtime::event::Events;
use crate::runtime::host::Host;
use crate::runtime::memory::Memory;
use crate::runtime::stream::Streams;
use std::cell::RefCell;
use std::ffi::{CString, c_char};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Error codes of the runtime.
pub(crate) mod code {
    pub(crate) const INVALID_PARAM: i32 = 100_000;
    pub(crate) const UNINITIALIZED: i32 = 100_001;
    pub(crate) const REPEAT_INITIALIZE: i32 = 100_002;
    pub(crate) const INVALID_FILE: i32 = 100_003;
    pub(crate) const INVALID_MODEL_ID: i32 = 100_011;
    pub(crate) const PARSE_MODEL: i32 = 100_013;
    pub(crate) const MODEL_INPUT_NOT_MATCH: i32 = 100_017;
    pub(crate) const MODEL_OUTPUT_NOT_MATCH: i32 = 100_018;
    pub(crate) const MODEL_NOT_DYNAMIC: i32 = 100_019;
    pub(crate) const REPEAT_FINALIZE: i32 = 100_037;
    pub(crate) const RT_PARAM_INVALID: i32 = 107_000;
    pub(crate) const INVALID_DEVICE: i32 = 107_001;
    pub(crate) const CONTEXT_NULL: i32 = 107_002;
    pub(crate) const STREAM_CONTEXT: i32 = 107_003;
    pub(crate) const INVALID_HANDLE: i32 = 107_017;
    pub(crate) const WAIT_TIMEOUT: i32 = 107_019;
    pub(crate) const NOT_WHILE_CAPTURED: i32 = 107_025;
    pub(crate) const NOT_SUPPORTED: i32 = 207_000;
    pub(crate) const NO_MEMORY: i32 = 207_001;
    pub(crate) const NO_DEVICE: i32 = 207_004;
}

/// Why a call failed: what it returns, and what `aclGetRecentErrMsg` says.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) code: i32,
    pub(crate) text: String,
}

/// What the memory says of an access is what the call says that made it.
impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Failure { code: fault.code, text: fault.text }
    }
}

pub(crate) type Outcome<T = ()> = Result<T, Failure>;

pub(crate) fn fail<T>(code: i32, text: impl Into<String>) -> Outcome<T> {
    Err(Failure { code, text: text.into() })
}

/// The machine.
pub(crate) struct Sim {
    pub(crate) config: Config,
    pub(crate) memory: Memory,
    pub(crate) host: Host,
    pub(crate) contexts: Contexts,
    pub(crate) streams: Streams,
    pub(crate) events: Events,
    pub(crate) objects: Objects,
    pub(crate) models: Models,
    pub(crate) report: Report,
    pub(crate) rng: Rng,
    /// How often it was initialised; 0 where it was not.
    pub(crate) initialized: u32,
    pub(crate) finalized: bool,
}

impl Sim {
    fn new() -> Self {
        let config = Config::from_env().unwrap_or_else(|e| {
            eprintln!("VLM ASCEND SIMULATOR: {e}");
            std::process::exit(86);
        });
        eprintln!(
            "VLM ASCEND SIMULATOR: this is no NPU. It simulates {} x {} on the CPU ({:?} schedule, seed {})",
            config.devices.len(),
            config.chip.soc,
            config.schedule,
            config.seed
        );
        Sim {
            memory: Memory::new(config.memory),
            host: Host::default(),
            contexts: Contexts::default(),
            streams: Streams::default(),
            events: Events::default(),
            objects: Objects::default(),
            models: Models::default(),
            report: Report::default(),
            rng: Rng::new(config.seed),
            initialized: 0,
            finalized: false,
            config,
        }
    }

    pub(crate) fn chip(&self) -> &'static Chip {
        self.config.chip
    }

    /// Notes a use of the interface that its documentation forbids.
    pub(crate) fn violation(&mut self, text: impl Into<String>) {
        self.report.violation(text.into());
    }

    /// That the interface was initialised.
    pub(crate) fn ready(&mut self, call: &str) -> Outcome {
        if self.initialized > 0 {
            return Ok(());
        }
        let when = if self.finalized { "after aclFinalize" } else { "before aclInit" };
        self.violation(format!("{call} {when}"));
        fail(code::UNINITIALIZED, format!("{call} was called {when}"))
    }
}

/// The machine, for one call.
pub(crate) fn with<R>(f: impl FnOnce(&mut Sim) -> R) -> R {
    static SIM: OnceLock<Mutex<Sim>> = OnceLock::new();
    let sim = SIM.get_or_init(|| {
        crate::report::at_exit();
        Mutex::new(Sim::new())
    });
    f(&mut sim.lock().unwrap_or_else(PoisonError::into_inner))
}

thread_local! {
    /// What `aclGetRecentErrMsg` returns next, and the string that it returned last.
    static MESSAGE: RefCell<(Option<String>, CString)> = RefCell::new((None, CString::default()));
}

/// Keeps what went wrong for this thread.
pub(crate) fn remember(failure: &Failure) {
    let line = format!("E{:05}: [simulator] {}", failure.code % 100_000, failure.text);
    MESSAGE.with_borrow_mut(|m| m.0 = Some(line));
}

/// The message of this thread, which is forgotten; null where there is none.
pub(crate) fn take_message() -> *const c_char {
    MESSAGE.with_borrow_mut(|m| match m.0.take() {
        Some(text) => {
            m.1 = CString::new(text.replace('\0', " ")).unwrap_or_default();
            m.1.as_ptr()
        }
        None => std::ptr::null(),
    })
}

/// One call of the interface: counted, failed where that was asked for, its error kept for the thread.
pub(crate) fn call(name: &'static str, body: impl FnOnce(&mut Sim) -> Outcome) -> i32 {
    let outcome = with(|sim| {
        sim.report.called(name);
        match fault::due(&mut sim.config.faults, name, false) {
            Some(code) => fail(code, format!("{name} was told to fail")),
            None => body(sim),
        }
    });
    match outcome {
        Ok(()) => 0,
        Err(failure) => {
            remember(&failure);
            failure.code
        }
    }
}

/// One call that makes an object: its handle, or null.
pub(crate) fn make<T>(name: &'static str, body: impl FnOnce(&mut Sim) -> Outcome<u64>) -> *mut T {
    let mut handle = 0;
    call(name, |sim| {
        handle = body(sim)?;
        Ok(())
    });
    handle as usize as *mut T
}
