//! libtorch's errors, reduced to the fact.
//!
//! libtorch throws the message and a C++ backtrace of about 3 KB in one string. Of that the first sentences say what
//! happened; the rest is about libtorch's own insides.

use tch::TchError;
use vlm_core::{Error, ErrorKind, Result};

/// A result of tch as one of ours: `tensor.f_add(&other).of("binary")?`.
pub(crate) trait Of<T> {
    /// The value, or the error as one of the operation `op`.
    fn of(self, op: &'static str) -> Result<T>;
}

impl<T> Of<T> for std::result::Result<T, TchError> {
    #[inline]
    fn of(self, op: &'static str) -> Result<T> {
        self.map_err(|e| reduce(op, e))
    }
}

#[cold]
fn reduce(op: &'static str, error: TchError) -> Error {
    match error {
        TchError::Torch(text) => from_text(op, &text),
        other => from_text(op, &other.to_string()),
    }
}

/// The error that a message of libtorch stands for.
#[cold]
pub(crate) fn from_text(op: &'static str, text: &str) -> Error {
    let fact = fact(text);
    let lower = fact.to_lowercase();
    let any = |signs: &[&str]| signs.iter().any(|s| lower.contains(s));
    if any(&["out of memory", "can't allocate memory", "not enough memory", "tried to allocate"]) {
        return out_of_memory(op, &fact);
    }
    if any(&LOST) {
        return Error::new(ErrorKind::DeviceLost, op, fact).hint(
            "the device is unusable for this process: start it again; CUDA_LAUNCH_BLOCKING=1 names the call that failed",
        );
    }
    if any(&["could not run", "not implemented for"]) {
        return Error::new(ErrorKind::Unsupported, op, fact)
            .hint("wrap the device in the Fallback layer, or cast to another element type first");
    }
    if any(&["no nvidia driver", "driver on your system is too old", "no cuda gpus", "no cuda-capable device"]) {
        return Error::new(ErrorKind::Device, op, fact).hint("`doctor` says what is missing and the remedy");
    }
    Error::new(ErrorKind::Backend, op, fact)
}

/// Parts of messages after which a CUDA context is gone.
const LOST: [&str; 9] = [
    "device-side assert",
    "illegal memory access",
    "illegal instruction",
    "misaligned address",
    "unspecified launch failure",
    "uncorrectable ecc",
    "cuda error: unknown error",
    "device is lost",
    "gpu has fallen off the bus",
];

fn out_of_memory(op: &'static str, fact: &str) -> Error {
    let mut error = Error::new(ErrorKind::OutOfMemory, op, fact);
    if let Some(wanted) = size_after(fact, "tried to allocate") {
        error = error.with("asked for", wanted);
    }
    for (key, before) in [("free", "of which"), ("in use", "this process has"), ("in use by libtorch", "memory in use")]
    {
        if let Some(size) = size_after(fact, before) {
            error = error.with(key, size);
        }
    }
    error.hint("use smaller batches, pictures or sequences, bf16 weights, or gradient checkpointing")
}

/// The number and unit that follow `words`, whatever their case: `2.00 GiB`, `1024 bytes`.
fn size_after(text: &str, words: &str) -> Option<String> {
    let at = text.to_lowercase().find(words)? + words.len();
    let mut rest = text.get(at..)?.split_whitespace().skip_while(|w| !w.starts_with(|c: char| c.is_ascii_digit()));
    let (number, unit) = (rest.next()?, rest.next()?.trim_end_matches(['.', ',']));
    let number = number.trim_end_matches('.');
    (number.parse::<f64>().is_ok()
        && (unit.eq_ignore_ascii_case("bytes") || unit.ends_with('B') || unit.starts_with("byte")))
    .then(|| format!("{number} {unit}"))
}

/// The first sentences: no backtrace, no place in libtorch's source, no list of kernels, no advice for Python.
fn fact(text: &str) -> String {
    const ENDS: [&str; 7] = [
        "Exception raised from",
        "C++ CapturedTraceback",
        "\nframe #",
        "This could be because the operator",
        "CUDA kernel errors might be asynchronously",
        "Device-side assertion tracking",
        "See documentation for Memory Management",
    ];
    let cut = ENDS.iter().filter_map(|e| text.find(e)).min().unwrap_or(text.len());
    let mut words = text[..cut].split_whitespace().collect::<Vec<_>>().join(" ");
    // `[enforce fail at alloc_cpu.cpp:121] .` and `[W…]`: where libtorch noticed.
    while words.starts_with('[') {
        let Some(end) = words.find(']') else { break };
        words = words[end + 1..].trim_start_matches([' ', '.']).to_owned();
    }
    let most = 400;
    if words.len() > most {
        let end = (0..=most).rev().find(|&i| words.is_char_boundary(i)).unwrap_or(0);
        words.truncate(end);
        words.push('…');
    }
    let trimmed = words.trim_end_matches(['.', ' ', ';']);
    if trimmed.is_empty() { "libtorch failed without saying why".to_owned() } else { trimmed.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str =
        "\nException raised from make_error at ../aten/src/x.cpp:12 (most recent call first):\nframe #0: c10::Error\n";

    fn of(text: &str) -> Error {
        from_text("matmul", &format!("{text}{TRACE}"))
    }

    #[test]
    fn a_long_message_becomes_one_line() {
        let e = of("mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)");
        let text = e.to_string();
        assert!(text.contains("(2x3 and 4x5)") && !text.contains("frame") && !text.contains('\n'), "{text}");
        assert_eq!(e.kind(), ErrorKind::Backend);
    }

    #[test]
    fn out_of_memory_has_its_sizes() {
        let e = of(
            "[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate memory: you tried to allocate 4611686018427387904 bytes. Error code 12 (Cannot allocate memory)",
        );
        assert_eq!(e.kind(), ErrorKind::OutOfMemory);
        assert!(e.to_string().contains("asked for: 4611686018427387904 bytes"), "{e}");
        let e = of(
            "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 79.10 GiB of which 10.25 GiB is free. Process 4 has 68.84 GiB memory in use.",
        );
        assert_eq!(e.kind(), ErrorKind::OutOfMemory);
        let text = e.to_string();
        assert!(text.contains("asked for: 20.00 GiB") && text.contains("free: 10.25 GiB"), "{text}");
    }

    #[test]
    fn kinds_follow_the_message() {
        for (text, kind) in [
            ("CUDA error: device-side assert triggered", ErrorKind::DeviceLost),
            ("CUDA error: an illegal memory access was encountered", ErrorKind::DeviceLost),
            ("\"addmm_cuda\" not implemented for 'Long'", ErrorKind::Unsupported),
            ("Found no NVIDIA driver on your system. Please check", ErrorKind::Device),
            ("", ErrorKind::Backend),
        ] {
            assert_eq!(of(text).kind(), kind, "{text}");
        }
    }
}
