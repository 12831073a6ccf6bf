//! AscendCL's error codes and messages as the workspace's errors.

use crate::library::Library;
use std::ffi::CStr;
use vlm_ascend_sys::Functions;
use vlm_core::{Error, ErrorKind, Result};

pub(crate) const REPEAT_INITIALIZE: i32 = 100_002;
pub(crate) const STUB: i32 = 100_039;
pub(crate) const FIND_KERNEL: i32 = 561_003;

/// The message that the failing call left in this thread, which is forgotten by asking.
pub(crate) fn recent(functions: &Functions) -> Option<String> {
    let ask = functions.aclGetRecentErrMsg?;
    // SAFETY: the call takes nothing; what it returns is null or a C string that is valid until the next call in this thread, and it
    // is copied at once.
    let text = unsafe {
        let text = ask();
        if text.is_null() {
            return None;
        }
        CStr::from_ptr(text).to_string_lossy().into_owned()
    };
    let text = fact(&text);
    (!text.is_empty()).then_some(text)
}

/// The first lines that say something: the vendor's messages go on with traces and advice.
fn fact(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|l| !l.is_empty());
    let useful = lines.take_while(|l| !l.starts_with("TraceBack") && !l.starts_with("Possible Cause"));
    let mut joined = useful.take(3).collect::<Vec<_>>().join(" ");
    if joined.len() > 400 {
        let end = (0..=400).rev().find(|&i| joined.is_char_boundary(i)).unwrap_or(0);
        joined.truncate(end);
        joined.push('…');
    }
    joined
}

/// What a code stands for.
fn kind(code: i32) -> ErrorKind {
    match code {
        207_001 | 200_000 => ErrorKind::OutOfMemory,
        107_001 | 107_002 | 107_003 | 207_004 | 207_006 | STUB => ErrorKind::Device,
        100_003 | 100_006 | 100_013..=100_015 => ErrorKind::Format,
        100_017 | 100_018 => ErrorKind::Shape,
        161_002 | FIND_KERNEL | 200_001 | 200_006 | 207_000 => ErrorKind::Unsupported,
        507_000..=507_999 => ErrorKind::DeviceLost,
        _ => ErrorKind::Backend,
    }
}

/// The name of a code, where people know it.
fn name(code: i32) -> &'static str {
    match code {
        100_000 => "invalid parameter",
        100_001 => "not initialised",
        100_003 => "invalid file",
        100_006 | 100_013..=100_015 => "no model that can be loaded",
        100_011 => "no such model",
        100_017 => "inputs do not fit the model",
        100_018 => "outputs do not fit the model",
        100_019 => "the model has no gears",
        STUB => "stub library",
        107_000 => "invalid parameter of the runtime",
        107_001 => "invalid device",
        107_002 => "no current context",
        107_003 => "stream of another context",
        107_017 => "invalid handle",
        107_019 | 107_020 => "timeout",
        200_000 | 207_001 => "out of memory",
        207_000 => "not supported",
        207_003 => "overflow",
        207_004 => "no device",
        207_006 => "no permission",
        207_008 => "no stream resources",
        161_001 => "null argument",
        161_002 => "argument not taken",
        361_001 => "runtime error",
        FIND_KERNEL => "no kernel",
        561_107 => "no operator package",
        561_112 => "no kernel package",
        507_000..=507_999 => "error on the device",
        _ => "unknown",
    }
}

/// What to do about a code.
pub(crate) fn remedy(code: i32) -> &'static str {
    match code {
        STUB => "take lib64/stub and devlib out of LD_LIBRARY_PATH",
        100_003 | 100_006 | 100_013..=100_015 => {
            "an OM runs on the chip it was converted for: convert the ONNX model with atc and --soc_version of this chip"
        }
        107_001 => "use a device that is there; `doctor` lists them, and ASCEND_RT_VISIBLE_DEVICES chooses among them",
        207_004 => {
            "`doctor` says what is missing: the driver, the device nodes /dev/davinci*, or their mounts into the container"
        }
        207_006 => "give the user the group of /dev/davinci* (HwHiAiUser): docker run --group-add GID",
        200_000 | 207_001 => "use smaller batches, pictures or sequences, bf16 weights, or gradient checkpointing",
        161_002 => "wrap the device in the Fallback layer, or cast to another element type first",
        FIND_KERNEL | 561_112 => "install the CANN kernels package for this chip (Ascend-cann-kernels-<chip>)",
        561_107 => "source CANN's set_env.sh, which sets ASCEND_OPP_PATH",
        507_000..=507_999 => {
            "the device is unusable for this process: start it again; VLM_ASCEND_BLOCKING=1 names the operation that failed"
        }
        _ => "`doctor` shows driver, CANN and chip",
    }
}

/// The error of a call that returned `code`, with what the libraries said in this thread.
#[cold]
pub(crate) fn of(library: &Library, op: &'static str, code: i32) -> Error {
    let said = recent(library.functions());
    let message = match &said {
        Some(text) => format!("{} ({code}): {text}", name(code)),
        None => format!("{} ({code})", name(code)),
    };
    Error::new(kind(code), op, message).hint(remedy(code))
}

/// `Ok` for 0.
#[inline]
pub(crate) fn check(library: &Library, op: &'static str, code: i32) -> Result<()> {
    if code == 0 { Ok(()) } else { Err(of(library, op, code)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_messages_are_cut_to_the_fact() {
        let text = "EZ1001: [PID: 7] dtype of self is wrong.\n\nTraceBack (most recent call last):\n  a\n  b";
        assert_eq!(fact(text), "EZ1001: [PID: 7] dtype of self is wrong.");
        assert!(fact(&"x".repeat(1000)).len() <= 404);
    }

    #[test]
    fn codes_have_kinds_and_remedies() {
        assert_eq!(kind(207_001), ErrorKind::OutOfMemory);
        assert_eq!(kind(507_015), ErrorKind::DeviceLost);
        assert_eq!(kind(561_003), ErrorKind::Unsupported);
        assert!(remedy(561_112).contains("kernels") && remedy(207_004).contains("/dev/davinci"));
    }
}
