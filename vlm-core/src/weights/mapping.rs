//! Bytes of a file, mapped or read, shared without copying.
//!
//! [`LoadMode::Map`] costs nothing until a page is touched and shares memory between processes. The price: if another
//! program *shortens* the file while it is mapped, touching a lost page ends the process with `SIGBUS`, which no
//! library can turn into an error. [`SharedBytes::check_unchanged`] notices a shortened file before its bytes are
//! used, which narrows the window but cannot close it. Writers that replace files by renaming (ours do, and so do
//! Hugging Face's) are harmless. Where files may be rewritten in place, or live on a network share, use
//! [`LoadMode::Read`]: the bytes are copied once into page-aligned memory, backed by huge pages where the system has
//! them, which is also faster to stream through.

use crate::{Error, ErrorKind, Result};
use memmap2::{Mmap, MmapMut};
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::ops::{Deref, Range};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const OP: &str = "open weights";
/// How the file begins that git keeps in the place of a large one.
pub(super) const LFS_POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";
pub(super) const LFS_REMEDY: &str = "run `git lfs pull` in the repository, or download the file";

/// How a file's bytes come into memory. See the [module documentation](self) for the trade.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LoadMode {
    /// Memory-map the file; pages are read when first touched.
    #[default]
    Map,
    /// Read the whole file into page-aligned memory.
    Read,
}

struct Inner {
    map: Mmap,
    path: PathBuf,
    /// The mapped file, kept to notice that it was shortened; `None` for bytes that were read.
    file: Option<File>,
}

/// A part of a file's bytes. Cloning and slicing share the memory, which lives as long as any part does.
#[derive(Clone)]
pub struct SharedBytes {
    inner: Arc<Inner>,
    range: Range<usize>,
}

impl SharedBytes {
    /// All bytes of the regular file at `path`.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] naming the path and what is wrong: missing, a broken link, a directory, a pipe or device, no
    /// permission, or a file that changed its length while it was read.
    pub fn open(path: &Path, mode: LoadMode) -> Result<Self> {
        let file = open_regular(OP, path)?;
        let metadata = file.metadata().map_err(|e| Error::io(OP, path, e))?;
        let len = usize::try_from(metadata.len())
            .map_err(|_| Error::new(ErrorKind::Io, OP, format!("{}: too large for this machine", path.display())))?;
        let (map, file) = match mode {
            LoadMode::Read => (read_all(path, file, len)?, None),
            // An empty file cannot be mapped.
            LoadMode::Map if len == 0 => (read_all(path, file, 0)?, None),
            LoadMode::Map => {
                // SAFETY: the map is read-only and private to `Inner`, which hands out `&[u8]` no longer than it lives.
                // A `&[u8]` must not change under its reader: that another process does not write to the file in
                // place while it is mapped is the documented condition of `LoadMode::Map` (module documentation), and
                // `LoadMode::Read` is there for whoever cannot promise it.
                let map = unsafe { Mmap::map(&file) }.map_err(|e| Error::io(OP, path, e))?;
                (map, Some(file))
            }
        };
        let range = 0..len;
        Ok(SharedBytes { inner: Arc::new(Inner { map, path: path.to_path_buf(), file }), range })
    }

    /// The bytes at `range` of this part, sharing the memory.
    ///
    /// # Errors
    /// [`ErrorKind::Index`] if the range is not inside.
    pub fn slice(&self, range: Range<usize>) -> Result<Self> {
        if range.start > range.end || range.end > self.range.len() {
            let message = format!("bytes {range:?} are outside of the {} there are", self.range.len());
            return Err(Error::new(ErrorKind::Index, OP, message).with("file", self.inner.path.display()));
        }
        let start = self.range.start + range.start;
        Ok(SharedBytes { inner: Arc::clone(&self.inner), range: start..start + range.len() })
    }

    /// The file these bytes come from.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Whether the bytes are a memory map of the file, and so share its fate.
    pub fn is_mapped(&self) -> bool {
        self.inner.file.is_some()
    }

    /// Checks that a mapped file has not been shortened; costs one system call.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if it has, in which case touching the bytes may end the process.
    pub fn check_unchanged(&self) -> Result<()> {
        let Inner { map, path, file } = &*self.inner;
        let Some(file) = file else { return Ok(()) };
        let now = file.metadata().map_err(|e| Error::io(OP, path, e))?.len();
        if now < map.len() as u64 {
            let message = format!("{} was shortened from {} to {now} bytes while in use", path.display(), map.len());
            return Err(Error::new(ErrorKind::Io, OP, message)
                .hint("load the file again; use LoadMode::Read for files that are rewritten in place"));
        }
        Ok(())
    }
}

impl AsRef<[u8]> for SharedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.inner.map[self.range.clone()]
    }
}

impl Deref for SharedBytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.as_ref()
    }
}

impl fmt::Debug for SharedBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedBytes")
            .field("path", &self.inner.path)
            .field("range", &self.range)
            .field("mapped", &self.is_mapped())
            .finish()
    }
}

/// Opens a regular file. What it is gets looked at first: opening a pipe would wait for a writer for ever.
pub(crate) fn open_regular(op: &'static str, path: &Path) -> Result<File> {
    let metadata = std::fs::metadata(path).map_err(|e| {
        let error = Error::io(op, path, e);
        match std::fs::symlink_metadata(path) {
            Ok(link) if link.is_symlink() => {
                let target = std::fs::read_link(path).unwrap_or_default();
                error.with("link to", target.display()).hint("the link's target is missing: fetch the file again")
            }
            _ => error.hint("check the path"),
        }
    })?;
    if !metadata.is_file() {
        let what = if metadata.is_dir() { "a directory" } else { "a pipe, socket or device" };
        let message = format!("{} is {what}, expected a regular file", path.display());
        return Err(Error::new(ErrorKind::Io, op, message));
    }
    File::open(path).map_err(|e| {
        let denied = e.kind() == std::io::ErrorKind::PermissionDenied;
        let error = Error::io(op, path, e);
        if denied { error.hint("the file exists but this user may not read it") } else { error }
    })
}

/// The whole of a small text or JSON file, refused beyond `max` bytes before anything is read.
pub(crate) fn read_small(op: &'static str, path: &Path, max: u64) -> Result<Vec<u8>> {
    let file = open_regular(op, path)?;
    let mut bytes = Vec::new();
    file.take(max + 1).read_to_end(&mut bytes).map_err(|e| Error::io(op, path, e))?;
    if bytes.len() as u64 > max {
        let message = format!("{} is larger than the {max} bytes allowed for such a file", path.display());
        return Err(Error::new(ErrorKind::Format, op, message));
    }
    if bytes.starts_with(LFS_POINTER) {
        let message = format!("{} is a git-lfs pointer, not the file itself", path.display());
        return Err(Error::new(ErrorKind::Format, op, message).hint(LFS_REMEDY));
    }
    Ok(bytes)
}

/// Whether a file of this name is there, be it a link that leads nowhere: opening it then says so.
pub(crate) fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

fn read_all(path: &Path, mut file: File, len: usize) -> Result<Mmap> {
    let fail = |e| Error::io(OP, path, e);
    let mut memory = MmapMut::map_anon(len.max(1)).map_err(|e| {
        Error::new(ErrorKind::OutOfMemory, OP, format!("no {len} bytes of memory for {}", path.display()))
            .with_source(e)
    })?;
    #[cfg(target_os = "linux")]
    if len >= 4 << 20 {
        // Without huge pages everything works, only slower.
        let _ = memory.advise(memmap2::Advice::HugePage);
    }
    let short = |found: usize| {
        let message = format!("{} changed its length while it was read: expected {len} bytes", path.display());
        Err(Error::new(ErrorKind::Io, OP, message).with("found", found).hint("wait until its writer is done"))
    };
    let mut done = 0;
    while done < len {
        match file.read(&mut memory[done..len]) {
            Ok(0) => return short(done),
            Ok(n) => done += n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(fail(e)),
        }
    }
    if file.read(&mut [0]).map_err(fail)? != 0 {
        return short(len + 1);
    }
    memory.make_read_only().map_err(fail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_modes_give_the_same_bytes_and_parts_share_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        for len in [0usize, 1, 4096, (5 << 20) + 3] {
            let bytes: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
            std::fs::write(&path, &bytes).unwrap();
            for mode in [LoadMode::Map, LoadMode::Read] {
                let shared = SharedBytes::open(&path, mode).unwrap();
                assert_eq!(&*shared, &bytes[..], "{mode:?} {len}");
                assert_eq!(shared.is_mapped(), mode == LoadMode::Map && len > 0);
                assert_eq!(shared.as_ptr() as usize % 4096, 0);
                assert!(shared.slice(0..len + 1).is_err());
                if len > 10 {
                    let part = shared.slice(3..10).unwrap().slice(1..7).unwrap();
                    drop(shared);
                    assert_eq!(&*part, &bytes[4..10]);
                }
            }
        }
    }

    #[test]
    fn a_file_shortened_under_its_map_is_noticed_and_one_read_is_not_affected() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, vec![7u8; 9000]).unwrap();
        let (mapped, read) =
            (SharedBytes::open(&path, LoadMode::Map).unwrap(), SharedBytes::open(&path, LoadMode::Read).unwrap());
        mapped.check_unchanged().unwrap();
        File::options().write(true).open(&path).unwrap().set_len(100).unwrap();
        let e = mapped.check_unchanged().unwrap_err().to_string();
        assert!(e.contains("9000 to 100") && e.contains("LoadMode::Read"), "{e}");
        read.check_unchanged().unwrap();
        assert!(read.iter().all(|&b| b == 7));
    }

    #[cfg(unix)]
    #[test]
    fn what_is_not_a_readable_regular_file_is_named() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        symlink("nowhere", at("link")).unwrap();
        let fifo = std::process::Command::new("mkfifo").arg(at("fifo")).status();
        std::fs::write(at("secret"), "x").unwrap();
        std::fs::set_permissions(at("secret"), std::fs::Permissions::from_mode(0o0)).unwrap();
        for (name, want) in [("missing", "No such file"), ("link", "link to: nowhere"), (".", "is a directory")] {
            let e = SharedBytes::open(&at(name), LoadMode::Map).unwrap_err();
            assert!(e.kind() == ErrorKind::Io && e.to_string().contains(want), "{e}");
        }
        if fifo.is_ok_and(|s| s.success()) {
            assert!(SharedBytes::open(&at("fifo"), LoadMode::Read).unwrap_err().to_string().contains("a pipe"));
        }
        // The superuser may read everything, so there is nothing to see for it.
        if File::open(at("secret")).is_err() {
            assert!(SharedBytes::open(&at("secret"), LoadMode::Map).unwrap_err().to_string().contains("may not read"));
        }
    }
}
