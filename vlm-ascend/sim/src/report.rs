//! What the simulator saw: calls, violations, leaks.
#![allow(clippy::print_stderr)] // What it is for: nobody shall take it for an NPU.

use crate::state::{Sim, with};
use std::collections::BTreeMap;
use std::fmt::Write;

/// At most this many violations are kept in words.
const KEPT: usize = 50;

/// Counters and violations.
#[derive(Debug, Default)]
pub(crate) struct Report {
    calls: BTreeMap<&'static str, u64>,
    /// Tasks that were put on streams, by name.
    pub(crate) tasks: BTreeMap<&'static str, u64>,
    violations: Vec<String>,
    pub(crate) violation_count: u64,
    /// Tensors whose storage does not begin at a multiple of 32 bytes.
    pub(crate) unaligned: u64,
    /// Tensors whose view reaches beyond the storage that was described; violations if the simulator is strict.
    pub(crate) beyond_storage: u64,
}

impl Report {
    pub(crate) fn called(&mut self, name: &'static str) {
        *self.calls.entry(name).or_default() += 1;
    }

    pub(crate) fn violation(&mut self, text: String) {
        self.violation_count += 1;
        if self.violations.len() < KEPT {
            eprintln!("VLM ASCEND SIMULATOR: VIOLATION: {text}");
            self.violations.push(text);
        }
    }

    pub(crate) fn clear_counts(&mut self) {
        self.calls.clear();
        self.tasks.clear();
    }
}

/// The text as a JSON string.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if (c as u32) < 32 => _ = write!(out, "\\u{:04x}", c as u32),
            c => out.push(c),
        }
    }
    out + "\""
}

fn map(entries: impl Iterator<Item = (String, u64)>) -> String {
    let fields: Vec<_> = entries.map(|(k, v)| format!("{}:{v}", quoted(&k))).collect();
    format!("{{{}}}", fields.join(","))
}

/// What is still alive, by kind.
pub(crate) fn leaks(sim: &Sim) -> BTreeMap<String, u64> {
    let mut found: BTreeMap<String, u64> = BTreeMap::new();
    let mut add = |what: &str, n: usize| {
        if n > 0 {
            found.insert(what.to_owned(), n as u64);
        }
    };
    add("device allocations", sim.memory.live().count());
    add("device bytes", sim.memory.live().map(|(_, len)| len).sum());
    add("pinned host allocations", sim.host.count());
    add("reserved addresses", sim.memory.reserved.count());
    add("streams", sim.streams.count_explicit());
    add("events", sim.events.count());
    add("contexts", sim.contexts.count_explicit());
    add("models", sim.models.count());
    for (kind, n) in sim.objects.live_by_kind() {
        add(kind, n);
    }
    found
}

/// Everything, as one line of JSON.
pub(crate) fn json(sim: &Sim) -> String {
    let r = &sim.report;
    let violations: Vec<_> = r.violations.iter().map(|v| quoted(v)).collect();
    format!(
        "{{\"simulator\":true,\"chip\":{},\"schedule\":{},\"seed\":{},\"violation_count\":{},\"violations\":[{}],\"leaks\":{},\
         \"unaligned_tensors\":{},\"tensors_beyond_their_storage\":{},\"tasks\":{},\"calls\":{}}}",
        quoted(sim.config.chip.soc),
        quoted(&format!("{:?}", sim.config.schedule).to_lowercase()),
        sim.config.seed,
        r.violation_count,
        violations.join(","),
        map(leaks(sim).into_iter()),
        r.unaligned,
        r.beyond_storage,
        map(r.tasks.iter().map(|(k, v)| ((*k).to_owned(), *v))),
        map(r.calls.iter().map(|(k, v)| ((*k).to_owned(), *v))),
    )
}

/// Has the report written when the process ends.
pub(crate) fn at_exit() {
    // SAFETY: `finish` is a function without arguments that lives as long as the process, as this library is never unloaded: it
    // is linked so (`-z nodelete`) by those who make the libraries, and the host program keeps its handles.
    unsafe { libc::atexit(finish) };
}

extern "C" fn finish() {
    let bad = with(|sim| {
        let leaks = leaks(sim);
        let left: u64 = leaks.values().sum();
        eprintln!(
            "VLM ASCEND SIMULATOR: {} violations, {} kinds of leaks {leaks:?}",
            sim.report.violation_count,
            leaks.len()
        );
        if let Some(path) = &sim.config.report
            && let Err(e) = std::fs::write(path, json(sim) + "\n")
        {
            eprintln!("VLM ASCEND SIMULATOR: {} cannot be written: {e}", path.display());
        }
        sim.config.strict && (sim.report.violation_count > 0 || left > 0)
    });
    if bad {
        // SAFETY: ends the process at once with this code; all that was to be written was.
        unsafe { libc::_exit(86) };
    }
}
