//! The shim's messages as the workspace's errors.

use std::ffi::{CStr, c_char, c_int};
use vlm_core::{Error, ErrorKind};

/// Begins the line of a message that says what to do.
const REMEDY: &str = "\nremedy: ";
/// More of libtorch's messages does not help.
const MOST: usize = 600;

/// Room for a message.
pub(super) struct Message(Vec<c_char>);

impl Message {
    pub(super) fn new() -> Self {
        Message(vec![0; 4096])
    }

    pub(super) fn at(&mut self) -> *mut c_char {
        self.0.as_mut_ptr()
    }

    pub(super) fn room(&self) -> usize {
        self.0.len()
    }

    /// The error of a call that returned `code`.
    #[cold]
    pub(super) fn error(&self, op: &'static str, code: c_int) -> Error {
        // SAFETY: the room was zero and is never filled to its end by the shim: the text ends inside it.
        let text = unsafe { CStr::from_ptr(self.0.as_ptr()) }.to_string_lossy();
        of(op, code, &text)
    }
}

/// What a code and its message stand for.
fn of(op: &'static str, code: c_int, text: &str) -> Error {
    let (fact, remedy) = match text.split_once(REMEDY) {
        Some((fact, remedy)) => (fact, Some(remedy)),
        None => (text, None),
    };
    let fact = one_line(fact);
    let lower = fact.to_lowercase();
    let kind = match code {
        2 => ErrorKind::OutOfMemory,
        3 => ErrorKind::Device,
        4 => ErrorKind::Unsupported,
        _ if lower.contains("out of memory") || lower.contains("207001") => ErrorKind::OutOfMemory,
        _ if lower.starts_with("there is no npu:") => ErrorKind::Device,
        _ => ErrorKind::Backend,
    };
    let error = Error::new(kind, op, fact);
    match (remedy, kind) {
        (Some(remedy), _) => error.hint(one_line(remedy)),
        (None, ErrorKind::OutOfMemory) => {
            error.hint("use smaller batches, pictures or sequences, bf16 weights, or gradient checkpointing")
        }
        (None, ErrorKind::Unsupported) => {
            error.hint("torch_npu has no such operation: bring the tensor to the CPU first")
        }
        (None, _) => error,
    }
}

/// libtorch's and Python's messages have many lines; the first ones have the fact.
fn one_line(text: &str) -> String {
    let mut words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if words.len() > MOST {
        let end = (0..=MOST).rev().find(|&i| words.is_char_boundary(i)).unwrap_or(0);
        words.truncate(end);
        words.push('…');
    }
    let trimmed = words.trim_end_matches(['.', ' ', ';']);
    if trimmed.is_empty() { "libtorch failed without saying why".to_owned() } else { trimmed.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_remedy_is_the_hint() {
        let e = of("load torch_npu", 3, "torch_npu needs CANN: libhccl.so: cannot open\nremedy: install CANN");
        assert_eq!(e.kind(), ErrorKind::Device);
        assert_eq!(e.to_string(), "load torch_npu: torch_npu needs CANN: libhccl.so: cannot open; install CANN");
    }

    #[test]
    fn kinds_follow_code_and_text() {
        assert_eq!(of("alloc", 2, "NPU out of memory").kind(), ErrorKind::OutOfMemory);
        assert_eq!(of("alloc", 1, "NPU out of memory. Tried to allocate 2 GiB").kind(), ErrorKind::OutOfMemory);
        assert_eq!(of("to npu", 1, "there is no npu:7: torch_npu sees 2 devices").kind(), ErrorKind::Device);
        assert_eq!(of("empty cache", 4, "Python was not loaded").kind(), ErrorKind::Unsupported);
        assert_eq!(of("copy", 1, "").message(), "libtorch failed without saying why");
        assert!(of("copy", 1, &"x ".repeat(2000)).message().len() <= MOST + 4);
    }
}
