//! `trainer_log.jsonl`: one JSON object per line, with the keys of LLaMA-Factory's log, so that its plots and boards work.

use crate::weights::atomic::{write_atomic, write_error};
use crate::weights::mapping::open_regular;
use crate::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

const OP: &str = "write training log";
/// No line of ours comes near this; longer ones are skipped when reading.
const MAX_LINE: u64 = 1 << 20;

/// One line of the log. Keys that do not apply are left out; unknown keys are ignored when reading.
///
/// JSON has no NaN: a loss that is not finite is written as `null` and read back as `None`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LogEntry {
    /// Optimizer steps done.
    pub current_steps: u64,
    /// Optimizer steps in the whole run.
    pub total_steps: u64,
    /// Mean training loss since the line before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
    /// Mean loss on the validation data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eval_loss: Option<f64>,
    /// Share of right answers on the validation data, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
    /// Learning rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lr: Option<f64>,
    /// Norm of all gradients before clipping.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grad_norm: Option<f64>,
    /// Passes over the data so far.
    #[serde(default)]
    pub epoch: f64,
    /// Steps done, in percent.
    #[serde(default)]
    pub percentage: f64,
    /// Time since the start, `h:mm:ss`.
    #[serde(default)]
    pub elapsed_time: String,
    /// Time to the end at the recent rate, `h:mm:ss`.
    #[serde(default)]
    pub remaining_time: String,
    /// Recent tokens per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throughput: Option<f64>,
    /// Tokens seen so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_tokens: Option<u64>,
}

/// An append-only log of a run.
#[derive(Debug)]
pub struct TrainerLog {
    path: PathBuf,
    file: File,
}

impl TrainerLog {
    /// Starts an empty log at `path`, replacing one that is there.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] naming the path.
    pub fn create(path: &Path) -> Result<Self> {
        write_atomic(OP, path, b"")?;
        Self::append_to(path)
    }

    /// Continues the log of a run that goes on after `step`: entries of later steps, lines that are no entries and a
    /// last line that was cut off by a kill are dropped (atomically), so that no step appears twice. A missing file
    /// is started.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] naming the path.
    pub fn resume(path: &Path, step: u64) -> Result<Self> {
        if path.symlink_metadata().is_err() {
            return Self::create(path);
        }
        let log = read(path)?;
        let kept: Vec<&LogEntry> = log.entries.iter().filter(|e| e.current_steps <= step).collect();
        if log.damaged > 0 || kept.len() < log.entries.len() {
            let mut text = Vec::new();
            for entry in kept {
                text.extend(line(entry)?);
            }
            tracing::info!(log = %path.display(), step, damaged = log.damaged, "dropped entries beyond the resumed step");
            write_atomic(OP, path, &text)?;
        }
        Self::append_to(path)
    }

    fn append_to(path: &Path) -> Result<Self> {
        let file = File::options().append(true).open(path).map_err(|e| write_error(OP, path, e))?;
        Ok(TrainerLog { path: path.to_path_buf(), file })
    }

    /// Adds one line, handed to the file in one write so that readers never see half of it.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if the disk is full or fails.
    pub fn append(&mut self, entry: &LogEntry) -> Result<()> {
        self.file.write_all(&line(entry)?).map_err(|e| write_error(OP, &self.path, e))
    }

    /// The file being written.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn line(entry: &LogEntry) -> Result<Vec<u8>> {
    let fail = |e| Error::new(ErrorKind::Format, OP, "an entry cannot be written as JSON").with_source(e);
    let mut text = serde_json::to_vec(entry).map_err(fail)?;
    text.push(b'\n');
    Ok(text)
}

/// What [`read`] found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogFile {
    /// The entries in file order.
    pub entries: Vec<LogEntry>,
    /// Lines that are no entries, one cut off at the end included.
    pub damaged: usize,
}

/// Reads a log; what is no entry is counted and skipped. A last line without its newline was cut off and does not count.
///
/// # Errors
/// [`ErrorKind::Io`] naming the path.
pub fn read(path: &Path) -> Result<LogFile> {
    let mut reader = BufReader::new(open_regular(OP, path)?);
    let mut log = LogFile::default();
    let mut text = Vec::new();
    let mut inside_long_line = false;
    loop {
        text.clear();
        let n = reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut text).map_err(|e| Error::io(OP, path, e))?;
        if n == 0 {
            return Ok(log);
        }
        let complete = text.last() == Some(&b'\n');
        let entry = if complete && !inside_long_line { serde_json::from_slice(&text).ok() } else { None };
        match entry {
            Some(entry) => log.entries.push(entry),
            None if text.trim_ascii().is_empty() && complete && !inside_long_line => {}
            // A line beyond the limit comes in pieces and counts once, at its first.
            None => log.damaged += usize::from(!inside_long_line),
        }
        inside_long_line = !complete;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(step: u64) -> LogEntry {
        LogEntry { current_steps: step, total_steps: 9, loss: Some(1.0 / step as f64), ..LogEntry::default() }
    }

    #[test]
    fn lines_have_the_known_keys_and_come_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("trainer_log.jsonl");
        let mut log = TrainerLog::create(&path).unwrap();
        let full = LogEntry {
            lr: Some(1e-4),
            epoch: 0.5,
            percentage: 50.0,
            elapsed_time: "0:00:01".into(),
            remaining_time: "0:00:02".into(),
            throughput: Some(12.5),
            total_tokens: Some(77),
            ..entry(1)
        };
        log.append(&full).unwrap();
        log.append(&LogEntry { loss: Some(f64::NAN), ..entry(2) }).unwrap();
        let text = std::fs::read_to_string(log.path()).unwrap();
        assert!(text.starts_with(
            r#"{"current_steps":1,"total_steps":9,"loss":1.0,"lr":0.0001,"epoch":0.5,"percentage":50.0,"elapsed_time":"0:00:01","remaining_time":"0:00:02","throughput":12.5,"total_tokens":77}"#
        ), "{text}");
        let read = read(&path).unwrap();
        assert_eq!((&read.entries[0], read.entries[1].loss, read.damaged), (&full, None, 0));
    }

    #[test]
    fn a_resumed_log_has_every_step_once_whatever_the_kill_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("trainer_log.jsonl");
        let write = || {
            let mut log = TrainerLog::create(&path).unwrap();
            (1..=5).for_each(|s| log.append(&entry(s)).unwrap());
        };
        write();
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..=whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let complete = whole[..cut].iter().filter(|&&b| b == b'\n').count().min(3);
            let mut log = TrainerLog::resume(&path, 3).unwrap();
            log.append(&entry(4)).unwrap();
            let steps: Vec<u64> = read(&path).unwrap().entries.iter().map(|e| e.current_steps).collect();
            let want: Vec<u64> = (1..=complete as u64).chain([4]).collect();
            assert_eq!(steps, want, "cut at {cut}");
        }
        let long = [b"{\"x\":\"", "y".repeat(3 << 20).as_bytes(), b"\"}\n\nnot json\n", &whole[..]].concat();
        std::fs::write(&path, long).unwrap();
        let found = read(&path).unwrap();
        assert_eq!((found.entries.len(), found.damaged), (5, 2));
        std::fs::remove_file(&path).unwrap();
        TrainerLog::resume(&path, 3).unwrap();
        assert_eq!(read(&path).unwrap(), LogFile::default());
    }
}
