//! Where things are, and what the workspace has.

use anyhow::{Result, bail};
use std::path::{Path, PathBuf};

/// The workspace's root folder.
pub(crate) fn root() -> &'static Path {
    // The manifest of this package is one folder below.
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or_else(|| Path::new("."))
}

/// A path inside the workspace.
pub(crate) fn path(inside: &str) -> PathBuf {
    root().join(inside)
}

/// Whether the package is a member, by the workspace's manifest.
pub(crate) fn has_member(folder: &str) -> bool {
    let manifest = std::fs::read_to_string(path("Cargo.toml")).unwrap_or_default();
    let members = manifest.split("members = [").nth(1).and_then(|rest| rest.split(']').next()).unwrap_or_default();
    members.split(',').any(|m| m.trim().trim_matches('"') == folder)
}

/// Fails with a clear text if the package is not a member.
pub(crate) fn need_member(folder: &str) -> Result<()> {
    if !has_member(folder) {
        bail!("{folder} is no member of the workspace yet: what this step checks does not exist");
    }
    Ok(())
}
