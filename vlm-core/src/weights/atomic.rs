//! Replacing a file so that a crash or a full disk leaves the old file or the new one, never a mixture.
//!
//! The new content goes to a hidden file beside the target, is flushed to the disk, and takes the target's name in one
//! step; the folder is flushed last, so that a power cut after [`AtomicFile::commit`] cannot take the new name back.

use crate::{Error, Result};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// A file being written that replaces `path` only at [`commit`](AtomicFile::commit). Dropped before that, it vanishes.
#[derive(Debug)]
pub struct AtomicFile {
    op: &'static str,
    target: PathBuf,
    temporary: PathBuf,
    file: Option<BufWriter<File>>,
}

impl AtomicFile {
    /// Starts to write what will become `path`. `op` names the operation in errors.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) naming the path if its folder is missing or cannot be written.
    pub fn create(op: &'static str, path: &Path) -> Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let Some(name) = path.file_name() else {
            let error = io::Error::new(io::ErrorKind::InvalidInput, "the path names no file");
            return Err(write_error(op, path, error));
        };
        if path.is_dir() {
            return Err(write_error(op, path, io::ErrorKind::IsADirectory.into()));
        }
        let (pid, n) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let temporary = path.with_file_name(format!(".{}.{pid}-{n}.tmp", name.to_string_lossy()));
        let file = File::create(&temporary).map_err(|e| write_error(op, path, e))?;
        Ok(AtomicFile {
            op,
            target: path.to_path_buf(),
            temporary,
            file: Some(BufWriter::with_capacity(1 << 20, file)),
        })
    }

    /// Flushes the content to the disk, without giving it the target's name yet.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) if the disk is full or fails; the target is unchanged.
    pub fn sync(&mut self) -> Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        file.flush().and_then(|()| file.get_ref().sync_all()).map_err(|e| write_error(self.op, &self.target, e))
    }

    /// Flushes the content and lets it replace the target.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io); the target is unchanged, or (if only flushing the folder failed) new.
    pub fn commit(mut self) -> Result<()> {
        self.sync()?;
        self.file = None;
        let fail = |e| write_error(self.op, &self.target, e);
        std::fs::rename(&self.temporary, &self.target).map_err(fail)?;
        sync_dir(folder_of(&self.target)).map_err(fail)
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.file {
            Some(file) => file.write(bytes),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }
    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if let Some(file) = self.file.take() {
            // The content is abandoned: what is still buffered must not be written any more.
            drop(file.into_parts());
            let _ = std::fs::remove_file(&self.temporary);
        }
    }
}

/// Replaces `path` by `bytes`, atomically.
///
/// # Errors
/// [`ErrorKind::Io`](crate::ErrorKind::Io) naming the path and the system's reason; a file already there is unchanged.
pub fn write_atomic(op: &'static str, path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = AtomicFile::create(op, path)?;
    file.write_all(bytes).map_err(|e| write_error(op, path, e))?;
    file.commit()
}

/// The folder that holds `path`, `.` for a bare name.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes the names in a folder survive a power cut.
pub(crate) fn sync_dir(path: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) }
}

/// An error about writing `path` with the remedy for the common causes.
pub(crate) fn write_error(op: &'static str, path: &Path, source: io::Error) -> Error {
    let hint = match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "free some space or choose another folder; what was there before is unchanged"
        }
        io::ErrorKind::FileTooLarge => "the file would exceed the size limit of this process or file system",
        io::ErrorKind::ReadOnlyFilesystem => "the file system is mounted read-only: choose another folder",
        io::ErrorKind::PermissionDenied => "this user may not write there: choose another folder or change its owner",
        io::ErrorKind::NotFound => "the folder does not exist: create it first",
        io::ErrorKind::IsADirectory => "a folder has this name: choose another",
        _ => return Error::io(op, path, source),
    };
    Error::io(op, path, source).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn the_old_file_stays_until_commit_and_nothing_is_left_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        write_atomic("t", &path, b"old").unwrap();
        let mut file = AtomicFile::create("t", &path).unwrap();
        file.write_all(b"half").unwrap();
        file.sync().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        drop(file);
        write_atomic("t", &path, b"new").unwrap();
        assert_eq!((std::fs::read(&path).unwrap(), names(dir.path())), (b"new".to_vec(), vec!["a.json".to_owned()]));
    }

    #[test]
    fn what_cannot_be_written_is_named_with_a_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let e = write_atomic("save x", &dir.path().join("no/such/folder"), b"").unwrap_err().to_string();
        assert!(e.starts_with("save x: ") && e.contains("no/such/folder") && e.contains("create it first"), "{e}");
        let e = write_atomic("save x", dir.path(), b"").unwrap_err().to_string();
        assert!(e.contains("a folder has this name"), "{e}");
        let full = write_error("save x", Path::new("w"), io::ErrorKind::StorageFull.into()).to_string();
        assert!(full.contains("free some space"), "{full}");
    }
}
