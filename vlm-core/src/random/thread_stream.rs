//! The keys that modules such as dropout draw, one after the other, on each thread.

use super::RandomKey;
use std::cell::Cell;
use std::marker::PhantomData;

/// Where the thread's sequence of keys stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamState {
    /// The seed.
    pub seed: u64,
    /// The next stream.
    pub stream: u64,
}

thread_local! {
    static STATE: Cell<StreamState> = const { Cell::new(StreamState { seed: 0, stream: 0 }) };
}

/// Starts this thread's sequence of keys again from `seed`.
pub fn manual_seed(seed: u64) {
    STATE.set(StreamState { seed, stream: 0 });
}

/// The next key of this thread's sequence.
pub fn next_key() -> RandomKey {
    let StreamState { seed, stream } = STATE.get();
    STATE.set(StreamState { seed, stream: stream + 1 });
    RandomKey { seed, stream }
}

/// Where this thread's sequence stands.
pub fn state() -> StreamState {
    STATE.get()
}

/// Sets this thread's sequence to `state` until the guard is dropped, which puts it back to where it is now.
#[must_use = "the state lasts as long as the guard"]
pub fn restore(state: StreamState) -> StreamGuard {
    StreamGuard { before: STATE.replace(state), not_send: PhantomData }
}

/// See [`restore`].
#[derive(Debug)]
pub struct StreamGuard {
    before: StreamState,
    // A guard belongs to its thread.
    not_send: PhantomData<*const ()>,
}

impl Drop for StreamGuard {
    fn drop(&mut self) {
        STATE.set(self.before);
    }
}
