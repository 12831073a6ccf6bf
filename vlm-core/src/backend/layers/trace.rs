//! Recording calls.

use super::layered::describe;
use super::{Layer, Operation};
use crate::Result;
use crate::backend::{Argument, Kernels, OpKind, Outcome};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// The operation.
    pub op: OpKind,
    /// Its operands: `f32[2, 3], f32[3]`.
    pub operands: String,
    /// Since the trace began.
    pub start: Duration,
    /// How long the call took; the work itself if the trace synchronises or the device does.
    pub time: Duration,
    /// A number for the calling thread.
    pub thread: u64,
}

/// Records every call with its operands and times, and gives each a `tracing` span.
#[derive(Debug)]
pub struct Trace {
    began: Instant,
    synchronize: bool,
    capacity: usize,
    events: Mutex<Vec<Event>>,
    dropped: AtomicU64,
}

/// Events kept unless told otherwise: about 100 MB.
const CAPACITY: usize = 1 << 20;

static NEXT_THREAD: AtomicU64 = AtomicU64::new(1);
thread_local! {
    static THREAD: Cell<u64> = Cell::new(NEXT_THREAD.fetch_add(1, Ordering::Relaxed));
}

impl Default for Trace {
    fn default() -> Self {
        Trace {
            began: Instant::now(),
            synchronize: false,
            capacity: CAPACITY,
            events: Mutex::default(),
            dropped: AtomicU64::new(0),
        }
    }
}

impl Trace {
    /// Waits for the device after each call, so that times are those of the work and not of handing it over.
    #[must_use]
    pub fn synchronizing(mut self) -> Self {
        self.synchronize = true;
        self
    }

    /// Keeps at most so many events; later ones are only counted.
    #[must_use]
    pub fn with_capacity(mut self, events: usize) -> Self {
        self.capacity = events;
        self
    }

    /// What was recorded, in the order in which calls ended.
    pub fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Calls that were not kept.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// The events in Chrome's trace format, for `chrome://tracing` and Perfetto. Times are microseconds.
    pub fn to_chrome_json(&self) -> String {
        let micros = |d: Duration| d.as_secs_f64() * 1e6;
        let event = |e: Event| {
            serde_json::json!({
                "name": e.op.name(), "cat": "op", "ph": "X", "ts": micros(e.start), "dur": micros(e.time), "pid": 1,
                "tid": e.thread, "args": { "operands": e.operands },
            })
        };
        let events: Vec<_> = self.events().into_iter().map(event).collect();
        serde_json::json!({ "traceEvents": events, "displayTimeUnit": "ms" }).to_string()
    }
}

impl Layer for Trace {
    fn call<'b, A: Argument<'b> + Clone, R: Outcome>(
        &self,
        inner: &dyn Kernels,
        operation: &Operation<'_, A, R>,
        args: A,
    ) -> Result<R> {
        let operands = describe(&args);
        let _span = tracing::trace_span!("op", name = operation.kind().name(), %operands).entered();
        let start = self.began.elapsed();
        let result = operation.run(inner, args).and_then(|r| {
            if self.synchronize {
                inner.synchronize()?;
            }
            Ok(r)
        });
        let event =
            Event { op: operation.kind(), operands, start, time: self.began.elapsed() - start, thread: THREAD.get() };
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        if events.len() < self.capacity {
            events.push(event);
        } else {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        result
    }
}
