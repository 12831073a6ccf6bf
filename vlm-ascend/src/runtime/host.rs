//! Pinned memory of the host, through which everything goes to and from the device.
//!
//! A copy from pinned memory is asynchronous and in the order of the stream; one from other memory is neither, on some chips.

use super::{Copy, Handle, Queue};
use crate::error::check;
use crate::library::{Library, function};
use std::collections::VecDeque;
use std::ffi::c_void;
use vlm_core::Result;

/// The largest buffer; longer transfers go in pieces.
const LARGEST: usize = 32 << 20;
/// Buffers have at least this size.
const SMALLEST: usize = 64 << 10;
/// At most so many bytes are on their way at once.
const IN_FLIGHT: usize = 128 << 20;

#[derive(Debug)]
struct Buffer {
    address: Handle,
    size: usize,
}

/// Buffers: free ones, and those that a copy still reads, each with an event behind the copy.
#[derive(Debug, Default)]
pub(crate) struct Staging {
    free: Vec<Buffer>,
    busy: VecDeque<(Buffer, Handle)>,
    /// Events that nobody waits for.
    events: Vec<Handle>,
    /// Buffers that a copy may still use, after waiting for it failed: not used again.
    lost: Vec<Buffer>,
}

impl Staging {
    /// A buffer of at least `bytes`, which is no more than [`LARGEST`].
    fn buffer(&mut self, queue: &Queue, bytes: usize) -> Result<Buffer> {
        self.reclaim(queue)?;
        while self.busy.iter().map(|(b, _)| b.size).sum::<usize>() + bytes > IN_FLIGHT {
            self.wait_for_oldest(queue)?;
        }
        let fits = |b: &Buffer| b.size >= bytes && b.size <= (4 * bytes).max(SMALLEST);
        if let Some(i) = self.free.iter().position(fits) {
            return Ok(self.free.swap_remove(i));
        }
        let size = bytes.next_power_of_two().max(SMALLEST);
        let allocate = function!(queue.library(), aclrtMallocHost)?;
        let mut address = std::ptr::null_mut();
        // SAFETY: the place for the address is ours; the thread is bound.
        check(queue.library(), "pinned memory", unsafe { allocate(&raw mut address, size) })?;
        Ok(Buffer { address: Handle(address), size })
    }

    fn event(&mut self, queue: &Queue) -> Result<Handle> {
        if let Some(event) = self.events.pop() {
            return Ok(event);
        }
        let create = function!(queue.library(), aclrtCreateEvent)?;
        let mut event = std::ptr::null_mut();
        // SAFETY: the place for the event is ours; the thread is bound.
        check(queue.library(), "event", unsafe { create(&raw mut event) })?;
        Ok(Handle(event))
    }

    /// Takes back the buffers whose copies are done.
    fn reclaim(&mut self, queue: &Queue) -> Result<()> {
        let ask = function!(queue.library(), aclrtQueryEventStatus)?;
        while let Some((_, event)) = self.busy.front() {
            let mut status = 0;
            // SAFETY: the event is ours and was recorded; the place for the status is ours.
            check(queue.library(), "event", unsafe { ask(event.raw(), &raw mut status) })?;
            if status != 1 {
                break;
            }
            if let Some((buffer, event)) = self.busy.pop_front() {
                self.free.push(buffer);
                self.events.push(event);
            }
        }
        Ok(())
    }

    fn wait_for_oldest(&mut self, queue: &Queue) -> Result<()> {
        let wait = function!(queue.library(), aclrtSynchronizeEvent)?;
        if let Some((buffer, event)) = self.busy.pop_front() {
            // SAFETY: the event is ours and was recorded.
            let code = unsafe { wait(event.raw()) };
            if let Err(e) = check(queue.library(), "event", code) {
                // The copy may still read it; the event goes on telling when it does not.
                self.busy.push_front((buffer, event));
                return Err(e);
            }
            self.free.push(buffer);
            self.events.push(event);
        }
        Ok(())
    }

    /// Brings bytes to the device.
    pub(crate) fn upload(&mut self, queue: &Queue, to: *mut c_void, bytes: &[u8]) -> Result<()> {
        let record = function!(queue.library(), aclrtRecordEvent)?;
        for (i, part) in bytes.chunks(LARGEST).enumerate() {
            let buffer = self.buffer(queue, part.len())?;
            let event = match self.event(queue) {
                Ok(event) => event,
                Err(e) => {
                    self.free.push(buffer);
                    return Err(e);
                }
            };
            // SAFETY: the buffer is pinned, has room for the part, and no copy reads it. It stays until the event behind the copy
            // was reached. The caller has checked the destination's size.
            let queued = unsafe {
                std::ptr::copy_nonoverlapping(part.as_ptr(), buffer.address.raw().cast::<u8>(), part.len());
                let to = to.wrapping_byte_add(i * LARGEST);
                queue.copy(to, buffer.address.raw(), part.len(), Copy::HostToDevice)
            };
            if let Err(e) = queued {
                self.free.push(buffer);
                self.events.push(event);
                return Err(e);
            }
            // SAFETY: the event and the stream are ours.
            let code = unsafe { record(event.raw(), queue.stream()) };
            self.busy.push_back((buffer, event));
            if code != 0 {
                // Nothing tells any more when the copy is done: wait for everything, then for nothing.
                let error = crate::error::of(queue.library(), "event", code);
                let waited = queue.synchronize().is_ok();
                if let Some((buffer, event)) = self.busy.pop_back() {
                    if waited { &mut self.free } else { &mut self.lost }.push(buffer);
                    self.events.push(event);
                }
                return Err(error);
            }
        }
        Ok(())
    }

    /// Fetches bytes from the device.
    pub(crate) fn download(&mut self, queue: &Queue, from: *const c_void, out: &mut [u8]) -> Result<()> {
        for (i, part) in out.chunks_mut(LARGEST).enumerate() {
            let buffer = self.buffer(queue, part.len())?;
            // SAFETY: the buffer is pinned and has room for the part; the stream is waited for below before anyone else gets the
            // buffer. The caller has checked the source's size.
            let done = unsafe {
                let from = from.wrapping_byte_add(i * LARGEST);
                queue.copy(buffer.address.raw(), from, part.len(), Copy::DeviceToHost)
            }
            .and_then(|()| queue.synchronize());
            if done.is_ok() {
                // SAFETY: the copy has ended; the buffer holds the part.
                unsafe {
                    std::ptr::copy_nonoverlapping(buffer.address.raw().cast::<u8>(), part.as_mut_ptr(), part.len());
                }
            }
            match done {
                Ok(()) => self.free.push(buffer),
                Err(e) => {
                    self.lost.push(buffer);
                    return Err(e);
                }
            }
        }
        Ok(())
    }

    /// Gives everything back. No copy is under way.
    pub(super) fn release(&mut self, library: &Library) {
        let f = library.functions();
        for (buffer, event) in self.busy.drain(..) {
            self.free.push(buffer);
            self.events.push(event);
        }
        if let (Some(free), Some(destroy)) = (f.aclrtFreeHost, f.aclrtDestroyEvent) {
            for buffer in self.free.drain(..).chain(self.lost.drain(..)) {
                // SAFETY: it came from `aclrtMallocHost`, is given back once, and the stream was waited for.
                unsafe { free(buffer.address.raw()) };
            }
            for event in self.events.drain(..) {
                // SAFETY: it came from `aclrtCreateEvent` and is destroyed once.
                unsafe { destroy(event.raw()) };
            }
        }
    }
}
