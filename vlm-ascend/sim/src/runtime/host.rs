//! Pinned memory of the host.

use std::alloc::{Layout, alloc, dealloc};
use std::collections::BTreeMap;

/// Alignment of what is handed out.
const ALIGN: usize = 4096;

/// All pinned allocations: address and length.
#[derive(Debug, Default)]
pub(crate) struct Host {
    alive: BTreeMap<usize, usize>,
    /// Memory of the program that it registered as pinned.
    registered: BTreeMap<usize, usize>,
}

fn layout(len: usize) -> Option<Layout> {
    Layout::from_size_align(len.max(1), ALIGN).ok()
}

impl Host {
    /// Fresh pinned memory, or `None` where the host has none.
    pub(crate) fn allocate(&mut self, len: usize) -> Option<usize> {
        // SAFETY: the layout's size is at least 1.
        let address = unsafe { alloc(layout(len)?) } as usize;
        if address == 0 {
            return None;
        }
        // SAFETY: `address` was just allocated with at least `len` bytes and nobody else has it.
        unsafe { std::ptr::write_bytes(address as *mut u8, 0xA5, len) };
        self.alive.insert(address, len);
        Some(address)
    }

    /// Gives it back; `false` where nothing was allocated there.
    pub(crate) fn free(&mut self, address: usize) -> bool {
        let Some(len) = self.alive.remove(&address) else { return false };
        // SAFETY: `allocate` returned this address for this length, and it is freed once, as its entry is gone.
        unsafe { dealloc(address as *mut u8, layout(len).expect("it was allocated with it")) };
        true
    }

    /// The length of the allocation that begins there.
    pub(crate) fn length(&self, address: usize) -> Option<usize> {
        self.alive.get(&address).copied()
    }

    pub(crate) fn register(&mut self, address: usize, len: usize) {
        self.registered.insert(address, len);
    }

    pub(crate) fn unregister(&mut self, address: usize) -> bool {
        self.registered.remove(&address).is_some()
    }

    /// Whether all these bytes are pinned.
    pub(crate) fn is_pinned(&self, address: usize, len: usize) -> bool {
        let within = |map: &BTreeMap<usize, usize>| {
            map.range(..=address).next_back().is_some_and(|(&start, &size)| address + len <= start + size)
        };
        within(&self.alive) || within(&self.registered)
    }

    pub(crate) fn count(&self) -> usize {
        self.alive.len()
    }
}
