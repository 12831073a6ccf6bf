//! Streams: queues of tasks, and when the tasks run.
//!
//! There are no threads. A task runs while some call is in the simulator: at once, at any time, or not before someone waits,
//! as the schedule says. So a program that forgets to wait is wrong in every run of a seed, not in one of a thousand.

use super::event::Event;
use crate::config::Schedule;
use crate::fault;
use crate::plan::{Fault, Kernel};
use crate::run::Run;
use crate::state::{Failure, Outcome, Sim, code, fail};
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

/// A queue holds at most this many tasks, as the devices' do; the oldest run to make room.
const DEEPEST: usize = 32 * 1024;

/// Bytes of the device that a task uses.
#[derive(Clone, Debug)]
pub(crate) struct Touch {
    pub(crate) address: u64,
    pub(crate) len: usize,
}

/// What a task does.
#[derive(Clone)]
pub(crate) enum Work {
    /// An operation, with the storages of its operands and its workspace.
    Kernel { kernel: Kernel, addresses: Arc<[u64]>, workspace: Option<Touch> },
    /// Bytes of the host, which are there until the task has run, to the device.
    Upload { from: usize, to: u64, len: usize },
    /// Bytes kept when the call was made, as the host's memory was not pinned.
    UploadKept { bytes: Arc<[u8]>, to: u64 },
    /// Bytes of the device to the host.
    Download { from: u64, to: usize, len: usize },
    /// Bytes of the device to another place of a device.
    Copy { from: u64, to: u64, len: usize },
    /// The same byte everywhere.
    Set { to: u64, len: usize, value: u8 },
    /// The `n`-th record of an event.
    Record { event: u64, n: u64 },
    /// Waits for the `n`-th record of an event.
    Wait { event: u64, n: u64 },
    /// Work that is not ready before something else is: a collective operation waits for the others.
    Joint(Arc<dyn Joint>),
}

/// Work of several, see [`Work::Joint`].
pub(crate) trait Joint: Send + Sync {
    /// Tries to do it; `false` where others are not there yet.
    fn try_run(&self, sim: &mut Sim) -> Result<bool, Fault>;
}

/// One task.
#[derive(Clone)]
pub(crate) struct Task {
    pub(crate) name: &'static str,
    pub(crate) work: Work,
    pub(crate) touches: Arc<[Touch]>,
}

struct Stream {
    context: u64,
    queue: VecDeque<Task>,
    /// Whether the program made it.
    explicit: bool,
    /// The graph that its tasks go into instead.
    capture: Option<u64>,
}

/// All that are alive.
#[derive(Default)]
pub(crate) struct Streams {
    alive: BTreeMap<u64, Stream>,
    made: u64,
}

const FIRST: u64 = 0x5400_0000_0000;

impl Streams {
    pub(crate) fn create(&mut self, context: u64, explicit: bool) -> u64 {
        self.made += 1;
        let handle = FIRST + self.made * 16;
        self.alive.insert(handle, Stream { context, queue: VecDeque::new(), explicit, capture: None });
        handle
    }

    pub(crate) fn context_of(&self, stream: u64) -> Option<u64> {
        self.alive.get(&stream).map(|s| s.context)
    }

    pub(crate) fn count_explicit(&self) -> usize {
        self.alive.values().filter(|s| s.explicit).count()
    }

    pub(crate) fn is_idle(&self, stream: u64) -> bool {
        self.alive.get(&stream).is_none_or(|s| s.queue.is_empty())
    }

    /// Whether work of several is queued anywhere.
    pub(super) fn has_joint(&self) -> bool {
        self.alive.values().flat_map(|s| &s.queue).any(|t| matches!(t.work, Work::Joint(_)))
    }

    /// Whether some stream has come to work of several.
    pub(super) fn comes_to_joint(&self) -> bool {
        self.alive.values().any(|s| s.queue.front().is_some_and(|t| matches!(t.work, Work::Joint(_))))
    }

    /// The streams of these contexts.
    pub(super) fn of_contexts(&self, wanted: impl Fn(u64) -> bool) -> Vec<u64> {
        self.alive.iter().filter(|(_, s)| wanted(s.context)).map(|(&h, _)| h).collect()
    }

    pub(crate) fn capture_of(&self, stream: u64) -> Option<u64> {
        self.alive.get(&stream).and_then(|s| s.capture)
    }

    pub(crate) fn set_capture(&mut self, stream: u64, graph: Option<u64>) {
        if let Some(s) = self.alive.get_mut(&stream) {
            s.capture = graph;
        }
    }

    /// Ends all captures into `graph`.
    pub(crate) fn end_capture(&mut self, graph: u64) {
        self.alive.values_mut().filter(|s| s.capture == Some(graph)).for_each(|s| s.capture = None);
    }

    pub(crate) fn any_captured(&self) -> bool {
        self.alive.values().any(|s| s.capture.is_some())
    }

    /// Drops the streams of a context with what is on them; how many tasks that were.
    pub(crate) fn drop_of_context(&mut self, context: u64) -> usize {
        let lost = self.alive.values().filter(|s| s.context == context).map(|s| s.queue.len()).sum();
        self.alive.retain(|_, s| s.context != context || s.explicit);
        self.alive.values_mut().filter(|s| s.context == context).for_each(|s| s.queue.clear());
        lost
    }

    /// The name of a queued task that uses bytes of this range.
    pub(crate) fn user_of(&self, range: &Range<u64>) -> Option<&'static str> {
        let uses = |t: &Task| t.touches.iter().any(|x| x.address < range.end && range.start < x.address + x.len as u64);
        self.alive.values().flat_map(|s| &s.queue).find(|t| uses(t)).map(|t| t.name)
    }

    /// Whether a queued task of another stream than this uses bytes of this range.
    pub(crate) fn used_elsewhere(&self, range: &Range<u64>, stream: u64) -> bool {
        let uses = |t: &Task| t.touches.iter().any(|x| x.address < range.end && range.start < x.address + x.len as u64);
        self.alive.iter().filter(|(h, _)| **h != stream).flat_map(|(_, s)| &s.queue).any(uses)
    }

    /// The name of a queued task that uses host memory of this range.
    pub(crate) fn user_of_host(&self, range: &Range<usize>) -> Option<&'static str> {
        let uses = |t: &Task| match t.work {
            Work::Upload { from: at, len, .. } | Work::Download { to: at, len, .. } => {
                at < range.end && range.start < at + len
            }
            _ => false,
        };
        self.alive.values().flat_map(|s| &s.queue).find(|t| uses(t)).map(|t| t.name)
    }
}

impl Sim {
    /// `aclrtDestroyStream`.
    pub(crate) fn destroy_stream(&mut self, stream: u64) -> Outcome {
        match self.streams.alive.get(&stream) {
            Some(s) if s.explicit => {
                // The call waits for what is on the stream.
                if self.contexts.get(s.context).is_some_and(|c| c.error.is_none()) {
                    let finished = self.finish_stream(stream);
                    self.streams.alive.remove(&stream);
                    return finished;
                }
                self.streams.alive.remove(&stream);
                Ok(())
            }
            _ => {
                self.violation("aclrtDestroyStream of a stream that is not there");
                fail(code::INVALID_HANDLE, "no such stream")
            }
        }
    }

    /// Puts a task on a stream, or into the graph that the stream is captured into, and lets time go by.
    pub(crate) fn enqueue(&mut self, stream: u64, task: Task) -> Outcome {
        self.check_context(stream)?;
        let graph = self.join_capture(stream, &task);
        if let Some(graph) = graph {
            return self.capture_task(graph, task);
        }
        *self.report.tasks.entry(task.name).or_default() += 1;
        let full = match self.streams.alive.get_mut(&stream) {
            Some(s) => {
                s.queue.push_back(task);
                s.queue.len() > DEEPEST
            }
            None => return fail(code::INVALID_HANDLE, "no such stream"),
        };
        if full {
            self.step(stream);
        }
        match self.config.schedule {
            Schedule::Delayed => {}
            Schedule::Eager => while self.step_any(false) {},
            Schedule::Random => {
                for _ in 0..self.rng.below(4) {
                    self.step_any(true);
                }
            }
        }
        Ok(())
    }

    /// Runs the first task of some stream that can go on; `false` where none can.
    pub(crate) fn step_any(&mut self, random: bool) -> bool {
        let mut waiting: Vec<u64> =
            self.streams.alive.iter().filter(|(_, s)| !s.queue.is_empty()).map(|(&h, _)| h).collect();
        while !waiting.is_empty() {
            let pick = if random { self.rng.below(waiting.len()) } else { 0 };
            if self.step(waiting.swap_remove(pick)) {
                return true;
            }
        }
        false
    }

    /// Runs the first task of a stream, if it has one that can run.
    pub(super) fn step(&mut self, stream: u64) -> bool {
        let Some(task) = self.streams.alive.get(&stream).and_then(|s| s.queue.front()).cloned() else { return false };
        if let Work::Wait { event, n } = task.work
            && !self.events.get(event).is_none_or(|e| e.is_reached(n))
        {
            return false;
        }
        let outcome = match &task.work {
            Work::Joint(joint) => match joint.clone().try_run(self) {
                Ok(false) => return false,
                Ok(true) => Ok(()),
                Err(fault) => Err(fault),
            },
            _ => self.execute(&task),
        };
        if let Some(s) = self.streams.alive.get_mut(&stream) {
            s.queue.pop_front();
        }
        let outcome = match fault::due(&mut self.config.faults, task.name, true) {
            Some(code) => Err(Fault { code, text: "it was told to fail".to_owned() }),
            None => outcome,
        };
        if let Err(Fault { code, text }) = outcome {
            self.device_error(stream, Failure { code, text: format!("{} failed on the device: {text}", task.name) });
        }
        true
    }

    /// From now on the context of the stream is unusable, and its tasks are dropped.
    fn device_error(&mut self, stream: u64, failure: Failure) {
        let Some(context) = self.streams.context_of(stream) else { return };
        if let Some(c) = self.contexts.get_mut(context) {
            c.error.get_or_insert(failure);
        }
        self.streams.alive.values_mut().filter(|s| s.context == context).for_each(|s| s.queue.clear());
    }

    fn execute(&mut self, task: &Task) -> Result<(), Fault> {
        for t in task.touches.iter() {
            if t.len > 0 && !self.memory.holds(t.address, t.len) {
                self.violation(format!(
                    "{} ran on {} bytes at {:#x} that are no longer or were never allocated",
                    task.name, t.len, t.address
                ));
                return Err(Fault { code: 507_015, text: format!("no memory at {:#x}", t.address) });
            }
        }
        match &task.work {
            Work::Kernel { kernel, addresses, workspace } => {
                if let Some(w) = workspace {
                    // A kernel owns its workspace while it runs: what anyone else has there is lost.
                    let garbage = (self.rng.next() | 1) as u8;
                    self.memory.write(w.address, w.len)?.fill(garbage);
                }
                kernel(&mut Run { memory: &mut self.memory, addresses })
            }
            Work::Upload { from, to, len } => {
                // SAFETY: the caller of the asynchronous copy keeps `len` bytes readable at `from` until it waits for the
                // stream; pinned memory that was freed before is refused where it is freed.
                let bytes = unsafe { std::slice::from_raw_parts(*from as *const u8, *len) };
                self.memory.write(*to, *len)?.copy_from_slice(bytes);
                Ok(())
            }
            Work::UploadKept { bytes, to } => {
                self.memory.write(*to, bytes.len())?.copy_from_slice(bytes);
                Ok(())
            }
            Work::Download { from, to, len } => {
                let bytes = self.memory.read(*from, *len)?;
                // SAFETY: as above, for `len` writable bytes at `to`; device memory never overlaps the host's.
                unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), *to as *mut u8, *len) };
                Ok(())
            }
            Work::Copy { from, to, len } => {
                let bytes = self.memory.read(*from, *len)?.to_vec();
                self.memory.write(*to, *len)?.copy_from_slice(&bytes);
                Ok(())
            }
            Work::Set { to, len, value } => {
                self.memory.write(*to, *len)?.fill(*value);
                Ok(())
            }
            Work::Record { event, n } => {
                if let Some(e) = self.events.get_mut(*event) {
                    e.reached = Some((*n, Instant::now()));
                }
                Ok(())
            }
            Work::Wait { .. } | Work::Joint(_) => Ok(()),
        }
    }

    /// Runs what has to run until the stream is empty; what other streams have is left as long as possible.
    pub(crate) fn finish_stream(&mut self, stream: u64) -> Outcome {
        while !self.streams.is_idle(stream) {
            if !self.step(stream) && !self.step_others(stream) {
                return fail(code::WAIT_TIMEOUT, "the stream waits for something that never comes");
            }
        }
        self.check_context(stream)
    }

    /// Lets another stream than this go on.
    pub(super) fn step_others(&mut self, stream: u64) -> bool {
        let mut others: Vec<u64> =
            self.streams.alive.iter().filter(|(h, s)| **h != stream && !s.queue.is_empty()).map(|(&h, _)| h).collect();
        while !others.is_empty() {
            let pick = self.rng.below(others.len());
            if self.step(others.swap_remove(pick)) {
                return true;
            }
        }
        false
    }

    /// Runs what has to run until the event's latest record is reached.
    pub(crate) fn finish_event(&mut self, event: u64) -> Outcome {
        loop {
            let Some(e) = self.events.get(event) else { return fail(code::INVALID_HANDLE, "no such event") };
            if e.is_reached(e.recorded) {
                return Ok(());
            }
            if !self.step_any(true) {
                return fail(code::WAIT_TIMEOUT, "the event waits for something that never comes");
            }
        }
    }

    /// Runs everything on all streams of a context's device.
    pub(crate) fn finish_device(&mut self, device: i32) -> Outcome {
        let of_device = |sim: &Sim, s: &Stream| sim.contexts.get(s.context).is_some_and(|c| c.device == device);
        let streams: Vec<u64> =
            self.streams.alive.iter().filter(|(_, s)| of_device(self, s)).map(|(&h, _)| h).collect();
        let mut first = Ok(());
        for stream in streams {
            first = first.and(self.finish_stream(stream));
        }
        first
    }

    /// The latest record of an event, as a number to wait for.
    pub(crate) fn latest_record(&self, event: u64) -> Option<u64> {
        self.events.get(event).map(|e: &Event| e.recorded)
    }
}
