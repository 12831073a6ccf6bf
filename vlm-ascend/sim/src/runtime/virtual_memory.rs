//! Virtual memory: addresses that are reserved, and physical memory that is mapped to them.

use crate::objects::Object;
use crate::state::{Outcome, Sim, code, fail};
use std::collections::BTreeMap;
use std::ops::Range;

/// Physical memory comes in pieces of this size.
pub(crate) const GRANULARITY: usize = 2 << 20;

/// Physical memory (`aclrtDrvMemHandle`).
struct Physical {
    device: i32,
    len: usize,
    mapped: Option<u64>,
}

/// Reserved addresses: start and length.
#[derive(Debug, Default)]
pub(crate) struct Reserved(BTreeMap<u64, usize>);

impl Reserved {
    fn holds(&self, range: &Range<u64>) -> bool {
        self.0.range(..=range.start).next_back().is_some_and(|(&s, &n)| range.end <= s + n as u64)
    }
    /// How many reservations there are.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }
}

impl Sim {
    pub(crate) fn reserve_addresses(&mut self, len: usize) -> Outcome<u64> {
        if len == 0 || !len.is_multiple_of(GRANULARITY) {
            return fail(code::RT_PARAM_INVALID, format!("{len} bytes are no multiple of {GRANULARITY}"));
        }
        let address = self.memory.reserve(len);
        self.memory.reserved.0.insert(address, len);
        Ok(address)
    }

    pub(crate) fn release_addresses(&mut self, address: u64) -> Outcome {
        let Some(&len) = self.memory.reserved.0.get(&address) else {
            self.violation("aclrtReleaseMemAddress of addresses that are not reserved");
            return fail(code::RT_PARAM_INVALID, "nothing is reserved there");
        };
        if self.memory.live().any(|(a, _)| (address..address + len as u64).contains(&a)) {
            self.violation("aclrtReleaseMemAddress of addresses that are still mapped");
            return fail(code::RT_PARAM_INVALID, "the addresses are still mapped");
        }
        self.memory.reserved.0.remove(&address);
        Ok(())
    }

    pub(crate) fn allocate_physical(&mut self, device: i32, len: usize) -> Outcome<u64> {
        if len == 0 || !len.is_multiple_of(GRANULARITY) {
            return fail(code::RT_PARAM_INVALID, format!("{len} bytes are no multiple of {GRANULARITY}"));
        }
        if !self.memory.take(device, len) {
            return fail(code::NO_MEMORY, format!("{len} bytes of physical memory are not there"));
        }
        let physical = Physical { device, len, mapped: None };
        Ok(self.objects.add(Object::Other("physical memory", Box::new(physical))))
    }

    pub(crate) fn free_physical(&mut self, handle: u64) -> Outcome {
        let Some(p) = self.objects.other::<Physical>(handle) else {
            self.violation("aclrtFreePhysical of memory that is not there");
            return fail(code::INVALID_HANDLE, "no such physical memory");
        };
        if p.mapped.is_some() {
            self.violation("aclrtFreePhysical of memory that is still mapped");
            return fail(code::RT_PARAM_INVALID, "the memory is still mapped");
        }
        let (device, len) = (p.device, p.len);
        self.objects.remove(handle);
        self.memory.give(device, len);
        Ok(())
    }

    pub(crate) fn map_memory(&mut self, address: u64, len: usize, offset: usize, handle: u64) -> Outcome {
        let range = address..address + len as u64;
        let Some(p) = self.objects.other_mut::<Physical>(handle) else {
            return fail(code::INVALID_HANDLE, "no such physical memory");
        };
        if offset != 0 || len != p.len || p.mapped.is_some() || !self.memory.reserved.holds(&range) {
            return fail(
                code::RT_PARAM_INVALID,
                "a whole piece of physical memory is mapped once, to reserved addresses",
            );
        }
        p.mapped = Some(address);
        let device = p.device;
        self.memory.map(device, address, len);
        Ok(())
    }

    pub(crate) fn unmap_memory(&mut self, address: u64) -> Outcome {
        let Some(range) = self.memory.piece(address) else {
            self.violation("aclrtUnmapMem of addresses that are not mapped");
            return fail(code::RT_PARAM_INVALID, "nothing is mapped there");
        };
        if let Some(user) = self.streams.user_of(&range) {
            self.violation(format!("aclrtUnmapMem of memory that {user} still uses"));
        }
        self.memory.unmap(address);
        for handle in self.objects.physical() {
            if let Some(p) = self.objects.other_mut::<Physical>(handle)
                && p.mapped == Some(address)
            {
                p.mapped = None;
            }
        }
        Ok(())
    }
}
