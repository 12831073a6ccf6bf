//! An operation on a stream: sends its part when its turn comes, and is done when the result is there.

use super::comm::{Answer, Comm};
use super::wire::Call;
use super::{execution_limit, result};
use crate::plan::Fault;
use crate::runtime::stream::{Joint, Touch};
use crate::state::Sim;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// The device's errors for a rank that is gone and for one that does not come.
const LINK: i32 = 507_056;
const LATE: i32 = 507_048;

/// One rank's part of an operation.
pub(crate) struct Job {
    name: &'static str,
    comm: Arc<Comm>,
    call: Call,
    send: Option<Touch>,
    receive: Option<Touch>,
    /// When the part was sent.
    sent: Mutex<Option<Instant>>,
}

impl Job {
    pub(crate) fn new(
        name: &'static str,
        comm: Arc<Comm>,
        mut call: Call,
        send: Option<Touch>,
        receive: Option<Touch>,
    ) -> Self {
        comm.number(&mut call);
        comm.pending.fetch_add(1, Ordering::Relaxed);
        Job { name, comm, call, send, receive, sent: Mutex::new(None) }
    }

    fn broken(&self, code: i32, error: i32, text: impl Into<String>) -> Fault {
        self.comm.set_error(error);
        Fault { code, text: text.into() }
    }

    /// That both buffers are still there.
    fn check(&self, sim: &mut Sim) -> Result<(), Fault> {
        for t in self.send.iter().chain(&self.receive) {
            if !sim.memory.holds(t.address, t.len) {
                let text =
                    format!("{} ran on {} bytes at {:#x} that are no longer allocated", self.name, t.len, t.address);
                sim.violation(text.clone());
                return Err(self.broken(507_015, result::RUNTIME, text));
            }
        }
        Ok(())
    }
}

impl Joint for Job {
    fn try_run(&self, sim: &mut Sim) -> Result<bool, Fault> {
        self.check(sim)?;
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        let since = match *sent {
            Some(since) => since,
            None => {
                let data = match &self.send {
                    Some(t) => sim.memory.read(t.address, t.len)?,
                    None => &[],
                };
                let lost = |e| self.broken(LINK, result::REMOTE, format!("the group is gone: {e}"));
                self.comm.submit(&self.call, data).map_err(lost)?;
                *sent.insert(Instant::now())
            }
        };
        match self.comm.answer(self.call.id) {
            Ok(Some(Answer::Done(data))) => {
                if let Some(t) = self.receive.as_ref().filter(|_| !data.is_empty()) {
                    sim.memory.write(t.address, t.len)?.copy_from_slice(&data);
                }
                Ok(true)
            }
            Ok(Some(Answer::Failed(true, text))) => {
                sim.violation(format!("{}: the ranks ask for different things: {text}", self.name));
                Err(self.broken(LATE, result::TIMEOUT, text))
            }
            Ok(Some(Answer::Failed(false, text))) => Err(self.broken(LINK, result::REMOTE, text)),
            Ok(None) => match execution_limit().filter(|&limit| since.elapsed() > limit) {
                Some(limit) => {
                    let text =
                        format!("not all ranks came to {} within {} seconds", self.call.words(), limit.as_secs());
                    Err(self.broken(LATE, result::TIMEOUT, text))
                }
                None => Ok(false),
            },
            Err(()) => Err(self.broken(LINK, result::REMOTE, "the process that opened the group is gone")),
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.comm.pending.fetch_sub(1, Ordering::Relaxed);
    }
}
