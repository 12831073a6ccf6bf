//! One writer per output folder.

use crate::weights::atomic::write_error;
use crate::{Error, ErrorKind, Result};
use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

const OP: &str = "lock output folder";
const NAME: &str = ".lock";

/// The right to write into an output folder, held until dropped. The system gives it back when the process ends in any
/// way, so a kill leaves no stale lock; the file `.lock` itself stays.
#[derive(Debug)]
pub struct OutputLock {
    file: File,
    dir: PathBuf,
}

impl OutputLock {
    /// Creates `dir` if it is missing and takes its lock.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if the folder cannot be created or written, or another process (named by its id) holds it.
    pub fn acquire(dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(dir).map_err(|e| write_error(OP, dir, e))?;
        let path = dir.join(NAME);
        let file = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = file.map_err(|e| write_error(OP, &path, e))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                let _ = (&file).take(20).read_to_string(&mut pid);
                let holder = match pid.trim().parse::<u32>() {
                    Ok(pid) if pid == std::process::id() => "this process already".to_owned(),
                    Ok(pid) => format!("process {pid}"),
                    Err(_) => "another process".to_owned(),
                };
                let message = format!("{} is in use by {holder}", dir.display());
                return Err(Error::new(ErrorKind::Io, OP, message)
                    .hint("wait until it is done, or give this run an output folder of its own"));
            }
            // Some network file systems have no locks; two writers are then the user's to prevent.
            Err(TryLockError::Error(e)) if e.kind() == std::io::ErrorKind::Unsupported => {
                tracing::warn!(dir = %dir.display(), "this file system has no locks: run one process per output folder");
            }
            Err(TryLockError::Error(e)) => return Err(write_error(OP, &path, e)),
        }
        let note = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
        note.map_err(|e| write_error(OP, &path, e))?;
        Ok(OutputLock { file, dir: dir.to_path_buf() })
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for OutputLock {
    fn drop(&mut self) {
        let _ = self.file.set_len(0);
        let _ = self.file.unlock();
    }
}
