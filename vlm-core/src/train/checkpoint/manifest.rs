//! What a checkpoint says about itself, and checking that it is true.

use crate::weights::mapping::{open_regular, read_small};
use crate::weights::save::quoted;
use crate::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

const OP: &str = "load checkpoint";
/// The version of the manifest's form. Readers refuse later ones.
pub const SCHEMA: u64 = 1;
pub(super) const MANIFEST: &str = "manifest.json";
pub(super) const MANIFEST_DIGEST: &str = "manifest.json.sha256";
const MAX_MANIFEST: u64 = 16 << 20;

/// Length and digest of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileRecord {
    /// Length in bytes.
    pub size: u64,
    /// SHA-256 in lower-case hexadecimal.
    pub sha256: String,
}

/// `manifest.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The version of this form, [`SCHEMA`].
    pub schema: u64,
    /// Optimizer steps done.
    pub step: u64,
    /// Every file of the checkpoint but the manifest itself, by name.
    pub files: BTreeMap<String, FileRecord>,
    /// Free-form state: random seeds, position in the data, settings. Whole numbers come back exactly; **floats may not**, so
    /// a float that must be exact is stored as its bits (`f64::to_bits`) or in a file.
    pub state: Value,
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] for one of a later schema; [`ErrorKind::Format`] if it is not JSON of this form, names a file
    /// by more than a plain name, or has a digest that is none.
    pub fn parse(json: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Version {
            schema: u64,
        }
        let fail = |e: serde_json::Error| {
            Error::new(ErrorKind::Format, OP, format!("{MANIFEST} is not valid: {e}")).with_source(e)
        };
        if json.trim_ascii_start().first().is_some_and(|&b| b != b'{') {
            return Err(Error::new(ErrorKind::Format, OP, format!("{MANIFEST} is not a JSON object")));
        }
        // The version first: what comes after it may have any form in another one.
        let Version { schema } = serde_json::from_slice(json).map_err(fail)?;
        if schema != SCHEMA {
            let message = format!("the checkpoint has schema version {schema}, expected {SCHEMA}");
            return Err(Error::new(ErrorKind::Unsupported, OP, message)
                .hint("it was written by another version of this program: continue with that version"));
        }
        let manifest: Manifest = serde_json::from_slice(json).map_err(fail)?;
        for (name, record) in &manifest.files {
            check_name(name)?;
            if record.sha256.len() != 64 || !record.sha256.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
                let message = format!("the sha256 of {} is no digest: {}", quoted(name), quoted(&record.sha256));
                return Err(Error::new(ErrorKind::Format, OP, message));
            }
        }
        Ok(manifest)
    }
}

/// Refuses names of files that are not plain or are taken by the checkpoint itself.
pub(super) fn check_name(name: &str) -> Result<()> {
    let mut parts = Path::new(name).components();
    let plain = matches!((parts.next(), parts.next()), (Some(Component::Normal(n)), None) if n == name);
    if plain && !name.contains(['/', '\\', '\0', ':']) && name != MANIFEST && name != MANIFEST_DIGEST {
        return Ok(());
    }
    let message = format!("a checkpoint cannot have a file named {}", quoted(name));
    Err(Error::new(ErrorKind::Format, OP, message).hint("files have plain names without folders"))
}

/// A checkpoint on disk whose files are all as its manifest says.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    path: PathBuf,
    manifest: Manifest,
}

impl Checkpoint {
    /// Opens the checkpoint folder `path` and reads all of it to check its digests.
    ///
    /// # Errors
    /// - [`ErrorKind::Format`] naming the file that is missing, shortened or changed.
    /// - [`ErrorKind::Unsupported`] for a checkpoint of a later schema.
    /// - [`ErrorKind::Io`] if something cannot be read, [`ErrorKind::Config`] if the folder is no checkpoint at all.
    pub fn open(path: &Path) -> Result<Self> {
        let checkpoint = Self::open_unverified(path)?;
        for (name, record) in &checkpoint.manifest.files {
            let found = digest_file(&path.join(name))?;
            if found != *record {
                let what = if found.size != record.size {
                    format!("{name} has {} bytes, expected {}", found.size, record.size)
                } else {
                    format!("{name} has changed: its SHA-256 is not the manifest's")
                };
                return Err(damaged(path, what));
            }
        }
        Ok(checkpoint)
    }

    /// As [`open`](Self::open), but compares only the lengths of files, not their content.
    pub(super) fn open_unverified(path: &Path) -> Result<Self> {
        if path.is_dir() && path.join(MANIFEST).symlink_metadata().is_err() {
            let message = format!("{} is no checkpoint of ours: it has no {MANIFEST}", path.display());
            return Err(Error::new(ErrorKind::Config, OP, message));
        }
        let json = read_small(OP, &path.join(MANIFEST), MAX_MANIFEST)?;
        let manifest = Manifest::parse(&json).map_err(|e| e.with("checkpoint", path.display()))?;
        let digest = read_small(OP, &path.join(MANIFEST_DIGEST), 1024)?;
        if digest != digest_line(&json).as_bytes() {
            return Err(damaged(path, format!("{MANIFEST} has changed: its SHA-256 is not that in {MANIFEST_DIGEST}")));
        }
        for (name, record) in &manifest.files {
            let file =
                open_regular(OP, &path.join(name)).map_err(|e| damaged(path, e.message().to_owned()).with_source(e))?;
            let size = file.metadata().map_err(|e| Error::io(OP, &path.join(name), e))?.len();
            if size != record.size {
                return Err(damaged(path, format!("{name} has {size} bytes, expected {}", record.size)));
            }
        }
        Ok(Checkpoint { path: path.to_path_buf(), manifest })
    }

    /// The checkpoint's folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Optimizer steps done.
    pub fn step(&self) -> u64 {
        self.manifest.step
    }

    /// The free-form state. See [`Manifest::state`] about floats.
    pub fn state(&self) -> &Value {
        &self.manifest.state
    }

    /// The whole manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Where the file `name` is.
    ///
    /// # Errors
    /// [`ErrorKind::Format`] naming the files there are, if it is not among them.
    pub fn file(&self, name: &str) -> Result<PathBuf> {
        if self.manifest.files.contains_key(name) {
            return Ok(self.path.join(name));
        }
        let names: Vec<_> = self.manifest.files.keys().map(String::as_str).collect();
        let message = format!("{} has no file {}, only {}", self.path.display(), quoted(name), names.join(", "));
        Err(Error::new(ErrorKind::Format, OP, message))
    }
}

fn damaged(path: &Path, what: String) -> Error {
    Error::new(ErrorKind::Format, OP, format!("{} is damaged: {what}", path.display()))
}

/// A line as `sha256sum` writes it.
pub(super) fn digest_line(manifest: &[u8]) -> String {
    format!("{}  {MANIFEST}\n", hex(&Sha256::digest(manifest)))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut out, b| {
        let _ = write!(out, "{b:02x}");
        out
    })
}

fn digest_file(path: &Path) -> Result<FileRecord> {
    let mut file = open_regular(OP, path)?;
    let mut hash = Sha256::new();
    let mut size = 0;
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(FileRecord { size, sha256: hex(&hash.finalize()) }),
            Ok(n) => {
                size += n as u64;
                hash.update(&buffer[..n]);
            }
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(Error::io(OP, path, e)),
        }
    }
}
