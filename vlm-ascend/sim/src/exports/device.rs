//! The library as a whole, devices and contexts.

use crate::abi::{Out, Ref, Text, exports};
use crate::runtime::joint::{Until, wait_for_others};
use crate::state::{call, code, fail, take_message, with};
use std::ffi::{CString, c_char, c_void};
use std::sync::OnceLock;

/// The parts of a version like `8.3.RC1`.
fn version_numbers(text: &str) -> [i32; 3] {
    let mut parts = text.split('.').map(|p| p.trim_start_matches(|c: char| !c.is_ascii_digit()).parse().unwrap_or(0));
    [parts.next().unwrap_or(0), parts.next().unwrap_or(0), parts.next().unwrap_or(0)]
}

fn kept(cell: &'static OnceLock<CString>, text: &str) -> *const c_char {
    cell.get_or_init(|| CString::new(text).unwrap_or_default()).as_ptr()
}

exports! {
    fn aclInit(_config: Text) -> i32 {
        call("aclInit", |sim| {
            if sim.initialized > 0 {
                return fail(code::REPEAT_INITIALIZE, "aclInit was called before");
            }
            sim.initialized = 1;
            sim.finalized = false;
            Ok(())
        })
    }

    fn aclFinalize() -> i32 {
        call("aclFinalize", |sim| {
            if sim.initialized == 0 {
                sim.violation("aclFinalize without aclInit");
                return fail(code::REPEAT_FINALIZE, "nothing is initialised");
            }
            sim.initialized = 0;
            sim.finalized = true;
            Ok(())
        })
    }

    fn aclnnInit(_config: Text) -> i32 {
        call("aclnnInit", |sim| {
            sim.initialized = sim.initialized.max(1);
            Ok(())
        })
    }

    fn aclnnFinalize() -> i32 {
        call("aclnnFinalize", |_| Ok(()))
    }

    fn aclGetRecentErrMsg() -> *const c_char {
        take_message()
    }

    fn aclAppLog() {}

    fn aclrtGetVersion(major: Out<i32>, minor: Out<i32>, patch: Out<i32>) -> i32 {
        call("aclrtGetVersion", |_| {
            // The version of the interface, not of CANN.
            major.put(1)?;
            minor.put(14)?;
            patch.put(0)
        })
    }

    fn aclsysGetVersionStr(package: Text, version: Out<[c_char; 128]>) -> i32 {
        call("aclsysGetVersionStr", |sim| {
            let known = package.get().is_some_and(|p| ["runtime", "toolkit", "cann", "opp"].contains(&p.as_str()));
            if !known {
                return fail(code::INVALID_PARAM, "no such package");
            }
            let mut text = [0; 128];
            for (to, from) in text.iter_mut().zip(sim.config.cann.bytes().take(127)) {
                *to = from as c_char;
            }
            version.put(text)
        })
    }

    fn aclsysGetVersionNum(_package: Text, version: Out<i32>) -> i32 {
        call("aclsysGetVersionNum", |sim| {
            let [major, minor, patch] = version_numbers(&sim.config.cann);
            version.put(major * 10_000_000 + minor * 100_000 + patch * 1000)
        })
    }

    fn aclrtGetSocName() -> *const c_char {
        static NAME: OnceLock<CString> = OnceLock::new();
        if with(|sim| sim.config.devices.is_empty()) {
            return std::ptr::null();
        }
        kept(&NAME, with(|sim| sim.chip().soc))
    }

    fn aclGetCannAttribute(attribute: i32, value: Out<i32>) -> i32 {
        call("aclGetCannAttribute", |sim| match attribute {
            // Infinities and NaN, BF16, compilation at run time.
            1 | 2 => value.put(i32::from(sim.chip().bf16)),
            0 => value.put(-1),
            3 => value.put(0),
            _ => fail(code::INVALID_PARAM, "no such attribute"),
        })
    }

    fn aclGetDeviceCapability(_device: u32, info: i32, value: Out<i64>) -> i32 {
        call("aclGetDeviceCapability", |_| match info {
            1 => value.put(20),
            2 => value.put(40),
            3 => value.put(192 << 20),
            _ => value.put(0),
        })
    }

    fn aclrtGetDeviceCount(count: Out<u32>) -> i32 {
        call("aclrtGetDeviceCount", |sim| count.put(sim.config.devices.len() as u32))
    }

    fn aclrtSetDevice(device: i32) -> i32 {
        call("aclrtSetDevice", |sim| {
            sim.ready("aclrtSetDevice")?;
            sim.set_device(device)
        })
    }

    fn aclrtResetDevice(device: i32) -> i32 {
        call("aclrtResetDevice", |sim| {
            sim.ready("aclrtResetDevice")?;
            sim.reset_device(device)
        })
    }

    fn aclrtGetDevice(device: Out<i32>) -> i32 {
        // Asking is how one finds out whether there is one: no violation.
        call("aclrtGetDevice", |sim| {
            let found = sim.current_device_if_any();
            found.map_or_else(|| fail(code::CONTEXT_NULL, "the thread has no device"), |d| device.put(d))
        })
    }

    fn aclrtCreateContext(context: Out<*mut c_void>, device: i32) -> i32 {
        call("aclrtCreateContext", |sim| {
            sim.ready("aclrtCreateContext")?;
            let handle = sim.create_context(device)?;
            context.put_handle(handle)
        })
    }

    fn aclrtDestroyContext(context: Ref) -> i32 {
        call("aclrtDestroyContext", |sim| sim.destroy_context(context.id()))
    }

    fn aclrtSetCurrentContext(context: Ref) -> i32 {
        call("aclrtSetCurrentContext", |sim| sim.set_current_context(context.id()))
    }

    fn aclrtGetCurrentContext(context: Out<*mut c_void>) -> i32 {
        call("aclrtGetCurrentContext", |sim| match sim.current_context_if_any() {
            Some(handle) => context.put_handle(handle),
            None => fail(code::CONTEXT_NULL, "the thread has no context"),
        })
    }

    fn aclrtSynchronizeDevice() -> i32 {
        wait_for_others(Until::Device, None);
        call("aclrtSynchronizeDevice", |sim| {
            sim.not_while_captured("aclrtSynchronizeDevice")?;
            let device = sim.current_device("aclrtSynchronizeDevice")?;
            sim.finish_device(device)
        })
    }

    fn aclrtSynchronizeDeviceWithTimeout(_milliseconds: i32) -> i32 {
        aclrtSynchronizeDevice()
    }

    fn aclrtSetSysParamOpt(option: i32, value: i64) -> i32 {
        call("aclrtSetSysParamOpt", |sim| sim.set_option(option, value))
    }

    fn aclrtCtxSetSysParamOpt(option: i32, value: i64) -> i32 {
        call("aclrtCtxSetSysParamOpt", |sim| {
            sim.current_context("aclrtCtxSetSysParamOpt")?;
            sim.set_option(option, value)
        })
    }

    fn aclrtSetDeviceSatMode(mode: i32) -> i32 {
        call("aclrtSetDeviceSatMode", |_| {
            if (0..=1).contains(&mode) { Ok(()) } else { fail(code::INVALID_PARAM, "the mode is 0 or 1") }
        })
    }

    fn aclrtDeviceCanAccessPeer(can: Out<i32>, device: i32, peer: i32) -> i32 {
        call("aclrtDeviceCanAccessPeer", |_| can.put(i32::from(device != peer)))
    }

    fn aclrtDeviceEnablePeerAccess(_peer: i32, _flags: u32) -> i32 {
        call("aclrtDeviceEnablePeerAccess", |_| Ok(()))
    }

    fn aclrtDeviceGetBareTgid(pid: Out<i32>) -> i32 {
        call("aclrtDeviceGetBareTgid", |_| pid.put(std::process::id() as i32))
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn versions_have_numbers() {
        assert_eq!(super::version_numbers("8.3.RC1"), [8, 3, 1]);
        assert_eq!(super::version_numbers("9.1.0"), [9, 1, 0]);
    }
}
