//! HCCL's codes as the workspace's errors.

use crate::library::Library;
use std::ffi::CStr;
use vlm_core::{Error, ErrorKind, Result};

/// The names of `HcclResult`'s numbers.
const NAMES: [&str; 25] = [
    "HCCL_SUCCESS",
    "HCCL_E_PARA",
    "HCCL_E_PTR",
    "HCCL_E_MEMORY",
    "HCCL_E_INTERNAL",
    "HCCL_E_NOT_SUPPORT",
    "HCCL_E_NOT_FOUND",
    "HCCL_E_UNAVAIL",
    "HCCL_E_SYSCALL",
    "HCCL_E_TIMEOUT",
    "HCCL_E_OPEN_FILE_FAILURE",
    "HCCL_E_TCP_CONNECT",
    "HCCL_E_ROCE_CONNECT",
    "HCCL_E_TCP_TRANSFER",
    "HCCL_E_ROCE_TRANSFER",
    "HCCL_E_RUNTIME",
    "HCCL_E_DRV",
    "HCCL_E_PROFILING",
    "HCCL_E_CCE",
    "HCCL_E_NETWORK",
    "HCCL_E_AGAIN",
    "HCCL_E_REMOTE",
    "HCCL_E_SUSPENDING",
    "HCCL_E_OPRETRY_FAIL",
    "HCCL_E_OOM",
];

fn name(code: i32) -> &'static str {
    usize::try_from(code).ok().and_then(|c| NAMES.get(c)).copied().unwrap_or("an unknown HCCL error")
}

fn kind(code: i32) -> ErrorKind {
    match code {
        3 | 24 => ErrorKind::OutOfMemory,
        5 => ErrorKind::Unsupported,
        21..=23 => ErrorKind::DeviceLost,
        _ => ErrorKind::Backend,
    }
}

fn remedy(code: i32) -> &'static str {
    match code {
        1 | 2 => {
            "give all ranks the same root information and number of ranks, and each a number and a device of its own"
        }
        3 | 24 => "set HCCL_BUFFSIZE lower: every group takes twice as many MiB of each device",
        5 => "cast to f32 or i32 first",
        9 | 11 | 12 => {
            "see whether all ranks run; HCCL_CONNECT_TIMEOUT and HCCL_EXEC_TIMEOUT are the seconds to wait for them"
        }
        13 | 14 | 19 => "see whether the ranks reach each other: HCCL_IF_IP and HCCL_SOCKET_IFNAME choose the network",
        21..=23 => "look at what the other ranks say first, then start all again",
        _ => "`doctor` shows driver, CANN and chip",
    }
}

/// HCCL's own words.
fn words(library: &Library, code: i32) -> Option<String> {
    let ask = library.functions().HcclGetErrorString?;
    // SAFETY: the call takes a number and returns null or a C string that stays.
    let text = unsafe { ask(code as _) };
    if text.is_null() {
        return None;
    }
    // SAFETY: not null, see above.
    Some(unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()).filter(|t| !t.is_empty())
}

#[cold]
fn of(library: &Library, op: &'static str, code: i32) -> Error {
    let said = crate::error::recent(library.functions()).or_else(|| words(library, code));
    let message = match said {
        Some(text) => format!("{} ({code}): {text}", name(code)),
        None => format!("{} ({code})", name(code)),
    };
    Error::new(kind(code), op, message).hint(remedy(code))
}

/// `Ok` for 0.
pub(super) fn check(library: &Library, op: &'static str, code: i32) -> Result<()> {
    if code == 0 { Ok(()) } else { Err(of(library, op, code)) }
}

/// What is said where HCCL is not there, or too old.
#[cold]
pub(super) fn absent(library: &Library, function: &'static str) -> Error {
    let of_hccl = |asked: &str| asked.contains("libhccl.so") || asked.contains("libhcomm.so");
    if library.files().iter().any(|f| of_hccl(f)) {
        return crate::library::no_function(function);
    }
    let mut error = Error::new(ErrorKind::Unsupported, function, "there is no HCCL: libhccl.so does not load");
    for a in library.attempts().iter().filter(|a| of_hccl(&a.asked) && a.problem.is_some()).take(3) {
        error = error.with("tried", a.to_string());
    }
    error.hint("install CANN's toolkit, which has it, and source its set_env.sh; a single device needs none")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_names_kinds_and_remedies() {
        assert_eq!((name(9), name(24), name(99)), ("HCCL_E_TIMEOUT", "HCCL_E_OOM", "an unknown HCCL error"));
        assert_eq!((kind(5), kind(21), kind(9)), (ErrorKind::Unsupported, ErrorKind::DeviceLost, ErrorKind::Backend));
        assert!(remedy(9).contains("HCCL_CONNECT_TIMEOUT") && remedy(3).contains("HCCL_BUFFSIZE"));
    }
}
