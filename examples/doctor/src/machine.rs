//! Facts about the machine, from the system's own files.

use serde_json::{Value, json};

/// Processor, cores, memory; `null` for what the system does not tell.
pub(crate) fn facts() -> Value {
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let mib = |name: &str| -> Option<u64> {
        let line = meminfo.lines().find(|l| l.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib >> 10)
    };
    let model = cpuinfo.lines().find(|l| l.starts_with("model name")).and_then(|l| l.split(':').nth(1));
    json!({
        "os": std::env::consts::OS,
        "architecture": std::env::consts::ARCH,
        "processor": model.map(str::trim),
        "cores": std::thread::available_parallelism().ok().map(std::num::NonZero::get),
        "memory_mib": mib("MemTotal:"),
        "memory_available_mib": mib("MemAvailable:"),
        "huge_pages": std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled").ok().as_deref().and_then(chosen),
    })
}

/// The word in brackets: `always [madvise] never`.
fn chosen(text: &str) -> Option<&str> {
    text.split('[').nth(1)?.split(']').next()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_chosen_word_is_the_one_in_brackets() {
        assert_eq!(super::chosen("always [madvise] never\n"), Some("madvise"));
        assert_eq!(super::chosen("always"), None);
    }
}
