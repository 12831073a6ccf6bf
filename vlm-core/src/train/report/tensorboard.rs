//! TensorBoard event files.
//!
//! A file is a sequence of records: length (u64), masked CRC-32C of the length, payload, masked CRC-32C of the payload,
//! all little-endian (TensorFlow's `TFRecord`). The payload is a protobuf `Event`: `wall_time` = 1 (double), `step` = 2
//! (int64), `file_version` = 3 (string), `summary` = 5, which holds `Value` = 1 with `tag` = 1 (string) and
//! `simple_value` = 2 (float). The first record says `brain.Event:2`.
//!
//! # Resuming
//! A resumed run opens a **new** file in the same folder; files are never changed after their writer is gone. TensorBoard
//! reads the files of a folder in the order of their names (which begin with the time) as one run. When the run went
//! back to an earlier step, the steps after it are in both files. [`EventWriter::resume`] therefore begins its file with a
//! `SessionLog` of status `START` (`session_log` = 7, `status` = 1): at this record TensorBoard forgets all points of
//! the run at that step and later (`purge_orphaned_data`, on by default). A record cut off by a kill ends only its own
//! file: the records before it are shown, and so is the new file.

use crate::weights::atomic::write_error;
use crate::{Error, ErrorKind, Result};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const OP: &str = "write event file";

/// Writes scalars to one TensorBoard event file.
///
/// Records are flushed to the file when [`FLUSH_EVERY`] has passed since the last flush, at [`flush`](Self::flush) and on
/// drop; TensorBoard sees them then.
#[derive(Debug)]
pub struct EventWriter {
    path: PathBuf,
    file: BufWriter<File>,
    flushed: Instant,
}

/// How long records may stay in memory before the next one flushes them.
pub const FLUSH_EVERY: Duration = Duration::from_secs(5);

impl EventWriter {
    /// Starts a new event file in `dir`, which is created if missing, named
    /// `events.out.tfevents.<unix time>.<host>.<pid>.<n>` as TensorBoard's own writers do.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] naming the path.
    pub fn create(dir: &Path) -> Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        std::fs::create_dir_all(dir).map_err(|e| write_error(OP, dir, e))?;
        let (seconds, host, pid) = (wall_time() as u64, host(), std::process::id());
        loop {
            let n = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = dir.join(format!("events.out.tfevents.{seconds:010}.{host}.{pid}.{n}"));
            let file = match File::create_new(&path) {
                // Left by another process with our number, in another container perhaps.
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => continue,
                other => other.map_err(|e| write_error(OP, &path, e))?,
            };
            let mut writer = EventWriter { path, file: BufWriter::new(file), flushed: Instant::now() };
            let mut event = Vec::new();
            put_double(&mut event, 1, wall_time());
            put_bytes(&mut event, 3, b"brain.Event:2");
            writer.record(&event)?;
            writer.flush()?;
            return Ok(writer);
        }
    }

    /// Starts a new event file in `dir` for a run that continues after `step` steps: points of later steps that the
    /// interrupted run wrote are no longer shown.
    ///
    /// # Errors
    /// As [`create`](Self::create) and [`scalars`](Self::scalars).
    pub fn resume(dir: &Path, step: u64) -> Result<Self> {
        let mut writer = Self::create(dir)?;
        let next = check_step(step.saturating_add(1))?;
        let mut event = Vec::new();
        put_double(&mut event, 1, wall_time());
        put_varint(&mut event, 2 << 3);
        put_varint(&mut event, next);
        put_bytes(&mut event, 7, &[1 << 3, 1]);
        writer.record(&event)?;
        writer.flush()?;
        Ok(writer)
    }

    /// The file being written.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds one point to the curve `tag` (`"train/loss"`). NaN and infinite values are written as such.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if the disk is full or fails.
    pub fn scalar(&mut self, tag: &str, value: f64, step: u64) -> Result<()> {
        self.scalars(&[(tag, value)], step)
    }

    /// Adds one point to each of several curves.
    ///
    /// # Errors
    /// [`ErrorKind::Index`] for a step beyond `i64::MAX`, [`ErrorKind::Io`] if the disk is full or fails.
    pub fn scalars(&mut self, values: &[(&str, f64)], step: u64) -> Result<()> {
        let event = scalar_event(wall_time(), check_step(step)?, values);
        self.record(&event)?;
        if self.flushed.elapsed() >= FLUSH_EVERY { self.flush() } else { Ok(()) }
    }

    /// Hands everything written so far to the file.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if the disk is full or fails.
    pub fn flush(&mut self) -> Result<()> {
        self.flushed = Instant::now();
        self.file.flush().map_err(|e| write_error(OP, &self.path, e))
    }

    fn record(&mut self, payload: &[u8]) -> Result<()> {
        self.file.write_all(&frame(payload)).map_err(|e| write_error(OP, &self.path, e))
    }
}

fn check_step(step: u64) -> Result<u64> {
    let fits = i64::try_from(step).is_ok();
    fits.then_some(step)
        .ok_or_else(|| Error::new(ErrorKind::Index, OP, format!("step {step} does not fit an event file")))
}

/// One `TFRecord`.
fn frame(payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u64).to_le_bytes();
    let mut out = Vec::with_capacity(payload.len() + 16);
    out.extend_from_slice(&length);
    out.extend_from_slice(&masked_crc(&length).to_le_bytes());
    out.extend_from_slice(payload);
    out.extend_from_slice(&masked_crc(payload).to_le_bytes());
    out
}

fn scalar_event(wall_time: f64, step: u64, values: &[(&str, f64)]) -> Vec<u8> {
    let mut summary = Vec::new();
    for (tag, value) in values {
        let mut one = Vec::new();
        put_bytes(&mut one, 1, tag.as_bytes());
        put_varint(&mut one, 2 << 3 | 5);
        one.extend_from_slice(&(*value as f32).to_le_bytes());
        put_bytes(&mut summary, 1, &one);
    }
    let mut event = Vec::new();
    put_double(&mut event, 1, wall_time);
    put_varint(&mut event, 2 << 3);
    put_varint(&mut event, step);
    put_bytes(&mut event, 5, &summary);
    event
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_bytes(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    put_varint(out, field << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put_double(out: &mut Vec<u8>, field: u64, value: f64) {
    put_varint(out, field << 3 | 1);
    out.extend_from_slice(&value.to_le_bytes());
}

fn wall_time() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}

/// This machine's name, reduced to what is safe in a file name.
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok().or_else(|| std::env::var("HOSTNAME").ok());
    let name: String = name
        .unwrap_or_default()
        .trim()
        .chars()
        .take(64)
        .map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' })
        .collect();
    if name.is_empty() { "localhost".to_owned() } else { name }
}

/// CRC-32C (Castagnoli), rotated and offset as TensorFlow does so that a CRC of data holding CRCs stays a good one.
fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

const CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let (mut crc, mut bit) = (i as u32, 0);
        while bit < 8 {
            // 0x82f63b78 is the Castagnoli polynomial, lowest bit first.
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
            bit += 1;
        }
        table[i] = crc;
        i += 1;
    }
    table
};

fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &b| CRC_TABLE[usize::from(crc as u8 ^ b)] ^ crc >> 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Test vectors of RFC 3720, appendix B.4, and the usual check value.
    #[test]
    fn checksums_are_those_of_the_standard() {
        let ascending: Vec<u8> = (0..32).collect();
        for (bytes, want) in [
            (&b"123456789"[..], 0xe306_9283),
            (&[0; 32], 0x8a91_36aa),
            (&[0xff; 32], 0x62a8_ab43),
            (&ascending, 0x46dd_794e),
            (&[], 0),
        ] {
            assert_eq!(crc32c(bytes), want);
        }
    }

    /// Bytes written by TensorBoard 2.21's own protobuf classes for the same event.
    #[test]
    fn events_are_encoded_as_protobuf_does() {
        let event = scalar_event(1.5, 300, &[("train/loss", 0.25)]);
        let want = "09000000000000f83f10ac022a130a110a0a747261696e2f6c6f737315\
                    0000803e";
        assert_eq!(event.iter().map(|b| format!("{b:02x}")).collect::<String>(), want);
        assert_eq!(&frame(b"ab")[..12], [2, 0, 0, 0, 0, 0, 0, 0, 0x78, 0x27, 0x0b, 0x34], "length and its checksum");
    }

    #[test]
    fn a_file_holds_the_version_and_then_what_was_flushed() {
        let dir = tempfile::tempdir().unwrap();
        let mut a = EventWriter::create(&dir.path().join("logs")).unwrap();
        let b = EventWriter::create(&dir.path().join("logs")).unwrap();
        assert_ne!(a.path(), b.path());
        let name = a.path().file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with("events.out.tfevents.") && name.split('.').count() == 7, "{name}");
        a.scalar("x", f64::NAN, 1).unwrap();
        a.flush().unwrap();
        let bytes = std::fs::read(a.path()).unwrap();
        let mut rest = &bytes[..];
        let mut payloads = Vec::new();
        while let Some((length, _)) = rest.split_first_chunk::<8>() {
            let n = u64::from_le_bytes(*length) as usize;
            assert_eq!(frame(&rest[12..12 + n]), rest[..16 + n]);
            payloads.push(rest[12..12 + n].to_vec());
            rest = &rest[16 + n..];
        }
        assert!(payloads[0].ends_with(b"brain.Event:2") && payloads.len() == 2);
        assert!(a.scalar("x", 0.0, u64::MAX).is_err());
    }
    /// TensorBoard's own reader returns the same curves, a resumed run's included. `VLM_PYTHON` names a Python that
    /// has the package `tensorboard`; `cargo xtask test` sets it.
    #[test]
    fn tensorboard_reads_the_same_curves() {
        let Some(python) = std::env::var_os("VLM_PYTHON") else {
            crate::weights::testing::skipped("VLM_PYTHON names no Python with the package tensorboard");
            return;
        };
        let dir = tempfile::tempdir().unwrap();
        let logs = dir.path().join("runs");
        let mut first = EventWriter::create(&logs).unwrap();
        let loss = |step: u64| 2.0 / (step as f64 + 1.0);
        for step in 1..=200 {
            first.scalars(&[("train/loss", loss(step)), ("train/learning_rate", 1e-4)], step).unwrap();
        }
        first.scalar("eval/verlust ü", f64::NAN, 100).unwrap();
        first.flush().unwrap();
        // The run was killed in the middle of a record and goes on after step 150.
        let cut = std::fs::read(first.path()).unwrap();
        std::fs::write(first.path(), &cut[..cut.len() - 9]).unwrap();
        drop(first);
        std::thread::sleep(Duration::from_millis(1100));
        let mut second = EventWriter::resume(&logs, 150).unwrap();
        for step in 151..=160 {
            second.scalars(&[("train/loss", -1.0), ("train/learning_rate", 1e-5)], step).unwrap();
        }
        second.scalar("eval/x", f64::INFINITY.recip(), 3_000_000_000).unwrap();
        drop(second);
        let point = |step: u64| (step, if step <= 150 { loss(step) } else { -1.0 });
        let rate = |step: u64| (step, if step <= 150 { 1e-4 } else { 1e-5 });
        let expected = serde_json::json!({
            "train/loss": (1..=160).map(point).collect::<Vec<_>>(),
            "train/learning_rate": (1..=160).map(rate).collect::<Vec<_>>(),
            "eval/x": [(3_000_000_000_u64, 0.0)],
        });
        let file = dir.path().join("expected.json");
        std::fs::write(&file, expected.to_string()).unwrap();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/check_events.py");
        let output = std::process::Command::new(python).args([Path::new(script), &logs, &file]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
