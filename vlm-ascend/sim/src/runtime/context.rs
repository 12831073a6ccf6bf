//! Devices and contexts: every thread has a current one.

use crate::state::{Failure, Outcome, Sim, code, fail};
use std::cell::Cell;
use std::collections::BTreeMap;

thread_local! {
    /// The handle of the thread's context; 0 for none.
    static CURRENT: Cell<u64> = const { Cell::new(0) };
}

#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) device: i32,
    /// Its default stream.
    pub(crate) stream: u64,
    /// Whether `aclrtSetDevice` made it, for the threads that select the device.
    implicit: bool,
    /// How often `aclrtSetDevice` selected it.
    selected: u32,
    /// The error that a task ended with. From then on nothing works until the context is gone.
    pub(crate) error: Option<Failure>,
}

/// All that are alive.
#[derive(Debug, Default)]
pub(crate) struct Contexts {
    alive: BTreeMap<u64, Context>,
    made: u64,
}

const FIRST: u64 = 0x5200_0000_0000;

impl Contexts {
    pub(crate) fn get(&self, handle: u64) -> Option<&Context> {
        self.alive.get(&handle)
    }

    pub(crate) fn get_mut(&mut self, handle: u64) -> Option<&mut Context> {
        self.alive.get_mut(&handle)
    }

    /// Those that the program made itself.
    pub(crate) fn count_explicit(&self) -> usize {
        self.alive.values().filter(|c| !c.implicit || c.selected > 0).count()
    }

    fn implicit_of(&self, device: i32) -> Option<u64> {
        self.alive.iter().find(|(_, c)| c.implicit && c.device == device).map(|(&h, _)| h)
    }
}

impl Sim {
    fn check_device(&self, device: i32) -> Outcome {
        let count = self.config.devices.len();
        if count == 0 {
            return fail(code::NO_DEVICE, "there is no device");
        }
        if usize::try_from(device).is_ok_and(|d| d < count) {
            return Ok(());
        }
        fail(code::INVALID_DEVICE, format!("device {device} is not one of the {count} that there are"))
    }

    fn new_context(&mut self, device: i32, implicit: bool) -> u64 {
        self.contexts.made += 1;
        let handle = FIRST + self.contexts.made * 16;
        let stream = self.streams.create(handle, false);
        let context = Context { device, stream, implicit, selected: 0, error: None };
        self.contexts.alive.insert(handle, context);
        handle
    }

    /// `aclrtCreateContext`: also makes it current.
    pub(crate) fn create_context(&mut self, device: i32) -> Outcome<u64> {
        self.check_device(device)?;
        let handle = self.new_context(device, false);
        CURRENT.set(handle);
        Ok(handle)
    }

    /// `aclrtDestroyContext`. Its streams must be gone or empty.
    pub(crate) fn destroy_context(&mut self, handle: u64) -> Outcome {
        match self.contexts.get(handle) {
            None => {
                self.violation("aclrtDestroyContext of a context that is not there");
                return fail(code::INVALID_HANDLE, "no such context");
            }
            Some(c) if c.implicit => {
                self.violation("aclrtDestroyContext of the context that aclrtSetDevice made");
                return fail(code::RT_PARAM_INVALID, "the default context is destroyed by aclrtResetDevice");
            }
            Some(_) => {}
        }
        self.drop_context(handle);
        Ok(())
    }

    fn drop_context(&mut self, handle: u64) {
        let lost = self.streams.drop_of_context(handle);
        if lost > 0 {
            self.violation(format!("a context was destroyed with {lost} tasks on its streams"));
        }
        self.contexts.alive.remove(&handle);
        if CURRENT.get() == handle {
            CURRENT.set(0);
        }
    }

    /// `aclrtSetDevice`.
    pub(crate) fn set_device(&mut self, device: i32) -> Outcome {
        self.check_device(device)?;
        let handle = self.contexts.implicit_of(device).unwrap_or_else(|| self.new_context(device, true));
        if let Some(c) = self.contexts.get_mut(handle) {
            c.selected += 1;
        }
        CURRENT.set(handle);
        Ok(())
    }

    /// `aclrtResetDevice`: the last one that matches a selection ends the default context.
    pub(crate) fn reset_device(&mut self, device: i32) -> Outcome {
        self.check_device(device)?;
        let Some(handle) = self.contexts.implicit_of(device) else {
            self.violation(format!("aclrtResetDevice({device}) without aclrtSetDevice"));
            return fail(code::CONTEXT_NULL, format!("device {device} was not set"));
        };
        let context = self.contexts.get_mut(handle).expect("it was just found");
        context.selected = context.selected.saturating_sub(1);
        if context.selected == 0 {
            self.drop_context(handle);
        }
        Ok(())
    }

    /// `aclrtSetCurrentContext`.
    pub(crate) fn set_current_context(&mut self, handle: u64) -> Outcome {
        if self.contexts.get(handle).is_none() {
            self.violation("aclrtSetCurrentContext to a context that is not there");
            return fail(code::INVALID_HANDLE, "no such context");
        }
        CURRENT.set(handle);
        Ok(())
    }

    /// The thread's context.
    pub(crate) fn current_context(&mut self, call: &str) -> Outcome<u64> {
        let handle = CURRENT.get();
        if self.contexts.get(handle).is_some() {
            return Ok(handle);
        }
        self.violation(format!("{call} in a thread that has no current context or device"));
        fail(
            code::CONTEXT_NULL,
            format!("{call}: the thread has no current context; aclrtSetDevice or aclrtSetCurrentContext first"),
        )
    }

    /// The thread's device.
    pub(crate) fn current_device(&mut self, call: &str) -> Outcome<i32> {
        let handle = self.current_context(call)?;
        Ok(self.contexts.get(handle).map_or(0, |c| c.device))
    }

    /// The stream that a call named, which must be of the thread's context; null is the context's own.
    pub(crate) fn stream_of_call(&mut self, stream: u64, call: &str) -> Outcome<u64> {
        let handle = self.current_context(call)?;
        let context = self.contexts.get(handle).expect("it is current");
        let stream = if stream == 0 { context.stream } else { stream };
        match self.streams.context_of(stream) {
            None => {
                self.violation(format!("{call} on a stream that is not there"));
                fail(code::INVALID_HANDLE, format!("{call}: no such stream"))
            }
            Some(of) if of != handle => {
                self.violation(format!("{call} on a stream of another context than the thread's"));
                fail(code::STREAM_CONTEXT, format!("{call}: the stream is of another context"))
            }
            Some(_) => Ok(stream),
        }
    }

    /// The error that the context of this stream ended with.
    pub(crate) fn check_context(&self, stream: u64) -> Outcome {
        let context = self.streams.context_of(stream).and_then(|c| self.contexts.get(c));
        context.and_then(|c| c.error.clone()).map_or(Ok(()), Err)
    }
}

impl Sim {
    /// The thread's context, if it has one; asking is no misuse.
    pub(crate) fn current_context_if_any(&self) -> Option<u64> {
        Some(CURRENT.get()).filter(|&h| self.contexts.get(h).is_some())
    }

    /// As [`Sim::current_context_if_any`], the device.
    pub(crate) fn current_device_if_any(&self) -> Option<i32> {
        self.contexts.get(self.current_context_if_any()?).map(|c| c.device)
    }

    /// A system parameter: whether results are deterministic, kernels are debugged, or consistency is strong.
    pub(crate) fn set_option(&mut self, option: i32, value: i64) -> Outcome {
        if (0..=2).contains(&option) && (0..=1).contains(&value) {
            return Ok(());
        }
        fail(code::INVALID_PARAM, format!("option {option} cannot be {value}"))
    }
}
