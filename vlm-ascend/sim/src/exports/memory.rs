//! Memory of devices and pinned memory of the host; copies.

use crate::abi::{Out, exports};
use crate::runtime::joint::{Until, wait_for_others};
use crate::runtime::stream::{Task, Touch, Work};
use crate::state::{Outcome, Sim, call, code, fail, with};
use std::ffi::c_void;
use std::sync::Arc;

/// `aclrtMemcpyKind`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    HostToHost,
    HostToDevice,
    DeviceToHost,
    DeviceToDevice,
}

fn number(address: *const c_void) -> u64 {
    address as usize as u64
}

impl Sim {
    fn allocate(&mut self, name: &'static str, len: usize) -> Outcome<u64> {
        self.ready(name)?;
        let device = self.current_device(name)?;
        self.not_while_captured(name)?;
        if len == 0 {
            return fail(code::INVALID_PARAM, format!("{name} of 0 bytes"));
        }
        let found = self.memory.allocate(device, len);
        found.map_or_else(
            || {
                let (used, total) = (self.memory.used(device), self.memory.total);
                fail(code::NO_MEMORY, format!("{name} of {len} bytes: {used} of {total} bytes are in use"))
            },
            Ok,
        )
    }

    fn free(&mut self, name: &'static str, address: u64) -> Outcome {
        if !self.memory.is_start(address) {
            self.violation(format!("{name} of {address:#x}, where no allocation begins"));
            return fail(code::INVALID_PARAM, "nothing was allocated there");
        }
        if let Some(range) = self.memory.extent(address)
            && let Some(user) = self.streams.user_of(&range)
        {
            self.violation(format!("{name} of memory that {user} still uses, which is queued"));
        }
        if self.memory.free(address) {
            return Ok(());
        }
        self.violation(format!("{name} of memory that is mapped, not allocated"));
        fail(code::INVALID_PARAM, "the memory is mapped")
    }

    /// What kind of copy it is, with the sides checked: an address of a device is none of the host.
    fn kind(&mut self, name: &str, kind: i32, dst: u64, src: u64, len: usize) -> Outcome<Kind> {
        let (to_device, from_device) = (self.memory.device_of(dst).is_some(), self.memory.device_of(src).is_some());
        let kind = match kind {
            0 => Kind::HostToHost,
            1 => Kind::HostToDevice,
            2 => Kind::DeviceToHost,
            3 => Kind::DeviceToDevice,
            4 => match (from_device, to_device) {
                (false, false) => Kind::HostToHost,
                (false, true) => Kind::HostToDevice,
                (true, false) => Kind::DeviceToHost,
                (true, true) => Kind::DeviceToDevice,
            },
            _ => return fail(code::INVALID_PARAM, format!("{name}: no such kind of copy")),
        };
        for (what, address, device) in [
            ("the source", src, matches!(kind, Kind::DeviceToHost | Kind::DeviceToDevice)),
            ("the destination", dst, matches!(kind, Kind::HostToDevice | Kind::DeviceToDevice)),
        ] {
            let held = self.memory.holds(address, len);
            let looks_like_device = self.memory.device_of(address).is_some() || address >> 40 == 0x12;
            if device && !held {
                self.violation(format!("{name}: {what} is to be {len} bytes of a device and is not: {address:#x}"));
                return fail(code::INVALID_PARAM, format!("{what} is no memory of a device"));
            }
            if !device && looks_like_device {
                self.violation(format!("{name}: {what} is to be memory of the host and is a device's: {address:#x}"));
                return fail(code::INVALID_PARAM, format!("{what} is no memory of the host"));
            }
        }
        Ok(kind)
    }

    fn copy_now(&mut self, kind: Kind, dst: u64, src: u64, len: usize) -> Outcome {
        match kind {
            Kind::HostToHost => {
                // SAFETY: the caller passes `len` readable and writable bytes of the host.
                unsafe { std::ptr::copy(src as usize as *const u8, dst as usize as *mut u8, len) };
            }
            Kind::HostToDevice => {
                // SAFETY: the caller passes `len` readable bytes of the host.
                let bytes = unsafe { std::slice::from_raw_parts(src as usize as *const u8, len) };
                self.memory.write(dst, len)?.copy_from_slice(bytes);
            }
            Kind::DeviceToHost => {
                let bytes = self.memory.read(src, len)?;
                // SAFETY: the caller passes `len` writable bytes of the host, which no memory of a device overlaps.
                unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), dst as usize as *mut u8, len) };
            }
            Kind::DeviceToDevice => {
                let bytes = self.memory.read(src, len)?.to_vec();
                self.memory.write(dst, len)?.copy_from_slice(&bytes);
            }
        }
        Ok(())
    }
}

exports! {
    fn aclrtMalloc(address: Out<*mut c_void>, len: usize, _policy: i32) -> i32 {
        call("aclrtMalloc", |sim| {
            let found = sim.allocate("aclrtMalloc", len)?;
            address.put_handle(found)
        })
    }

    fn aclrtMallocAlign32(address: Out<*mut c_void>, len: usize, _policy: i32) -> i32 {
        call("aclrtMallocAlign32", |sim| {
            let found = sim.allocate("aclrtMallocAlign32", len)?;
            address.put_handle(found)
        })
    }

    fn aclrtFree(address: *mut c_void) -> i32 {
        call("aclrtFree", |sim| sim.free("aclrtFree", number(address)))
    }

    fn aclrtFreeWithDevSync(address: *mut c_void) -> i32 {
        wait_for_others(Until::Device, None);
        call("aclrtFreeWithDevSync", |sim| {
            let device = sim.current_device("aclrtFreeWithDevSync")?;
            let waited = sim.finish_device(device);
            sim.free("aclrtFreeWithDevSync", number(address))?;
            waited
        })
    }

    fn aclrtMallocHost(address: Out<*mut c_void>, len: usize) -> i32 {
        call("aclrtMallocHost", |sim| {
            sim.ready("aclrtMallocHost")?;
            sim.current_context("aclrtMallocHost")?;
            match sim.host.allocate(len) {
                Some(found) if len > 0 => address.put(found as *mut c_void),
                _ => fail(code::NO_MEMORY, format!("{len} bytes of pinned memory are not there")),
            }
        })
    }

    fn aclrtFreeHost(address: *mut c_void) -> i32 {
        call("aclrtFreeHost", |sim| {
            let at = address as usize;
            let len = sim.host.length(at).unwrap_or(0);
            if let Some(user) = sim.streams.user_of_host(&(at..at + len)) {
                sim.violation(format!("aclrtFreeHost of memory that {user} still uses, which is queued"));
                // It would be read or written after it is gone.
                return fail(code::INVALID_PARAM, "the memory is in use");
            }
            if sim.host.free(at) {
                return Ok(());
            }
            sim.violation("aclrtFreeHost of memory that is no pinned allocation");
            fail(code::INVALID_PARAM, "no pinned memory begins there")
        })
    }

    fn aclrtHostRegister(address: *mut c_void, len: u64, _kind: i32, device: Out<*mut c_void>) -> i32 {
        call("aclrtHostRegister", |sim| {
            sim.host.register(address as usize, len as usize);
            device.offer(address);
            Ok(())
        })
    }

    fn aclrtHostUnregister(address: *mut c_void) -> i32 {
        call("aclrtHostUnregister", |sim| {
            if sim.host.unregister(address as usize) { Ok(()) } else { fail(code::INVALID_PARAM, "it was not registered") }
        })
    }

    fn aclrtGetMemInfo(_attribute: i32, free: Out<usize>, total: Out<usize>) -> i32 {
        call("aclrtGetMemInfo", |sim| {
            let device = sim.current_device("aclrtGetMemInfo")?;
            free.put(sim.memory.total - sim.memory.used(device))?;
            total.put(sim.memory.total)
        })
    }

    fn aclrtMemcpy(dst: *mut c_void, most: usize, src: *const c_void, len: usize, kind: i32) -> i32 {
        call("aclrtMemcpy", |sim| {
            sim.ready("aclrtMemcpy")?;
            sim.current_context("aclrtMemcpy")?;
            sim.not_while_captured("aclrtMemcpy")?;
            if len > most {
                return fail(code::INVALID_PARAM, format!("aclrtMemcpy of {len} bytes to a place of {most}"));
            }
            let kind = sim.kind("aclrtMemcpy", kind, number(dst), number(src), len)?;
            // Waits for nothing that is queued: that is the caller's business.
            sim.copy_now(kind, number(dst), number(src), len)
        })
    }

    fn aclrtMemcpyAsync(
        dst: *mut c_void,
        most: usize,
        src: *const c_void,
        len: usize,
        kind: i32,
        stream: crate::abi::Ref,
    ) -> i32 {
        let name = "aclrtMemcpyAsync";
        if with(|sim| sim.memory.device_of(number(src)).is_some() && sim.memory.device_of(number(dst)).is_none())
            && with(|sim| !sim.host.is_pinned(dst as usize, len))
        {
            // It waits for the stream.
            wait_for_others(Until::Stream(stream.id()), None);
        }
        call(name, |sim| {
            sim.ready(name)?;
            let stream = sim.stream_of_call(stream.id(), name)?;
            if len > most {
                return fail(code::INVALID_PARAM, format!("{name} of {len} bytes to a place of {most}"));
            }
            let (to, from) = (number(dst), number(src));
            let kind = sim.kind(name, kind, to, from, len)?;
            let touch = |address| Touch { address, len };
            let (work, touches) = match kind {
                Kind::HostToHost => return fail(code::NOT_SUPPORTED, format!("{name} from host to host")),
                Kind::HostToDevice if sim.host.is_pinned(from as usize, len) => {
                    (Work::Upload { from: from as usize, to, len }, vec![touch(to)])
                }
                Kind::HostToDevice => {
                    // SAFETY: the caller passes `len` readable bytes of the host.
                    let bytes: Arc<[u8]> = unsafe { std::slice::from_raw_parts(from as usize as *const u8, len) }.into();
                    (Work::UploadKept { bytes, to }, vec![touch(to)])
                }
                Kind::DeviceToHost => {
                    let pinned = sim.host.is_pinned(to as usize, len);
                    if !pinned {
                        // As the devices do: with memory that is not pinned the call waits.
                        sim.not_while_captured(name)?;
                        sim.finish_stream(stream)?;
                        return sim.copy_now(kind, to, from, len);
                    }
                    (Work::Download { from, to: to as usize, len }, vec![touch(from)])
                }
                Kind::DeviceToDevice => (Work::Copy { from, to, len }, vec![touch(from), touch(to)]),
            };
            sim.enqueue(stream, Task { name, work, touches: touches.into() })
        })
    }

    fn aclrtMemset(dst: *mut c_void, most: usize, value: i32, len: usize) -> i32 {
        call("aclrtMemset", |sim| {
            sim.ready("aclrtMemset")?;
            sim.current_context("aclrtMemset")?;
            sim.not_while_captured("aclrtMemset")?;
            if len > most || !sim.memory.holds(number(dst), len) {
                sim.violation("aclrtMemset of something that is no memory of a device");
                return fail(code::INVALID_PARAM, "aclrtMemset reaches outside of memory");
            }
            sim.memory.write(number(dst), len)?.fill(value as u8);
            Ok(())
        })
    }

    fn aclrtMemsetAsync(dst: *mut c_void, most: usize, value: i32, len: usize, stream: crate::abi::Ref) -> i32 {
        let name = "aclrtMemsetAsync";
        call(name, |sim| {
            let stream = sim.stream_of_call(stream.id(), name)?;
            let to = number(dst);
            if len > most || !sim.memory.holds(to, len) {
                sim.violation(format!("{name} of something that is no memory of a device"));
                return fail(code::INVALID_PARAM, format!("{name} reaches outside of memory"));
            }
            let work = Work::Set { to, len, value: value as u8 };
            sim.enqueue(stream, Task { name, work, touches: [Touch { address: to, len }].into() })
        })
    }
}
