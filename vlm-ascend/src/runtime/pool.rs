//! Memory that is used again in the order of the stream.
//!
//! A block that is given back may be handed out at once: whoever gets it next queues its work behind the work of whoever had it. Only
//! memory that returns to the runtime must be waited for, as `aclrtFree` does not.
//!
//! Small blocks are cut out of segments of 2 MiB, the page size of the devices; larger ones are allocations of their own, kept by
//! size.

use super::{Handle, Queue};
use std::collections::BTreeMap;
use std::ffi::c_void;
use std::fmt;
use std::sync::Arc;
use vlm_core::backend::MemoryStats;
use vlm_core::{Error, ErrorKind, Result};

/// All sizes are multiples of this. Operations may read up to 32 bytes behind a tensor, which the rounding leaves room for.
const GRAIN: usize = 512;
/// Bytes that a block has beyond what was asked for.
const MARGIN: usize = 32;
const SEGMENT: usize = 2 << 20;
/// Blocks up to this size come from segments.
const SMALL: usize = SEGMENT / 2;

/// A piece of memory that is in use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece {
    address: usize,
    /// What it takes, with rounding.
    len: usize,
    /// The segment it was cut out of; `None` for an allocation of its own.
    segment: Option<usize>,
}

/// Memory in use, which returns to its pool when it is dropped.
pub(crate) struct Block {
    queue: Arc<Queue>,
    piece: Piece,
}

impl Block {
    pub(super) fn new(queue: Arc<Queue>, piece: Piece) -> Self {
        Block { queue, piece }
    }

    /// Where it is on the device.
    pub(crate) fn address(&self) -> *mut c_void {
        self.piece.address as *mut c_void
    }

    /// How many bytes it has for its user.
    pub(crate) fn bytes(&self) -> usize {
        self.piece.len - MARGIN
    }

    pub(crate) fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.queue.give_back(self.piece);
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Block({} bytes)", self.bytes())
    }
}

/// A segment: its free parts by offset. Neighbours that are both free are one.
#[derive(Debug, Default)]
struct Segment {
    free: BTreeMap<usize, usize>,
}

impl Segment {
    /// The start of `len` free bytes, taken from the smallest part that has them.
    fn take(&mut self, len: usize) -> Option<usize> {
        let (&start, &size) = self.free.iter().filter(|(_, size)| **size >= len).min_by_key(|(_, size)| **size)?;
        self.free.remove(&start);
        if size > len {
            self.free.insert(start + len, size - len);
        }
        Some(start)
    }

    fn give(&mut self, start: usize, len: usize) {
        let (mut start, mut len) = (start, len);
        if let Some(behind) = self.free.remove(&(start + len)) {
            len += behind;
        }
        if let Some((&before, &size)) = self.free.range(..start).next_back()
            && before + size == start
        {
            (start, len) = (before, len + size);
        }
        self.free.insert(start, len);
    }

    fn is_idle(&self) -> bool {
        self.free.get(&0) == Some(&SEGMENT)
    }
}

/// The memory of one device.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    /// Whether small blocks are cut out of segments.
    cut: bool,
    segments: BTreeMap<usize, Segment>,
    /// Allocations of their own that wait for reuse, by size.
    waiting: BTreeMap<usize, Vec<usize>>,
    /// All allocations of their own, in use or waiting: address and size.
    own: BTreeMap<usize, usize>,
    stats: MemoryStats,
}

fn rounded(bytes: usize) -> Option<usize> {
    let len = bytes.checked_add(MARGIN)?.checked_next_multiple_of(GRAIN)?;
    // Large sizes differ by little from step to step; rounding them more lets them serve each other.
    if len <= SMALL { Some(len) } else { len.checked_next_multiple_of(SMALL / 8) }
}

impl Pool {
    /// `cut` says whether small blocks share allocations.
    pub(crate) fn new(cut: bool) -> Self {
        Pool { cut, ..Pool::default() }
    }

    pub(crate) fn stats(&self) -> MemoryStats {
        self.stats
    }

    /// Memory for `bytes`.
    pub(crate) fn take(&mut self, queue: &Queue, bytes: usize) -> Result<Piece> {
        let Some(len) = rounded(bytes) else { return Err(self.exhausted(bytes, queue)) };
        let found = match self.reuse(len) {
            Some(piece) => {
                self.stats.reused += 1;
                Some(piece)
            }
            None => {
                self.stats.fresh += 1;
                self.grow(queue, len)?
            }
        };
        let Some(piece) = found else { return Err(self.exhausted(bytes, queue)) };
        self.stats.allocated += piece.len as u64;
        self.stats.peak_allocated = self.stats.peak_allocated.max(self.stats.allocated);
        Ok(piece)
    }

    fn reuse(&mut self, len: usize) -> Option<Piece> {
        if self.cut && len <= SMALL {
            return self.segments.iter_mut().find_map(|(&base, s)| {
                s.take(len).map(|start| Piece { address: base + start, len, segment: Some(base) })
            });
        }
        // A block of up to an eighth more is as good.
        let (&size, _) = self.waiting.range(len..=len + len / 8).next()?;
        let addresses = self.waiting.get_mut(&size)?;
        let address = addresses.pop()?;
        if addresses.is_empty() {
            self.waiting.remove(&size);
        }
        Some(Piece { address, len: size, segment: None })
    }

    /// Asks the runtime for memory; if it has none, for what waits here to be taken back first.
    fn grow(&mut self, queue: &Queue, len: usize) -> Result<Option<Piece>> {
        let small = self.cut && len <= SMALL;
        let size = if small { SEGMENT } else { len };
        let address = match queue.system_allocate(size) {
            Ok(address) => address,
            Err(207_001 | 200_000) => {
                // Forget the message of the failure that is now dealt with.
                crate::error::recent(queue.library.functions());
                queue.synchronize()?;
                self.idle().into_iter().for_each(|a| queue.system_free(a));
                match queue.system_allocate(size) {
                    Ok(address) => address,
                    Err(207_001 | 200_000) => return Ok(None),
                    Err(code) => return Err(crate::error::of(queue.library, "alloc", code)),
                }
            }
            Err(code) => return Err(crate::error::of(queue.library, "alloc", code)),
        };
        self.stats.reserved += size as u64;
        let address = address.raw() as usize;
        if !small {
            self.own.insert(address, size);
            return Ok(Some(Piece { address, len, segment: None }));
        }
        let mut segment = Segment::default();
        segment.free.insert(0, SEGMENT);
        let start = segment.take(len).unwrap_or(0);
        self.segments.insert(address, segment);
        Ok(Some(Piece { address: address + start, len, segment: Some(address) }))
    }

    #[cold]
    fn exhausted(&self, bytes: usize, queue: &Queue) -> Error {
        let mib = |n: u64| format!("{} MiB", n >> 20);
        let said = crate::error::recent(queue.library.functions());
        let message = said.unwrap_or_else(|| "the device has no memory left".to_owned());
        let mut error = Error::new(ErrorKind::OutOfMemory, "alloc", message)
            .with("asked for", format!("{bytes} bytes"))
            .with("in use by this program", mib(self.stats.allocated));
        if let Ok((free, total)) = queue.memory_info() {
            error = error.with("free on the device", format!("{} of {}", mib(free as u64), mib(total as u64)));
        }
        error.hint(crate::error::remedy(207_001))
    }

    /// Takes memory back, to be used again in the order of the stream.
    pub(crate) fn give(&mut self, piece: Piece) {
        self.stats.allocated -= piece.len as u64;
        match piece.segment {
            Some(base) => {
                if let Some(s) = self.segments.get_mut(&base) {
                    s.give(piece.address - base, piece.len);
                }
            }
            None => self.waiting.entry(piece.len).or_default().push(piece.address),
        }
    }

    /// The allocations that are wholly free, which the caller gives back to the runtime.
    pub(crate) fn idle(&mut self) -> Vec<Handle> {
        let mut found: Vec<usize> = std::mem::take(&mut self.waiting).into_values().flatten().collect();
        for address in &found {
            self.stats.reserved -= self.own.remove(address).unwrap_or(0) as u64;
        }
        let idle: Vec<usize> = self.segments.iter().filter(|(_, s)| s.is_idle()).map(|(&a, _)| a).collect();
        for base in idle {
            self.segments.remove(&base);
            self.stats.reserved -= SEGMENT as u64;
            found.push(base);
        }
        found.into_iter().map(|a| Handle(a as *mut c_void)).collect()
    }

    /// All allocations, in use or not.
    pub(crate) fn all(self) -> Vec<Handle> {
        self.segments.into_keys().chain(self.own.into_keys()).map(|a| Handle(a as *mut c_void)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_neighbours_become_one() {
        let mut s = Segment::default();
        s.free.insert(0, SEGMENT);
        let parts: Vec<usize> = (0..4).map(|_| s.take(1024).unwrap()).collect();
        assert_eq!(parts, [0, 1024, 2048, 3072]);
        s.give(1024, 1024);
        s.give(0, 1024);
        assert_eq!(s.free.get(&0), Some(&2048));
        // The smallest part that is large enough goes first.
        assert_eq!(s.take(512), Some(0));
        s.give(0, 512);
        s.give(3072, 1024);
        s.give(2048, 1024);
        assert!(s.is_idle());
    }

    #[test]
    fn sizes_leave_the_margin_that_operations_read() {
        for bytes in [0, 1, 480, 481, 512, 100_000, 5 << 20] {
            let len = rounded(bytes).unwrap();
            assert!(len >= bytes + MARGIN && len.is_multiple_of(GRAIN), "{bytes}");
        }
        assert_eq!(rounded(usize::MAX), None);
    }
}
