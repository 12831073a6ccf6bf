//! The folders of a model in a cache, as `huggingface_hub` lays them out.

use super::OP;
use super::blob::disk_error;
use crate::Result;
use crate::hub::cache;
use crate::hub::{ModelId, Revision};
use crate::weights::atomic::write_atomic;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Backup programs skip folders with this file.
const TAG: &str =
    "Signature: 8a477f597d28d172789f06886806bc55\n# This folder is a cache: what is in it can be fetched again.\n";

/// Where the parts of one commit of a model go.
pub(super) struct Layout {
    model: PathBuf,
    locks: PathBuf,
    pub(super) snapshot: PathBuf,
    symlinks: bool,
}

impl Layout {
    /// Makes the folders.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) if they cannot be made.
    pub(super) fn make(cache: &Path, id: &ModelId, commit: &str, symlinks: bool) -> Result<Self> {
        let model = cache::folder(cache, id);
        let layout = Layout {
            locks: cache.join(".locks").join(id.folder()),
            snapshot: model.join("snapshots").join(commit),
            model,
            symlinks,
        };
        for dir in [&layout.locks, &layout.snapshot, &layout.model.join("blobs"), &layout.model.join("refs")] {
            std::fs::create_dir_all(dir).map_err(|e| disk_error(dir, e))?;
        }
        let tag = cache.join("CACHEDIR.TAG");
        if !tag.exists() {
            // A courtesy: everything works without it.
            let _ = std::fs::write(tag, TAG);
        }
        Ok(layout)
    }

    pub(super) fn blob(&self, etag: &str) -> PathBuf {
        self.model.join("blobs").join(etag)
    }

    pub(super) fn lock(&self, etag: &str) -> PathBuf {
        self.locks.join(format!("{etag}.lock"))
    }

    /// Whether a file of the snapshot is there.
    pub(super) fn has(&self, file: &str) -> bool {
        self.snapshot.join(file).is_file()
    }

    /// Puts a content into the snapshot under its name, in one step.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) if nothing of link, hard link and copy is possible.
    pub(super) fn link(&self, file: &str, etag: &str) -> Result<()> {
        // A name of our own: copying onto a link that another thread made would destroy the content.
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = self.snapshot.join(file);
        let temporary = self.snapshot.join(format!(".{file}.{}-{n}.tmp", std::process::id()));
        let blob = self.blob(etag);
        let _ = std::fs::remove_file(&temporary);
        let target = Path::new("..").join("..").join("blobs").join(etag);
        let linked = if self.symlinks { symlink(&target, &temporary) } else { Err(io::ErrorKind::Unsupported.into()) };
        let made = linked
            .or_else(|_| std::fs::hard_link(&blob, &temporary))
            .or_else(|_| std::fs::copy(&blob, &temporary).map(drop));
        made.and_then(|()| std::fs::rename(&temporary, &name)).map_err(|e| {
            let _ = std::fs::remove_file(&temporary);
            disk_error(&name, e)
        })
    }

    /// Says that a branch or tag is this commit. A commit needs no such note.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) if it cannot be written.
    pub(super) fn note(&self, revision: &Revision, commit: &str) -> Result<()> {
        if revision.commit().is_some() {
            return Ok(());
        }
        let path = self.model.join("refs").join(revision.as_str());
        if std::fs::read_to_string(&path).is_ok_and(|there| there == commit) {
            return Ok(());
        }
        let dir = path.parent().unwrap_or(&self.model);
        std::fs::create_dir_all(dir).map_err(|e| disk_error(dir, e))?;
        write_atomic(OP, &path, commit.as_bytes())
    }
}

#[cfg(unix)]
fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(windows)]
fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_file(target, link)
}

#[cfg(not(any(unix, windows)))]
fn symlink(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
