//! Events: marks on streams that others can wait for.

use std::collections::BTreeMap;
use std::time::Instant;

#[derive(Debug)]
pub(crate) struct Event {
    /// How often it was recorded.
    pub(crate) recorded: u64,
    /// The latest record that the device came to, and when.
    pub(crate) reached: Option<(u64, Instant)>,
    /// The graph that its latest record went into, if that stream was being captured.
    pub(crate) captured: Option<u64>,
}

impl Event {
    /// Whether the device came to the `n`-th record.
    pub(crate) fn is_reached(&self, n: u64) -> bool {
        n == 0 || self.reached.is_some_and(|(r, _)| r >= n)
    }
}

/// All that are alive.
#[derive(Debug, Default)]
pub(crate) struct Events {
    alive: BTreeMap<u64, Event>,
    made: u64,
}

const FIRST: u64 = 0x5300_0000_0000;

impl Events {
    pub(crate) fn create(&mut self) -> u64 {
        self.made += 1;
        let handle = FIRST + self.made * 16;
        self.alive.insert(handle, Event { recorded: 0, reached: None, captured: None });
        handle
    }

    pub(crate) fn get(&self, handle: u64) -> Option<&Event> {
        self.alive.get(&handle)
    }

    pub(crate) fn get_mut(&mut self, handle: u64) -> Option<&mut Event> {
        self.alive.get_mut(&handle)
    }

    pub(crate) fn remove(&mut self, handle: u64) -> Option<Event> {
        self.alive.remove(&handle)
    }

    pub(crate) fn count(&self) -> usize {
        self.alive.len()
    }
}
