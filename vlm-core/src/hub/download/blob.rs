//! One content: fetched in pieces if need be, checked, and only then given its name.

use super::OP;
use super::client::{Client, Described, number};
use super::patience::{Fault, Patience, connection_fault};
use crate::hub::{ModelId, Revision};
use crate::weights::atomic::{folder_of, sync_dir, write_error};
use crate::{Error, ErrorKind, Result};
use sha2::{Digest, Sha256};
use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use ureq::http::StatusCode;

/// Longest content whose size the server does not say.
const MAX_UNSIZED: u64 = 1 << 30;
const PIECE: usize = 256 << 10;
/// An attempt that brought so much does not count as failed.
const WORTH: u64 = 64 << 10;
/// How often to look whether another process is done, and to say so.
const LOOK: Duration = Duration::from_millis(100);
const SAY: Duration = Duration::from_secs(10);

/// What is to be fetched.
pub(super) struct Wanted<'a> {
    pub(super) id: &'a ModelId,
    pub(super) commit: &'a Revision,
    pub(super) file: &'a str,
    pub(super) content: &'a Described,
}

/// Makes sure that `blob` is there, whole. `lock` keeps other processes from fetching it too; `done` hears how many bytes
/// there are.
///
/// # Errors
/// [`ErrorKind::Io`] for faults of the network that do not pass and for a disk that cannot be written;
/// [`ErrorKind::Format`] if what came is not what was named. What was fetched so far is kept in the first case.
pub(super) fn fetch(
    client: &Client,
    wanted: &Wanted<'_>,
    blob: &Path,
    lock: &Path,
    done: &mut dyn FnMut(u64),
) -> Result<()> {
    let held = hold(lock)?;
    let size = wanted.content.size;
    if let Ok(metadata) = blob.metadata()
        && metadata.is_file()
        && size.is_none_or(|s| s == metadata.len())
    {
        done(metadata.len());
        return Ok(());
    }
    let part = part_name(blob, held.is_some());
    let io = |e| disk_error(&part, e);
    let mut file = File::options().read(true).write(true).create(true).truncate(false).open(&part).map_err(io)?;
    let mut kept = file.metadata().map_err(io)?.len();
    loop {
        pull(client, wanted, &mut file, &part, done)?;
        match verify(&mut file, &part, wanted) {
            Ok(()) => break,
            // What an earlier attempt left may have been something else.
            Err(e) if kept > 0 => {
                tracing::warn!(error = %e, "fetching again from the beginning");
                file.set_len(0).map_err(io)?;
                kept = 0;
            }
            Err(e) => {
                drop(file);
                let _ = std::fs::remove_file(&part);
                return Err(e);
            }
        }
    }
    file.sync_all().map_err(io)?;
    drop(file);
    std::fs::rename(&part, blob).and_then(|()| sync_dir(folder_of(blob))).map_err(|e| disk_error(blob, e))
}

/// Where a content grows. Without a lock, nobody else may find it.
fn part_name(blob: &Path, locked: bool) -> PathBuf {
    let name = blob.file_name().unwrap_or_default().to_string_lossy();
    if locked {
        blob.with_file_name(format!("{name}.incomplete"))
    } else {
        blob.with_file_name(format!("{name}.{}.incomplete", std::process::id()))
    }
}

/// Takes a lock, waiting for whoever has it. `None` on a file system that has no locks.
fn hold(path: &Path) -> Result<Option<File>> {
    let file = File::options().write(true).create(true).truncate(false).open(path).map_err(|e| disk_error(path, e))?;
    let mut said: Option<Instant> = None;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::WouldBlock) => {
                if said.is_none_or(|at| at.elapsed() > SAY) {
                    tracing::info!(lock = %path.display(), "another process fetches this file: waiting for it");
                    said = Some(Instant::now());
                }
                std::thread::sleep(LOOK);
            }
            Err(TryLockError::Error(e)) if e.kind() == io::ErrorKind::Unsupported => return Ok(None),
            Err(TryLockError::Error(e)) => return Err(disk_error(path, e)),
        }
    }
}

/// Fetches what the file lacks, in as many attempts as it is worth.
fn pull(client: &Client, wanted: &Wanted<'_>, file: &mut File, part: &Path, done: &mut dyn FnMut(u64)) -> Result<()> {
    let mut patience = Patience::new(&client.network);
    loop {
        let before = file.metadata().map_err(|e| disk_error(part, e))?.len();
        let Err(fault) = attempt(client, wanted, file, part, done) else { return Ok(()) };
        let after = file.metadata().map_err(|e| disk_error(part, e))?.len();
        if after.saturating_sub(before) >= WORTH {
            patience = Patience::new(&client.network);
        }
        patience.wait(fault)?;
    }
}

/// One request, and all that comes of it.
fn attempt(
    client: &Client,
    wanted: &Wanted<'_>,
    file: &mut File,
    part: &Path,
    done: &mut dyn FnMut(u64),
) -> Result<(), Fault> {
    let Wanted { id, commit, file: name, content } = wanted;
    let io = |e| Fault::Final(disk_error(part, e));
    let mut at = file.seek(SeekFrom::End(0)).map_err(io)?;
    if content.size == Some(at) {
        done(at);
        return Ok(());
    }
    if content.size.is_some_and(|size| at > size) {
        at = restart(file).map_err(io)?;
    }
    let mut response = client.open_file(id, commit, name, at)?;
    let headers = response.headers();
    let (first, total) = match response.status() {
        StatusCode::PARTIAL_CONTENT => match content_range(headers.get("content-range")) {
            Some((first, total)) if first == at => (at, total),
            _ => {
                restart(file).map_err(io)?;
                return Err(passing(name, "the server sends another part than was asked for"));
            }
        },
        StatusCode::RANGE_NOT_SATISFIABLE => {
            restart(file).map_err(io)?;
            return Err(passing(name, "the server has less than was fetched before"));
        }
        // All of it, whatever was asked for.
        _ => (0, number(headers, "content-length")),
    };
    if first < at {
        at = restart(file).map_err(io)?;
    }
    if let (Some(expected), Some(found)) = (content.size, total)
        && expected != found
    {
        return Err(wrong(name, "size in bytes", &expected.to_string(), &found.to_string()).into());
    }
    let size = content.size.or(total);
    let limit = size.unwrap_or(MAX_UNSIZED);
    done(at);
    let mut piece = vec![0; PIECE];
    let mut body = response.body_mut().as_reader();
    loop {
        let n = match body.read(&mut piece) {
            Ok(0) => break,
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(connection_fault(name, ureq::Error::from(e))),
        };
        if at + n as u64 > limit {
            let message = format!("the server sends more of {name} than the {limit} bytes it may have");
            return Err(Error::new(ErrorKind::Format, OP, message).hint("check HF_ENDPOINT and the proxy").into());
        }
        file.write_all(&piece[..n]).map_err(io)?;
        at += n as u64;
        done(at);
    }
    match size {
        Some(size) if at < size => Err(passing(name, "the connection ended before the file did")),
        _ => Ok(()),
    }
}

fn restart(file: &mut File) -> io::Result<u64> {
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))
}

fn passing(name: &str, what: &str) -> Fault {
    Fault::Passing(
        Error::new(ErrorKind::Io, OP, format!("{name}: {what}")).hint("check the connection and the proxy"),
        None,
    )
}

/// First byte and whole size out of `bytes 5-9/10`.
fn content_range(value: Option<&ureq::http::HeaderValue>) -> Option<(u64, Option<u64>)> {
    let (range, total) = value?.to_str().ok()?.trim().strip_prefix("bytes ")?.split_once('/')?;
    let first = range.split_once('-')?.0.trim().parse().ok()?;
    Some((first, total.trim().parse().ok()))
}

/// Whether the file is what was named. A name of 64 digits is a SHA-256; others (git's of small files) are not checked.
fn verify(file: &mut File, part: &Path, wanted: &Wanted<'_>) -> Result<()> {
    let Described { etag, size } = wanted.content;
    let io = |e| disk_error(part, e);
    let found = file.metadata().map_err(io)?.len();
    if let Some(size) = size.filter(|&s| s != found) {
        return Err(wrong(wanted.file, "size in bytes", &size.to_string(), &found.to_string()));
    }
    if etag.len() != 64 || !etag.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Ok(());
    }
    file.seek(SeekFrom::Start(0)).map_err(io)?;
    let mut hasher = Sha256::new();
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece) {
            Ok(0) => break,
            Ok(n) => hasher.update(&piece[..n]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(io(e)),
        }
    }
    let digest: String = hasher.finalize().iter().map(|b| format!("{b:02x}")).collect();
    if digest == etag.to_ascii_lowercase() { Ok(()) } else { Err(wrong(wanted.file, "SHA-256", etag, &digest)) }
}

fn wrong(name: &str, what: &str, expected: &str, found: &str) -> Error {
    Error::new(ErrorKind::Format, OP, format!("{name} has another {what} than the server said"))
        .with("expected", expected)
        .with("found", found)
        .hint("try again; if it stays so, check HF_ENDPOINT and the proxy")
}

/// An error about writing into the cache.
pub(super) fn disk_error(path: &Path, source: io::Error) -> Error {
    let full = matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
    let error = write_error(OP, path, source);
    if !full {
        return error;
    }
    error.hint(
        "free some space, or set HF_HOME to a larger disk, and start again: what was fetched so far is kept there",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use ureq::http::HeaderValue;

    #[test]
    fn ranges_are_read_or_refused() {
        let read = |text: &'static str| content_range(Some(&HeaderValue::from_static(text)));
        assert_eq!(read("bytes 5-9/10"), Some((5, Some(10))));
        assert_eq!(read("bytes 5-9/*"), Some((5, None)));
        for bad in ["bytes */10", "bytes=5-9/10", "5-9/10", "bytes 5/10", "bytes -9/10", ""] {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert_eq!(content_range(None), None);
    }

    #[test]
    fn contents_grow_beside_their_name() {
        assert_eq!(part_name(Path::new("b/ab"), true), Path::new("b/ab.incomplete"));
        assert!(part_name(Path::new("b/ab"), false).to_string_lossy().ends_with(".incomplete"));
        assert_ne!(part_name(Path::new("b/ab"), false), part_name(Path::new("b/ab"), true));
    }
}
