//! Checkpoints: states of a run that it can continue from, whatever interrupted it.
//!
//! A checkpoint is a folder `checkpoint-<step>` with files, a `manifest.json` that lists each file's length and SHA-256
//! together with free-form state, and `manifest.json.sha256` for the manifest itself (`sha256sum -c` reads it).
//!
//! Invariant: a folder named `checkpoint-<step>` is complete. It is written under another name, every file flushed to
//! the disk, then renamed, and the folder above flushed. A kill, a crash or a full disk at any moment leaves the
//! checkpoints that were there; what is half-written is swept away when the next run opens the folder.
//!
//! - [`CheckpointStore`] owns an output folder: locks it, saves, prunes.
//! - [`latest`] finds the newest checkpoint whose every byte is as its manifest says, and says why it passed over others.
//! - [`check_same_run`] refuses to continue a run with other settings and lists which ones differ.

mod fingerprint;
mod fs;
mod lock;
mod manifest;
mod store;

pub use fingerprint::{Difference, check_same_run, differences};
pub use lock::OutputLock;
pub use manifest::{Checkpoint, FileRecord, Manifest, SCHEMA};
pub use store::{CheckpointFile, CheckpointStore, CheckpointWriter, Latest, latest, resume_from};

#[cfg(test)]
mod tests;
