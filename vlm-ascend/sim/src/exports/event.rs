//! Events.

use crate::abi::{Out, Ref, exports};
use crate::runtime::joint::{Until, wait_for_others};
use crate::runtime::stream::{Task, Work};
use crate::state::{Outcome, Sim, call, code, fail};
use std::ffi::c_void;

impl Sim {
    fn new_event(&mut self, name: &'static str) -> Outcome<u64> {
        self.ready(name)?;
        self.current_context(name)?;
        Ok(self.events.create())
    }

    fn known_event(&mut self, name: &str, event: u64) -> Outcome {
        if self.events.get(event).is_some() {
            return Ok(());
        }
        self.violation(format!("{name} of an event that is not there"));
        fail(code::INVALID_HANDLE, "no such event")
    }
}

exports! {
    fn aclrtCreateEvent(event: Out<*mut c_void>) -> i32 {
        call("aclrtCreateEvent", |sim| {
            let made = sim.new_event("aclrtCreateEvent")?;
            event.put_handle(made)
        })
    }

    fn aclrtCreateEventWithFlag(event: Out<*mut c_void>, _flag: u32) -> i32 {
        call("aclrtCreateEventWithFlag", |sim| {
            let made = sim.new_event("aclrtCreateEventWithFlag")?;
            event.put_handle(made)
        })
    }

    fn aclrtCreateEventExWithFlag(event: Out<*mut c_void>, _flag: u32) -> i32 {
        call("aclrtCreateEventExWithFlag", |sim| {
            let made = sim.new_event("aclrtCreateEventExWithFlag")?;
            event.put_handle(made)
        })
    }

    fn aclrtDestroyEvent(event: Ref) -> i32 {
        call("aclrtDestroyEvent", |sim| {
            sim.known_event("aclrtDestroyEvent", event.id())?;
            sim.events.remove(event.id());
            Ok(())
        })
    }

    fn aclrtRecordEvent(event: Ref, stream: Ref) -> i32 {
        let name = "aclrtRecordEvent";
        call(name, |sim| {
            sim.known_event(name, event.id())?;
            let stream = sim.stream_of_call(stream.id(), name)?;
            let event = event.id();
            let captured = sim.streams.capture_of(stream).is_some();
            let Some(e) = sim.events.get_mut(event) else { return Ok(()) };
            if !captured {
                e.recorded += 1;
                e.captured = None;
            }
            let n = e.recorded;
            sim.enqueue(stream, Task { name, work: Work::Record { event, n }, touches: [].into() })
        })
    }

    fn aclrtResetEvent(event: Ref, stream: Ref) -> i32 {
        let name = "aclrtResetEvent";
        call(name, |sim| {
            sim.known_event(name, event.id())?;
            sim.stream_of_call(stream.id(), name)?;
            Ok(())
        })
    }

    fn aclrtStreamWaitEvent(stream: Ref, event: Ref) -> i32 {
        let name = "aclrtStreamWaitEvent";
        call(name, |sim| {
            sim.known_event(name, event.id())?;
            let stream = sim.stream_of_call(stream.id(), name)?;
            let event = event.id();
            let n = sim.latest_record(event).unwrap_or(0);
            sim.enqueue(stream, Task { name, work: Work::Wait { event, n }, touches: [].into() })
        })
    }

    fn aclrtSynchronizeEvent(event: Ref) -> i32 {
        wait_for_others(Until::Event(event.id()), None);
        call("aclrtSynchronizeEvent", |sim| {
            sim.not_while_captured("aclrtSynchronizeEvent")?;
            sim.known_event("aclrtSynchronizeEvent", event.id())?;
            sim.finish_event(event.id())
        })
    }

    fn aclrtQueryEventStatus(event: Ref, status: Out<i32>) -> i32 {
        call("aclrtQueryEventStatus", |sim| {
            sim.known_event("aclrtQueryEventStatus", event.id())?;
            // Asking lets time go by.
            sim.step_any(true);
            let done = sim.events.get(event.id()).is_some_and(|e| e.is_reached(e.recorded));
            status.put(i32::from(done))
        })
    }

    fn aclrtEventElapsedTime(milliseconds: Out<f32>, start: Ref, end: Ref) -> i32 {
        call("aclrtEventElapsedTime", |sim| {
            let at = |id| sim.events.get(id).and_then(|e| e.reached).map(|(_, t)| t);
            match (at(start.id()), at(end.id())) {
                (Some(a), Some(b)) => milliseconds.put(b.saturating_duration_since(a).as_secs_f32() * 1e3),
                _ => fail(code::RT_PARAM_INVALID, "an event was not reached yet"),
            }
        })
    }
}
