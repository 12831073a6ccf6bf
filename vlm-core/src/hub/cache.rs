//! Looking a model up in a cache of Hugging Face's layout:
//!
//! ```text
//! models--owner--name/
//!   blobs/<etag>                   contents; `<etag>.incomplete` is one that is being fetched
//!   refs/<branch or tag>           the commit of it, 40 digits
//!   snapshots/<commit>/<file>      links to ../../blobs/<etag>
//! ```

use super::id::{ModelId, Revision, is_commit, shown};
use crate::weights::mapping::read_small;
use crate::weights::sharded::Index;
use crate::{Error, ErrorKind, Result};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const OP: &str = "look up model";
/// Longest file of a commit that is read.
const MAX_REF: u64 = 4096;
/// Longest index that is read.
const MAX_INDEX: u64 = 64 << 20;
/// How many names a message lists.
const LISTED: usize = 8;
/// Most folders that are looked through for names to show.
const MAX_SEEN: usize = 1000;

/// What a cache has of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A folder that can be used.
    Whole(PathBuf),
    /// A folder that lacks files.
    Broken {
        /// The snapshot.
        folder: PathBuf,
        /// What is missing.
        missing: Vec<String>,
    },
    /// Nothing of this revision; what there is instead, for a message.
    Nothing(Option<String>),
}

/// The folder of a model in a cache.
pub(super) fn folder(cache: &Path, id: &ModelId) -> PathBuf {
    cache.join(id.folder())
}

/// Looks for a snapshot.
///
/// # Errors
/// [`ErrorKind::Format`] for a file of `refs` that holds no commit and for an index of shards that is none,
/// [`ErrorKind::Config`] for an abbreviated commit that fits several.
pub(super) fn find(cache: &Path, id: &ModelId, revision: &Revision) -> Result<Found> {
    let model = folder(cache, id);
    if !model.is_dir() {
        return Ok(Found::Nothing(None));
    }
    let Some(commit) = commit(&model, revision)? else { return Ok(Found::Nothing(others(&model))) };
    let folder = model.join("snapshots").join(commit);
    if revision.commit().is_some() && !folder.is_dir() {
        return Ok(Found::Nothing(others(&model)));
    }
    let missing = missing(&folder)?;
    Ok(if missing.is_empty() { Found::Whole(folder) } else { Found::Broken { folder, missing } })
}

/// The commit that a revision stands for.
fn commit(model: &Path, revision: &Revision) -> Result<Option<String>> {
    if let Some(commit) = revision.commit() {
        return Ok(Some(commit));
    }
    let named = model.join("refs").join(revision.as_str());
    if named.is_file() {
        let bytes = read_small(OP, &named, MAX_REF)?;
        let text = String::from_utf8_lossy(&bytes);
        let text = text.trim();
        if !is_commit(text) {
            let message = format!("{} holds {}, expected a commit of 40 digits", named.display(), shown(text));
            return Err(
                Error::new(ErrorKind::Format, OP, message).hint("delete this file and download the model again")
            );
        }
        return Ok(Some(text.to_ascii_lowercase()));
    }
    let Some(short) = revision.short_commit() else { return Ok(None) };
    let mut fitting: Vec<String> = names(&model.join("snapshots")).filter(|n| n.starts_with(&short)).collect();
    if fitting.len() > 1 {
        fitting.sort();
        let message = format!("the commit {revision} fits {} snapshots: {}", fitting.len(), list(&fitting));
        return Err(Error::new(ErrorKind::Config, OP, message)
            .with("cache", model.display())
            .hint("give more digits of it"));
    }
    Ok(fitting.pop())
}

/// What a snapshot lacks to be loaded: nothing if it is a model with all its weights, or an adapter.
///
/// # Errors
/// [`ErrorKind::Format`] if the index of the weights is none.
pub(super) fn missing(snapshot: &Path) -> Result<Vec<String>> {
    let there = |name: &str| snapshot.join(name).is_file();
    // A broken link counts as listed: whoever loads the folder would open it.
    let listed = |name: &str| snapshot.join(name).symlink_metadata().is_ok();
    let mut wanted: BTreeSet<String> = BTreeSet::new();
    if !listed("config.json") && listed("adapter_config.json") {
        wanted.extend(["adapter_config.json", "adapter_model.safetensors"].map(str::to_owned));
    } else {
        wanted.insert("config.json".to_owned());
        let index = "model.safetensors.index.json";
        if listed("model.safetensors") {
            wanted.insert("model.safetensors".to_owned());
        } else if listed(index) {
            wanted.insert(index.to_owned());
            if there(index) {
                wanted.extend(shards(&snapshot.join(index))?);
            }
        } else {
            wanted.insert(format!("model.safetensors (or {index})"));
        }
    }
    // Other files are not needed by every model, but a link to nothing is always damage. Weights that nothing names may go.
    let broken = |name: &String| is_wanted(name) && !name.ends_with(".safetensors") && !snapshot.join(name).exists();
    wanted.extend(names(snapshot).filter(broken));
    Ok(wanted.into_iter().filter(|name| !there(name)).collect())
}

/// The files that an index names.
pub(super) fn shards(index: &Path) -> Result<BTreeSet<String>> {
    let parsed = Index::parse(&read_small(OP, index, MAX_INDEX)?).map_err(|e| e.with("file", index.display()))?;
    Ok(parsed.weight_map.into_values().collect())
}

/// Whether a file of a repository can be part of what we load: at the top level, of a kind that is read, under a name that
/// is a plain one on every system.
pub(super) fn is_wanted(name: &str) -> bool {
    const KINDS: [&str; 5] = [".json", ".jinja", ".txt", ".model", ".safetensors"];
    let plain = name.bytes().all(|b| b.is_ascii_graphic() || b == b' ') && !name.contains(['/', '\\', ':', '"', '|']);
    plain
        && name.len() <= 200
        && !name.starts_with('.')
        && KINDS.iter().any(|k| name.len() > k.len() && name.ends_with(k))
}

/// The names in a folder that are text. None for a folder that cannot be read.
fn names(dir: &Path) -> impl Iterator<Item = String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|e| e.file_name().into_string().ok())
}

/// What a model's folder has other than what was asked for.
fn others(model: &Path) -> Option<String> {
    let mut named = Vec::new();
    references(&model.join("refs"), "", &mut named);
    named.sort();
    if !named.is_empty() {
        return Some(format!("revisions that are there: {}", list(&named)));
    }
    let mut commits: Vec<String> = names(&model.join("snapshots")).filter(|n| is_commit(n)).take(MAX_SEEN).collect();
    commits.sort();
    let begun = commits.iter().find_map(|c| {
        let missing = missing(&model.join("snapshots").join(c)).ok().filter(|m| !m.is_empty())?;
        Some(format!("a download of commit {c} was begun and lacks {}", list(&missing)))
    });
    begun.or_else(|| (!commits.is_empty()).then(|| format!("commits that are there: {}", list(&commits))))
}

/// The names below `refs`, slashes included.
fn references(dir: &Path, above: &str, found: &mut Vec<String>) {
    const DEEPEST: usize = 8;
    for name in names(dir) {
        if found.len() >= MAX_SEEN {
            return;
        }
        let (path, whole) = (dir.join(&name), format!("{above}{name}"));
        if path.is_file() {
            found.push(whole);
        } else if whole.split('/').count() < DEEPEST {
            references(&path, &format!("{whole}/"), found);
        }
    }
}

/// The first of many names, and how many more there are.
pub(super) fn list(names: &[String]) -> String {
    let first = names[..names.len().min(LISTED)].join(", ");
    if names.len() > LISTED { format!("{first} and {} more", names.len() - LISTED) } else { first }
}
