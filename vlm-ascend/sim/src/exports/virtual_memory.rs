//! Virtual memory.

use crate::abi::{Out, Ref, exports};
use crate::runtime::virtual_memory::GRANULARITY;
use crate::state::call;
use std::ffi::c_void;

exports! {
    fn aclrtReserveMemAddress(address: Out<*mut c_void>, len: usize, _alignment: usize, _expected: *mut c_void, _flags: u64) -> i32 {
        call("aclrtReserveMemAddress", |sim| {
            sim.ready("aclrtReserveMemAddress")?;
            let made = sim.reserve_addresses(len)?;
            address.put_handle(made)
        })
    }

    fn aclrtReleaseMemAddress(address: *mut c_void) -> i32 {
        call("aclrtReleaseMemAddress", |sim| sim.release_addresses(address as usize as u64))
    }

    fn aclrtMallocPhysical(handle: Out<*mut c_void>, len: usize, _properties: *const c_void, _flags: u64) -> i32 {
        call("aclrtMallocPhysical", |sim| {
            sim.ready("aclrtMallocPhysical")?;
            let device = sim.current_device("aclrtMallocPhysical")?;
            let made = sim.allocate_physical(device, len)?;
            handle.put_handle(made)
        })
    }

    fn aclrtFreePhysical(handle: Ref) -> i32 {
        call("aclrtFreePhysical", |sim| sim.free_physical(handle.id()))
    }

    fn aclrtMapMem(address: *mut c_void, len: usize, offset: usize, handle: Ref, _flags: u64) -> i32 {
        call("aclrtMapMem", |sim| sim.map_memory(address as usize as u64, len, offset, handle.id()))
    }

    fn aclrtUnmapMem(address: *mut c_void) -> i32 {
        call("aclrtUnmapMem", |sim| sim.unmap_memory(address as usize as u64))
    }

    fn aclrtMemGetAllocationGranularity(_properties: *const c_void, _option: i32, granularity: Out<usize>) -> i32 {
        call("aclrtMemGetAllocationGranularity", |_| granularity.put(GRANULARITY))
    }
}
