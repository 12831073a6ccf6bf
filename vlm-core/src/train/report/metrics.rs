//! Memory use of this process and clocks.

use std::time::{Duration, Instant};

/// Resident memory of this process, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryUse {
    /// Now.
    pub current: u64,
    /// The most there has been since the process started.
    pub peak: u64,
}

/// Resident memory of this process; `None` where the system does not tell through `/proc/self/status` (not Linux).
pub fn memory_use() -> Option<MemoryUse> {
    parse_status(&std::fs::read_to_string("/proc/self/status").ok()?)
}

fn parse_status(text: &str) -> Option<MemoryUse> {
    let field = |name: &str| {
        let line = text.lines().find_map(|l| l.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
    };
    Some(MemoryUse { current: field("VmRSS:")?, peak: field("VmHWM:")? })
}

/// Time since a run began, counting the time of the runs it continues.
#[derive(Clone, Copy, Debug)]
pub struct Elapsed {
    started: Instant,
    before: Duration,
}

impl Elapsed {
    /// Starts counting, `before` being what earlier parts of the run took.
    pub fn start(before: Duration) -> Self {
        Elapsed { started: Instant::now(), before }
    }

    /// Time of this part of the run.
    pub fn this_part(&self) -> Duration {
        self.started.elapsed()
    }

    /// Time of all parts.
    pub fn total(&self) -> Duration {
        self.before + self.this_part()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_the_status_file() {
        let text = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!(parse_status(text), Some(MemoryUse { current: 1 << 20, peak: 2 << 20 }));
        assert_eq!(parse_status("VmRSS:\t12 kB\n"), None);
        assert_eq!(parse_status("VmRSS: 99999999999999999999 kB\nVmHWM: 1 kB"), None);
        if cfg!(target_os = "linux") {
            let held = vec![1u8; 64 << 20];
            let now = memory_use().expect("Linux tells");
            assert!(now.current > 64 << 20 && now.peak >= now.current - (8 << 20), "{now:?} {}", held.len());
        }
        assert!(Elapsed::start(Duration::from_secs(9)).total() >= Duration::from_secs(9));
    }
}
