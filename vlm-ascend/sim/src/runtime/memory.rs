//! The memory of the simulated devices.
//!
//! Addresses are numbers that no host memory has: a program that follows one on the host ends at once instead of reading
//! something by luck. What is allocated is filled with ones ([`FRESH`]), which is NaN in every float type, and what is freed is
//! gone.

use super::virtual_memory::Reserved;
use crate::plan::Fault;
use std::collections::BTreeMap;
use std::ops::Range;

/// Every byte of fresh memory.
pub(crate) const FRESH: u8 = 0xFF;
/// Where addresses begin.
const FIRST: u64 = 0x1200_0000_0000;
/// Allocations begin at multiples of this, as on the devices.
const ALIGN: u64 = 512;

/// One allocation, or one piece of physical memory that is mapped somewhere.
#[derive(Debug)]
struct Block {
    bytes: Vec<u8>,
    device: i32,
    /// Whether its bytes were counted elsewhere, as physical memory.
    mapped: bool,
}

/// All memory of all devices.
#[derive(Debug)]
pub(crate) struct Memory {
    blocks: BTreeMap<u64, Block>,
    next: u64,
    /// Bytes in use, by device.
    used: BTreeMap<i32, usize>,
    /// Bytes that a device has.
    pub(crate) total: usize,
    pub(crate) reserved: Reserved,
    /// What was mapped in one go: address and length.
    pieces: BTreeMap<u64, usize>,
}

impl Memory {
    pub(crate) fn new(total: usize) -> Self {
        Memory {
            blocks: BTreeMap::new(),
            next: FIRST,
            used: BTreeMap::new(),
            total,
            reserved: Reserved::default(),
            pieces: BTreeMap::new(),
        }
    }

    pub(crate) fn used(&self, device: i32) -> usize {
        self.used.get(&device).copied().unwrap_or(0)
    }

    /// Addresses for `len` bytes that nothing else will have.
    pub(crate) fn reserve(&mut self, len: usize) -> u64 {
        let address = self.next;
        // A page between allocations, so that no overrun reaches a neighbour.
        self.next += (len as u64).next_multiple_of(ALIGN) + 4096;
        address
    }

    /// `len` fresh bytes, or `None` where the device has no more.
    pub(crate) fn allocate(&mut self, device: i32, len: usize) -> Option<u64> {
        // As the devices do: rounded up to 32, and 32 more.
        let taken = len.checked_next_multiple_of(32)?.checked_add(32)?;
        if !self.take(device, taken) {
            return None;
        }
        let address = self.reserve(len);
        self.blocks.insert(address, Block { bytes: vec![FRESH; len], device, mapped: false });
        Some(address)
    }

    /// Counts bytes as used; `false` where the device has no more.
    pub(crate) fn take(&mut self, device: i32, len: usize) -> bool {
        let used = self.used(device);
        let enough = used.checked_add(len).is_some_and(|n| n <= self.total);
        if enough {
            self.used.insert(device, used + len);
        }
        enough
    }

    /// Counts bytes as no longer used.
    pub(crate) fn give(&mut self, device: i32, len: usize) {
        if let Some(used) = self.used.get_mut(&device) {
            *used -= len;
        }
    }

    /// Fresh bytes at reserved addresses, which were counted when they were allocated. What is mapped side by side is one.
    pub(crate) fn map(&mut self, device: i32, address: u64, len: usize) {
        self.pieces.insert(address, len);
        if let Some((&start, block)) = self.blocks.range_mut(..address).next_back()
            && block.mapped
            && start + block.bytes.len() as u64 == address
        {
            block.bytes.resize(block.bytes.len() + len, FRESH);
            return;
        }
        self.blocks.insert(address, Block { bytes: vec![FRESH; len], device, mapped: true });
    }

    /// The addresses that were mapped together, from this one on.
    pub(crate) fn piece(&self, address: u64) -> Option<Range<u64>> {
        self.pieces.get(&address).map(|&len| address..address + len as u64)
    }

    /// Takes what was mapped there away again.
    pub(crate) fn unmap(&mut self, address: u64) {
        let Some(len) = self.pieces.remove(&address) else { return };
        let Some((start, range)) = self.find(address, len) else { return };
        let Some(mut block) = self.blocks.remove(&start) else { return };
        let tail = block.bytes.split_off(range.end);
        block.bytes.truncate(range.start);
        let device = block.device;
        if !block.bytes.is_empty() {
            self.blocks.insert(start, block);
        }
        if !tail.is_empty() {
            self.blocks.insert(address + len as u64, Block { bytes: tail, device, mapped: true });
        }
    }

    /// Whether an allocation begins there.
    pub(crate) fn is_start(&self, address: u64) -> bool {
        self.blocks.contains_key(&address)
    }

    /// The addresses of the allocation that begins there.
    pub(crate) fn extent(&self, address: u64) -> Option<Range<u64>> {
        self.blocks.get(&address).map(|b| address..address + b.bytes.len() as u64)
    }

    /// Gives back the allocation that begins there; `false` where none does.
    pub(crate) fn free(&mut self, address: u64) -> bool {
        let Some(block) = self.blocks.get(&address).filter(|b| !b.mapped) else { return false };
        let (device, taken) = (block.device, block.bytes.len().next_multiple_of(32) + 32);
        self.blocks.remove(&address);
        self.give(device, taken);
        true
    }

    /// Live allocations: address and length.
    pub(crate) fn live(&self) -> impl Iterator<Item = (u64, usize)> + '_ {
        self.blocks.iter().map(|(&a, b)| (a, b.bytes.len()))
    }

    /// Whether the bytes lie within one allocation.
    pub(crate) fn holds(&self, address: u64, len: usize) -> bool {
        self.find(address, len).is_some()
    }

    /// The device of the allocation that the address lies in.
    pub(crate) fn device_of(&self, address: u64) -> Option<i32> {
        self.find(address, 0).map(|(start, _)| self.blocks[&start].device)
    }

    /// The start of the allocation that holds these bytes, and where in it they are.
    fn find(&self, address: u64, len: usize) -> Option<(u64, Range<usize>)> {
        let (&start, block) = self.blocks.range(..=address).next_back()?;
        let from = (address - start) as usize;
        let end = from.checked_add(len)?;
        (end <= block.bytes.len()).then_some((start, from..end))
    }

    /// Bytes of one allocation.
    pub(crate) fn read(&self, address: u64, len: usize) -> Result<&[u8], Fault> {
        let (start, range) = self.find(address, len).ok_or_else(|| outside(address, len))?;
        Ok(&self.blocks[&start].bytes[range])
    }

    /// Bytes of one allocation, to be written.
    pub(crate) fn write(&mut self, address: u64, len: usize) -> Result<&mut [u8], Fault> {
        let (start, range) = self.find(address, len).ok_or_else(|| outside(address, len))?;
        let block = self.blocks.get_mut(&start).ok_or_else(|| outside(address, len))?;
        Ok(&mut block.bytes[range])
    }
}

fn outside(address: u64, len: usize) -> Fault {
    crate::plan::fault(format!("the device read or wrote {len} bytes at {address:#x}, which no allocation holds"))
}
