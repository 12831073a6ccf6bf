//! Failures on purpose.

use super::{Layer, Operation};
use crate::backend::{Argument, Kernels, Outcome, RandomKey};
use crate::random::Rng;
use crate::{Error, ErrorKind, Result};
use std::sync::{Mutex, PoisonError};

/// Makes calls fail: at random with an [`ErrorKind::OutOfMemory`], and from a given call on with an
/// [`ErrorKind::DeviceLost`], as a device does that fell off the bus. The same seed fails the same calls.
///
/// A call that fails is not passed on, so no operand is touched.
#[derive(Debug)]
pub struct Chaos {
    out_of_memory: f64,
    lost_after: Option<u64>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    rng: Rng,
    calls: u64,
}

impl Chaos {
    /// A layer that fails nothing yet.
    pub fn new(seed: u64) -> Self {
        let rng = Rng::new(RandomKey { seed, stream: 0xc4a0 });
        Chaos { out_of_memory: 0.0, lost_after: None, state: Mutex::new(State { rng, calls: 0 }) }
    }

    /// Each call runs out of memory with this probability.
    #[must_use]
    pub fn out_of_memory(mut self, probability: f64) -> Self {
        self.out_of_memory = probability;
        self
    }

    /// The device is lost after so many calls, for good.
    #[must_use]
    pub fn lost_after(mut self, calls: u64) -> Self {
        self.lost_after = Some(calls);
        self
    }

    /// Calls seen so far.
    pub fn calls(&self) -> u64 {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).calls
    }

    fn strike(&self, op: &'static str) -> Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.calls += 1;
        if self.lost_after.is_some_and(|n| state.calls > n) {
            let message = format!("the device was lost on purpose at call {}", state.calls);
            return Err(Error::new(ErrorKind::DeviceLost, op, message));
        }
        if state.rng.uniform() < self.out_of_memory {
            let message = format!("out of memory on purpose at call {}", state.calls);
            return Err(Error::new(ErrorKind::OutOfMemory, op, message));
        }
        Ok(())
    }
}

impl Layer for Chaos {
    fn call<'b, A: Argument<'b> + Clone, R: Outcome>(
        &self,
        inner: &dyn Kernels,
        operation: &Operation<'_, A, R>,
        args: A,
    ) -> Result<R> {
        self.strike(operation.kind().name())?;
        operation.run(inner, args)
    }

    fn memory(&self, what: &'static str, _bytes: usize) -> Result<()> {
        self.strike(what)
    }
}
