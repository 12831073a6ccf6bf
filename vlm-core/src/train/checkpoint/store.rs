//! Saving, finding and pruning the checkpoints of an output folder.

use super::fs::{Fs, HookedFile};
use super::lock::OutputLock;
use super::manifest::{
    Checkpoint, FileRecord, MANIFEST, MANIFEST_DIGEST, Manifest, SCHEMA, check_name, digest_line, hex,
};
use crate::weights::atomic::write_error;
use crate::{Error, ErrorKind, Result};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const OP: &str = "save checkpoint";
const PREFIX: &str = "checkpoint-";
/// Being written; swept away.
const NEW: &str = ".new-checkpoint-";
/// Replaced by one of the same step; brought back if that one did not arrive.
const OLD: &str = ".old-checkpoint-";
/// Being removed; swept away.
const GONE: &str = ".gone-checkpoint-";

/// An output folder with its checkpoints, locked for this process.
#[derive(Debug)]
pub struct CheckpointStore {
    lock: Arc<OutputLock>,
    save_total_limit: Option<usize>,
    pub(super) fs: Fs,
}

impl CheckpointStore {
    /// Locks the output folder `dir` (created if missing) and clears away what a killed save left in it.
    ///
    /// `save_total_limit`: how many checkpoints to keep, the newest ones; `None` for all.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if the folder cannot be written or another process has it, [`ErrorKind::Config`] for a limit of 0.
    pub fn open(dir: &Path, save_total_limit: Option<usize>) -> Result<Self> {
        Self::with_lock(Arc::new(OutputLock::acquire(dir)?), save_total_limit)
    }

    /// As [`open`](Self::open), in a folder that is locked already.
    ///
    /// # Errors
    /// As there.
    pub fn with_lock(lock: Arc<OutputLock>, save_total_limit: Option<usize>) -> Result<Self> {
        if save_total_limit == Some(0) {
            let error =
                Error::new(ErrorKind::Config, OP, "save_total_limit is 0: at least one checkpoint must be kept");
            return Err(error.hint("leave it out to keep all"));
        }
        let store = CheckpointStore { lock, save_total_limit, fs: Fs::default() };
        store.sweep()?;
        Ok(store)
    }

    /// The output folder.
    pub fn dir(&self) -> &Path {
        self.lock.dir()
    }

    /// The newest valid checkpoint here. See [`latest`].
    ///
    /// # Errors
    /// As [`latest`].
    pub fn latest(&self) -> Result<Latest> {
        latest(self.dir())
    }

    /// Saves the checkpoint of `step`: `write` adds the files, `state` goes into the manifest. When this returns, the
    /// checkpoint is on the disk, and older ones beyond the limit are gone. One of the same step is replaced.
    ///
    /// # Errors
    /// Whatever `write` fails with, and [`ErrorKind::Io`] if the disk is full or fails. The checkpoints that were there
    /// are untouched then, and nothing of the new one stays.
    pub fn save(
        &mut self,
        step: u64,
        state: &Value,
        write: impl FnOnce(&mut CheckpointWriter<'_>) -> Result<()>,
    ) -> Result<PathBuf> {
        let pid = std::process::id();
        let (new, path) = (self.dir().join(format!("{NEW}{step}-{pid}")), self.dir().join(format!("{PREFIX}{step}")));
        let written = self.write_new(&new, step, state, write).and_then(|()| {
            let old = self.dir().join(format!("{OLD}{step}-{pid}"));
            self.put_in_place(&new, &path, &old).map_err(|e| write_error(OP, &path, e))
        });
        if let Err(error) = written {
            // The next run sweeps what cannot be removed now.
            let _ = std::fs::remove_dir_all(&new);
            return Err(error);
        }
        // The new checkpoint is safe; old ones that resist removal are no reason to fail.
        if let Err(error) = self.prune(&path) {
            tracing::warn!(%error, "could not remove old checkpoints");
        }
        Ok(path)
    }

    fn write_new(
        &self,
        dir: &Path,
        step: u64,
        state: &Value,
        write: impl FnOnce(&mut CheckpointWriter<'_>) -> Result<()>,
    ) -> Result<()> {
        let fail = |e| write_error(OP, dir, e);
        if dir.symlink_metadata().is_ok() {
            self.fs.remove(dir).map_err(fail)?;
        }
        self.fs.create_dir(dir).map_err(fail)?;
        let mut writer = CheckpointWriter { fs: &self.fs, dir, files: BTreeMap::new(), open: None };
        write(&mut writer)?;
        if let Some(name) = writer.open {
            let message = format!("the file {name} was begun but not finished");
            return Err(Error::new(ErrorKind::Config, OP, message).hint("call CheckpointFile::finish"));
        }
        let manifest = Manifest { schema: SCHEMA, step, files: writer.files, state: state.clone() };
        let json = serde_json::to_vec_pretty(&manifest)
            .map_err(|e| Error::new(ErrorKind::Format, OP, "the state cannot be written as JSON").with_source(e))?;
        for (name, bytes) in [(MANIFEST, &json[..]), (MANIFEST_DIGEST, digest_line(&json).as_bytes())] {
            let path = dir.join(name);
            let written = self.fs.create_file(&path).and_then(|mut f| f.write_all(bytes).and_then(|()| f.finish()));
            written.map_err(|e| write_error(OP, &path, e))?;
        }
        self.fs.sync_dir(dir).map_err(fail)
    }

    fn put_in_place(&self, new: &Path, path: &Path, old: &Path) -> io::Result<()> {
        let replaces = path.symlink_metadata().is_ok();
        if replaces {
            self.fs.rename(path, old)?;
        }
        let placed = self.fs.rename(new, path).and_then(|()| self.fs.sync_dir(self.dir()));
        if replaces {
            if placed.is_ok() {
                let _ = self.discard(old);
            } else {
                // Back to where we were; should this fail too, the next run does it.
                let _ = std::fs::rename(path, new);
                let _ = std::fs::rename(old, path);
            }
        } else if placed.is_err() && path.symlink_metadata().is_ok() {
            let _ = std::fs::rename(path, new);
        }
        placed
    }

    /// Removes a checkpoint so that a kill in between leaves no half of one under its name.
    fn discard(&self, path: &Path) -> io::Result<()> {
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let name = name.trim_start_matches(OLD).trim_start_matches(PREFIX);
        let gone = self.dir().join(format!("{GONE}{name}-{}", std::process::id()));
        if gone.symlink_metadata().is_ok() {
            self.fs.remove(&gone)?;
        }
        self.fs.rename(path, &gone)?;
        self.fs.remove(&gone)
    }

    /// Removes the oldest checkpoints beyond the limit. Only ones of ours that look whole are counted and removed: what
    /// is damaged, of another version or somebody else's stays for its owner. `saved` is never removed.
    fn prune(&self, saved: &Path) -> io::Result<()> {
        let Some(limit) = self.save_total_limit else { return Ok(()) };
        let mut ours: Vec<(u64, PathBuf)> = candidates(self.dir())?;
        ours.retain(|(_, path)| Checkpoint::open_unverified(path).is_ok());
        let excess = ours.len().saturating_sub(limit);
        let oldest = ours.into_iter().rev().filter(|(_, path)| path != saved).take(excess);
        for (_, path) in oldest {
            self.discard(&path)?;
        }
        Ok(())
    }

    /// Clears away what killed saves left, and brings back a checkpoint whose replacement did not arrive.
    fn sweep(&self) -> Result<()> {
        let fail = |e| write_error(OP, self.dir(), e);
        for entry in std::fs::read_dir(self.dir()).map_err(fail)? {
            let path = entry.map_err(fail)?.path();
            let Some(name) = path.file_name().and_then(|n| n.to_str()) else { continue };
            let replaced = step_of(name, OLD).map(|step| self.dir().join(format!("{PREFIX}{step}")));
            match replaced {
                Some(original) if Checkpoint::open(&original).is_err() && Checkpoint::open(&path).is_ok() => {
                    if original.symlink_metadata().is_ok() {
                        self.discard(&original).map_err(fail)?;
                    }
                    self.fs.rename(&path, &original).map_err(fail)?;
                }
                Some(_) => self.fs.remove(&path).map_err(fail)?,
                None if step_of(name, NEW).is_some() || step_of(name, GONE).is_some() => {
                    tracing::info!(path = %path.display(), "removing what an interrupted save left");
                    self.fs.remove(&path).map_err(fail)?;
                }
                None => {}
            }
        }
        Ok(())
    }
}

/// Adds files to a checkpoint being saved.
#[derive(Debug)]
pub struct CheckpointWriter<'s> {
    fs: &'s Fs,
    dir: &'s Path,
    files: BTreeMap<String, FileRecord>,
    open: Option<String>,
}

impl CheckpointWriter<'_> {
    /// Starts the file `name`, a plain name. [`CheckpointFile::finish`] must follow.
    ///
    /// # Errors
    /// [`ErrorKind::Format`] for a name that is not plain, [`ErrorKind::Config`] for one already there or while another file is
    /// unfinished, [`ErrorKind::Io`] if it cannot be created.
    pub fn create(&mut self, name: &str) -> Result<CheckpointFile<'_>> {
        check_name(name)?;
        if let Some(taken) = self.open.as_deref().or(self.files.contains_key(name).then_some(name)) {
            let message = format!("cannot begin the file {name}: {taken} is unfinished or already there");
            return Err(Error::new(ErrorKind::Config, OP, message));
        }
        let path = self.dir.join(name);
        let file = self.fs.create_file(&path).map_err(|e| write_error(OP, &path, e))?;
        self.open = Some(name.to_owned());
        let (files, open) = (&mut self.files, &mut self.open);
        Ok(CheckpointFile { files, open, path, file, hash: Sha256::new(), size: 0 })
    }

    /// Adds the file `name` with these bytes.
    ///
    /// # Errors
    /// As [`create`](Self::create) and [`CheckpointFile::finish`].
    pub fn add(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let mut file = self.create(name)?;
        file.append(bytes)?;
        file.finish()
    }
}

/// A file of a checkpoint being saved.
pub struct CheckpointFile<'w> {
    files: &'w mut BTreeMap<String, FileRecord>,
    open: &'w mut Option<String>,
    path: PathBuf,
    file: HookedFile,
    hash: Sha256,
    size: u64,
}

impl std::fmt::Debug for CheckpointFile<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CheckpointFile").field("path", &self.path).field("size", &self.size).finish_non_exhaustive()
    }
}

impl CheckpointFile<'_> {
    /// The file's path while it is being written, for error messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds bytes to the file; like `write_all`, with an error that names the file and the remedy.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if the disk is full or fails.
    pub fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.write_all(bytes).map_err(|e| write_error(OP, &self.path, e))
    }

    /// Flushes the file to the disk and notes its digest.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if the disk is full or fails.
    pub fn finish(self) -> Result<()> {
        self.file.finish().map_err(|e| write_error(OP, &self.path, e))?;
        let record = FileRecord { size: self.size, sha256: hex(&self.hash.finalize()) };
        if let Some(name) = self.open.take() {
            self.files.insert(name, record);
        }
        Ok(())
    }
}

impl Write for CheckpointFile<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.file.write(bytes)?;
        self.hash.update(&bytes[..n]);
        self.size += n as u64;
        Ok(n)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// What [`latest`] found.
#[derive(Debug)]
pub struct Latest {
    /// The newest valid checkpoint.
    pub checkpoint: Option<Checkpoint>,
    /// Newer folders that are no valid checkpoint, and why.
    pub skipped: Vec<(PathBuf, Error)>,
}

/// Finds the newest valid checkpoint in the output folder `dir`: the one of the highest step whose files all have the
/// digests that its manifest says. Reads those files; changes nothing. No folder means no checkpoint.
///
/// # Errors
/// [`ErrorKind::Io`] if the folder cannot be read.
pub fn latest(dir: &Path) -> Result<Latest> {
    let mut skipped = Vec::new();
    for (_, path) in candidates(dir).map_err(|e| Error::io("find checkpoint", dir, e))? {
        match Checkpoint::open(&path) {
            Ok(checkpoint) => return Ok(Latest { checkpoint: Some(checkpoint), skipped }),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "passing over a folder that is no valid checkpoint");
                skipped.push((path, error));
            }
        }
    }
    Ok(Latest { checkpoint: None, skipped })
}

/// The checkpoint to continue from, for a run that must have one: `path` itself if it is a checkpoint folder, else the newest valid
/// one in it.
///
/// # Errors
/// [`ErrorKind::Config`] if there is none, with the reason why each candidate was passed over; as [`Checkpoint::open`] for
/// a checkpoint folder that is damaged.
pub fn resume_from(path: &Path) -> Result<Checkpoint> {
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    if path.join(MANIFEST).exists() || step_of(name, PREFIX).is_some() {
        return Checkpoint::open(path);
    }
    let Latest { checkpoint, skipped } = latest(path)?;
    checkpoint.ok_or_else(|| {
        let reasons: Vec<String> = skipped.iter().take(4).map(|(_, e)| e.to_string()).collect();
        let what = match (reasons.is_empty(), path.is_dir()) {
            (true, false) => "the folder does not exist".to_owned(),
            (true, true) => format!("the folder has no {PREFIX}<step> in it"),
            (false, _) => reasons.join("; "),
        };
        let message = format!("no checkpoint to continue from in {}: {what}", path.display());
        Error::new(ErrorKind::Config, "resume", message)
            .hint("give the output folder of the run, or start without resuming")
    })
}

/// The checkpoint folders by name, newest first; among equal steps, the proper one before a replaced one.
fn candidates(dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    let entries = match std::fs::read_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    for entry in entries {
        let name = entry?.file_name();
        let Some(name) = name.to_str() else { continue };
        if let Some(step) = step_of(name, PREFIX).or_else(|| step_of(name, OLD)) {
            found.push((step, name.starts_with(PREFIX), dir.join(name)));
        }
    }
    found.sort_by(|a, b| (b.0, b.1).cmp(&(a.0, a.1)).then_with(|| a.2.cmp(&b.2)));
    Ok(found.into_iter().map(|(step, _, path)| (step, path)).collect())
}

/// The step in a folder's name: `checkpoint-12`, `.new-checkpoint-12-4711`.
fn step_of(name: &str, prefix: &str) -> Option<u64> {
    let rest = name.strip_prefix(prefix)?;
    let digits = if prefix == PREFIX { rest } else { rest.split_once('-').map_or(rest, |(step, _)| step) };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) { None } else { digits.parse().ok() }
}
