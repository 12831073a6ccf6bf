//! Memory in use.

/// The most resident memory this process ever had, in MiB; 0 where the system does not tell.
pub fn peak_rss_mib() -> f64 {
    field("VmHWM:")
}

/// The resident memory of this process now, in MiB; 0 where the system does not tell.
pub fn rss_mib() -> f64 {
    field("VmRSS:")
}

/// Lets [`peak_rss_mib`] begin anew from what is resident now, where the system can.
pub fn reset_peak_rss() {
    // Linux: "5" sets the peak back. Elsewhere the peak stays what it was.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

fn field(name: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix(name));
    let kib: f64 = line.and_then(|l| l.trim().trim_end_matches("kB").trim().parse().ok()).unwrap_or(0.0);
    kib / 1024.0
}
