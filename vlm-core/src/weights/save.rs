//! Writing safetensors files.
//!
//! The bytes are those that Python's `safetensors.torch.save_file` writes for the same tensors: tensors sorted by element
//! type (widest first), then by name; a compact JSON header padded with spaces to a multiple of 8. So saving what was
//! loaded gives the same file again.

use super::atomic::{AtomicFile, folder_of, sync_dir, write_atomic, write_error};
use super::safetensors::{MAX_HEADER, MAX_TENSORS, StoredDType};
use crate::{DType, Error, ErrorKind, Result, Shape};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::io::Write;
use std::path::{Path, PathBuf};

const OP: &str = "save safetensors";

/// One tensor to save. Its bytes are asked for when they are written, so that only one tensor at a time needs to be in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Full name, `model.layers.0.self_attn.q_proj.weight`.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Sizes, outermost first.
    pub shape: Shape,
}

impl Entry {
    /// Number of bytes of the tensor.
    pub fn len_bytes(&self) -> usize {
        self.shape.count() * self.dtype.size()
    }
}

/// The metadata that Hugging Face libraries write and expect: `{"format": "pt"}`.
pub fn default_metadata() -> BTreeMap<String, String> {
    BTreeMap::from([("format".to_owned(), "pt".to_owned())])
}

/// Writes `entries` to the file `path`, replacing it atomically. `bytes(i)` gives the contiguous little-endian bytes of
/// `entries[i]`; it is called once per entry, in file order.
///
/// # Errors
/// - [`ErrorKind::Io`] naming the path if the disk is full or read-only: a file already there is unchanged.
/// - [`ErrorKind::Config`] if a name occurs twice or is `__metadata__`.
/// - [`ErrorKind::Shape`] if `bytes(i)` has another length than the shape asks for, and whatever `bytes` fails with.
pub fn save<'b>(
    path: &Path,
    entries: &[Entry],
    metadata: &BTreeMap<String, String>,
    mut bytes: impl FnMut(usize) -> Result<Cow<'b, [u8]>>,
) -> Result<()> {
    let all: Vec<usize> = (0..entries.len()).collect();
    check_names(entries)?;
    write_file(path, entries, all, metadata, &mut bytes)?.commit()
}

/// Writes `entries` into the folder `dir` (created if missing) the way `save_pretrained` does: `<stem>.safetensors` if they
/// fit into `max_shard_bytes`, else `<stem>-00001-of-0000N.safetensors` … and `<stem>.safetensors.index.json`.
/// Returns the files written. `bytes` as in [`save`].
///
/// All data is on the disk before the first existing file is replaced, and files of an earlier save with another number
/// of shards are removed at the end.
///
/// # Errors
/// As [`save`]; [`ErrorKind::Config`] for `max_shard_bytes` 0.
pub fn save_sharded<'b>(
    dir: &Path,
    stem: &str,
    entries: &[Entry],
    metadata: &BTreeMap<String, String>,
    max_shard_bytes: usize,
    mut bytes: impl FnMut(usize) -> Result<Cow<'b, [u8]>>,
) -> Result<Vec<PathBuf>> {
    if max_shard_bytes == 0 {
        return Err(Error::new(ErrorKind::Config, OP, "a shard size of 0 bytes cannot hold a tensor"));
    }
    check_names(entries)?;
    std::fs::create_dir_all(dir).map_err(|e| write_error(OP, dir, e))?;
    let mut order: Vec<usize> = (0..entries.len()).collect();
    order.sort_by(|&a, &b| entries[a].name.cmp(&entries[b].name));
    let mut shards: Vec<(usize, Vec<usize>)> = vec![(0, Vec::new())];
    for i in order {
        let size = entries[i].len_bytes();
        let last = shards.len() - 1;
        if !shards[last].1.is_empty() && shards[last].0 + size > max_shard_bytes {
            shards.push((size, vec![i]));
        } else {
            shards[last].0 += size;
            shards[last].1.push(i);
        }
    }
    let count = shards.len();
    let index_path = dir.join(format!("{stem}.safetensors.index.json"));
    let mut files = Vec::with_capacity(count + 1);
    let mut pending = Vec::with_capacity(count);
    let mut weight_map = serde_json::Map::new();
    for (n, (_, members)) in shards.into_iter().enumerate() {
        let name = match count {
            1 => format!("{stem}.safetensors"),
            _ => format!("{stem}-{:05}-of-{count:05}.safetensors", n + 1),
        };
        for &i in &members {
            weight_map.insert(entries[i].name.clone(), name.clone().into());
        }
        let path = dir.join(name);
        let mut file = write_file(&path, entries, members, metadata, &mut bytes)?;
        file.sync()?;
        pending.push(file);
        files.push(path);
    }
    for file in pending {
        file.commit()?;
    }
    if count > 1 {
        let total: usize = entries.iter().map(Entry::len_bytes).sum();
        let index = serde_json::json!({ "metadata": { "total_size": total }, "weight_map": weight_map });
        write_atomic(OP, &index_path, format!("{index:#}\n").as_bytes())?;
        files.push(index_path);
    }
    remove_stale(dir, stem, &files)?;
    Ok(files)
}

/// Removes what an earlier save of the same stem left and this one did not replace: readers would prefer or mix it in.
fn remove_stale(dir: &Path, stem: &str, keep: &[PathBuf]) -> Result<()> {
    let fail = |e| write_error(OP, dir, e);
    for entry in std::fs::read_dir(dir).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        let Some(rest) = path.file_name().and_then(|n| n.to_str()).and_then(|n| n.strip_prefix(stem)) else { continue };
        let shard = rest.strip_prefix('-').and_then(|r| r.strip_suffix(".safetensors")).is_some_and(|r| {
            r.split_once("-of-")
                .is_some_and(|(a, b)| [a, b].iter().all(|p| p.len() == 5 && p.bytes().all(|c| c.is_ascii_digit())))
        });
        if (shard || rest == ".safetensors" || rest == ".safetensors.index.json") && !keep.contains(&path) {
            std::fs::remove_file(&path).map_err(|e| write_error(OP, &path, e))?;
        }
    }
    sync_dir(folder_of(&dir.join(stem))).map_err(fail)
}

fn check_names(entries: &[Entry]) -> Result<()> {
    let mut seen = HashSet::with_capacity(entries.len());
    match entries.iter().find(|e| e.name == "__metadata__" || !seen.insert(&e.name)) {
        None if entries.len() > MAX_TENSORS => {
            let message = format!("{} tensors, more than the {MAX_TENSORS} allowed in one save", entries.len());
            Err(Error::new(ErrorKind::Config, OP, message))
        }
        None => Ok(()),
        Some(e) => {
            let message = format!("the tensor name {} is reserved or given twice", quoted(&e.name));
            Err(Error::new(ErrorKind::Config, OP, message).hint("tied weights are saved once, under one name"))
        }
    }
}

/// Writes a whole safetensors file to `out`, for callers with a way of their own to keep files; `path` only names it in
/// errors. `bytes` as in [`save`].
///
/// # Errors
/// As [`save`].
pub fn write_to<'b>(
    out: &mut dyn Write,
    path: &Path,
    entries: &[Entry],
    metadata: &BTreeMap<String, String>,
    mut bytes: impl FnMut(usize) -> Result<Cow<'b, [u8]>>,
) -> Result<()> {
    check_names(entries)?;
    write_members(out, path, entries, (0..entries.len()).collect(), metadata, &mut bytes)
}

/// Writes the members of one file and leaves it uncommitted.
fn write_file<'b>(
    path: &Path,
    entries: &[Entry],
    members: Vec<usize>,
    metadata: &BTreeMap<String, String>,
    bytes: &mut impl FnMut(usize) -> Result<Cow<'b, [u8]>>,
) -> Result<AtomicFile> {
    let mut file = AtomicFile::create(OP, path)?;
    write_members(&mut file, path, entries, members, metadata, bytes)?;
    Ok(file)
}

fn write_members<'b>(
    out: &mut dyn Write,
    path: &Path,
    entries: &[Entry],
    mut members: Vec<usize>,
    metadata: &BTreeMap<String, String>,
    bytes: &mut impl FnMut(usize) -> Result<Cow<'b, [u8]>>,
) -> Result<()> {
    members.sort_by_key(|&i| (std::cmp::Reverse(StoredDType::from(entries[i].dtype).order()), &entries[i].name));
    let header = header(entries, &members, metadata)?;
    let fail = |e| write_error(OP, path, e);
    out.write_all(&(header.len() as u64).to_le_bytes()).map_err(fail)?;
    out.write_all(header.as_bytes()).map_err(fail)?;
    for i in members {
        let (entry, data) = (&entries[i], bytes(i)?);
        if data.len() != entry.len_bytes() {
            let Entry { name, dtype, shape } = entry;
            let (name, len) = (quoted(name), entry.len_bytes());
            let message = format!("tensor {name} of shape {shape} and type {dtype} takes {len} bytes");
            return Err(Error::new(ErrorKind::Shape, OP, message).with("found", data.len()));
        }
        out.write_all(&data).map_err(fail)?;
    }
    Ok(())
}

fn header(entries: &[Entry], members: &[usize], metadata: &BTreeMap<String, String>) -> Result<String> {
    let mut parts = Vec::with_capacity(members.len() + 1);
    if !metadata.is_empty() {
        parts.push(format!("\"__metadata__\":{}", serde_json::json!(metadata)));
    }
    let mut at = 0;
    for &i in members {
        let Entry { name, dtype, shape } = &entries[i];
        let (name, dtype) = (serde_json::json!(name), StoredDType::from(*dtype).name());
        let shape = serde_json::json!(&**shape);
        let end = at + entries[i].len_bytes();
        parts.push(format!("{name}:{{\"dtype\":\"{dtype}\",\"shape\":{shape},\"data_offsets\":[{at},{end}]}}"));
        at = end;
    }
    let mut header = format!("{{{}}}", parts.join(","));
    header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(8) - header.len()));
    if header.len() > MAX_HEADER {
        let message =
            format!("the header would take {} bytes, more than the {MAX_HEADER} that can be read back", header.len());
        return Err(Error::new(ErrorKind::Config, OP, message).hint("save into smaller shards"));
    }
    Ok(header)
}

/// A name for a message: quoted, control characters escaped, cut when very long.
pub(crate) fn quoted(name: &str) -> String {
    match name.char_indices().nth(120) {
        Some((end, _)) => format!("{:?}… ({} bytes)", &name[..end], name.len()),
        None => format!("{name:?}"),
    }
}

#[cfg(test)]
mod tests;
