//! The changes to the disk that saving makes, each announced to a hook so that tests can fail or kill at every one.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

/// A change to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    CreateDir,
    CreateFile,
    Write,
    SyncFile,
    SyncDir,
    Rename,
    Remove,
}

/// Called before each change; an error takes its place.
pub(super) trait Hook: Send + Sync {
    fn before(&self, change: Change, path: &Path) -> io::Result<()>;
}

/// The file system as saving sees it.
#[derive(Clone, Default)]
pub(super) struct Fs {
    pub(super) hook: Option<Arc<dyn Hook>>,
}

impl std::fmt::Debug for Fs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Fs {{ hooked: {} }}", self.hook.is_some())
    }
}

impl Fs {
    fn before(&self, change: Change, path: &Path) -> io::Result<()> {
        self.hook.as_ref().map_or(Ok(()), |h| h.before(change, path))
    }

    pub(super) fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.before(Change::CreateDir, path)?;
        std::fs::create_dir(path)
    }

    pub(super) fn create_file(&self, path: &Path) -> io::Result<HookedFile> {
        self.before(Change::CreateFile, path)?;
        let file = Hooked { fs: self.clone(), path: path.into(), file: File::create_new(path)? };
        Ok(HookedFile(BufWriter::with_capacity(1 << 20, file)))
    }

    pub(super) fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.before(Change::SyncDir, path)?;
        crate::weights::atomic::sync_dir(path)
    }

    pub(super) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.before(Change::Rename, from)?;
        std::fs::rename(from, to)
    }

    /// Removes a folder and all that is in it.
    pub(super) fn remove(&self, path: &Path) -> io::Result<()> {
        self.before(Change::Remove, path)?;
        std::fs::remove_dir_all(path)
    }
}

struct Hooked {
    fs: Fs,
    path: Box<Path>,
    file: File,
}

impl Write for Hooked {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.fs.before(Change::Write, &self.path)?;
        self.file.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// A new file.
pub(super) struct HookedFile(BufWriter<Hooked>);

impl HookedFile {
    /// Flushes everything to the disk and closes the file.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.0.flush()?;
        let inner = self.0.get_ref();
        inner.fs.before(Change::SyncFile, &inner.path)?;
        inner.file.sync_all()
    }
}

impl Write for HookedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
