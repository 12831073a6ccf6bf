//! Waiting for work of several.
//!
//! While a call is in the simulator no other thread is, so a call that waits for something that another thread has to
//! ask for first waits before it enters.

use crate::state::{Sim, with};
use std::time::{Duration, Instant};

/// What a call is going to wait for. 0 is the default stream of the thread's context.
#[derive(Clone, Copy)]
pub(crate) enum Until {
    Stream(u64),
    Event(u64),
    /// All streams of the thread's device.
    Device,
}

/// Between two looks at what others have done.
const PAUSE: Duration = Duration::from_micros(100);

/// Returns when the call that comes next is not held up by work of several any more; such work ends by itself when the
/// others do not come. What is wrong with the arguments is left to the call.
pub(crate) fn wait_for_others(until: Until, limit: Option<Duration>) {
    let start = Instant::now();
    while with(|sim| sim.is_held_up(until)) && limit.is_none_or(|l| start.elapsed() < l) {
        std::thread::sleep(PAUSE);
    }
}

impl Sim {
    /// Lets work go on as the waiting call would; whether that got stuck at work of several.
    fn is_held_up(&mut self, until: Until) -> bool {
        if !self.streams.has_joint() {
            return false;
        }
        let Some(context) = self.current_context_if_any() else { return false };
        loop {
            let went_on = match until {
                Until::Event(event) => {
                    if self.events.get(event).is_none_or(|e| e.is_reached(e.recorded)) {
                        return false;
                    }
                    self.step_any(true)
                }
                Until::Stream(_) | Until::Device => {
                    let Some(stream) = self.first_busy(until, context) else { return false };
                    self.step(stream) || self.step_others(stream)
                }
            };
            if !went_on {
                return self.streams.comes_to_joint();
            }
        }
    }

    fn first_busy(&self, until: Until, context: u64) -> Option<u64> {
        let device = |c| self.contexts.get(c).map(|c| c.device);
        let streams = match until {
            Until::Stream(0) => vec![self.contexts.get(context)?.stream],
            Until::Stream(s) => Some(s).filter(|&s| self.streams.context_of(s) == Some(context)).into_iter().collect(),
            _ => self.streams.of_contexts(|c| device(c) == device(context)),
        };
        streams.into_iter().find(|&s| !self.streams.is_idle(s))
    }
}
