//! Random numbers that depend on a key and a position alone.

use crate::backend::RandomKey;

/// Where the thread's sequence of keys stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamState {
    /// The seed.
    pub seed: u64,
    /// The next stream.
    pub stream: u64,
}

mod thread_stream;
pub use thread_stream::{StreamGuard, manual_seed, next_key, restore, state};
