//! The weights of a model: one safetensors file, or shards behind `model.safetensors.index.json`.

use super::mapping::{LoadMode, SharedBytes, is_there, read_small};
use super::safetensors::{Header, TensorInfo, UniqueStrings};
use super::save::quoted;
use super::verify::first_non_finite;
use crate::{DType, Error, ErrorKind, Result, Shape};
use serde::Deserialize;
use serde::de::{DeserializeSeed, IgnoredAny};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

const OP: &str = "load weights";
/// The longest index accepted, in bytes.
const MAX_INDEX: u64 = 64 << 20;
/// How many names a message lists before it only counts the rest.
const LISTED: usize = 8;

/// How to open weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoadOptions {
    /// Whether files are mapped or read.
    pub mode: LoadMode,
    /// Whether to read all weights once and refuse NaN and infinite values. Off by default: it touches every page.
    pub verify: bool,
}

/// One tensor's bytes with what they mean.
#[derive(Clone, Debug)]
pub struct Weight {
    /// Element type of the bytes.
    pub dtype: DType,
    /// Sizes, outermost first.
    pub shape: Shape,
    /// Contiguous little-endian elements. **Not aligned in general**: the format allows an `f32` at an odd address, so a
    /// device adopts the memory only if it is aligned and copies it otherwise.
    pub bytes: SharedBytes,
}

#[derive(Debug)]
struct Shard {
    bytes: SharedBytes,
    header: Header,
}

/// The tensors of a model on disk, found by name.
#[derive(Debug)]
pub struct WeightFiles {
    path: PathBuf,
    shards: Vec<Shard>,
    owner: BTreeMap<String, usize>,
}

/// What an expected set of names and the names in the files do not share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Expected but not in the files, sorted.
    pub missing: Vec<String>,
    /// In the files but not expected, sorted.
    pub unexpected: Vec<String>,
}

impl WeightFiles {
    /// Opens weights with default options. See [`open_with`](Self::open_with).
    ///
    /// # Errors
    /// As [`open_with`](Self::open_with).
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, LoadOptions::default())
    }

    /// Opens a `.safetensors` file, an index `*.safetensors.index.json`, or a folder that holds `model.safetensors` or
    /// `model.safetensors.index.json` (looked for in this order, as transformers does).
    ///
    /// Only headers are read and checked, unless [`LoadOptions::verify`] is set.
    ///
    /// # Errors
    /// - [`ErrorKind::Io`] for files that are missing, unreadable, or no regular files.
    /// - [`ErrorKind::Format`] for whatever [`Header::parse`] refuses; for an index that is no valid JSON, names files
    ///   outside its folder, names a tensor that its shard lacks; for a tensor in two shards.
    /// - [`ErrorKind::NonFinite`] naming tensor and element if `verify` finds one.
    pub fn open_with(path: impl AsRef<Path>, options: LoadOptions) -> Result<Self> {
        let path = path.as_ref();
        let found = if path.is_dir() { in_folder(path)? } else { path.to_path_buf() };
        let files = if found.extension().is_some_and(|e| e == "json") {
            Self::open_index(&found, options)?
        } else {
            let shard = Shard::open(&found, options)?;
            let owner = shard.header.tensors.keys().map(|name| (name.clone(), 0)).collect();
            WeightFiles { path: found, shards: vec![shard], owner }
        };
        if options.verify {
            files.verify()?;
        }
        Ok(files)
    }

    fn open_index(path: &Path, options: LoadOptions) -> Result<Self> {
        let index = Index::parse(&read_small(OP, path, MAX_INDEX)?).map_err(|e| e.with("file", path.display()))?;
        let folder = super::atomic::folder_of(path);
        let mut shards: Vec<Shard> = Vec::new();
        let mut owner: BTreeMap<String, usize> = BTreeMap::new();
        let fail = |message: String| Error::new(ErrorKind::Format, OP, message).with("index", path.display());
        for file in index.weight_map.values().collect::<BTreeSet<_>>() {
            let shard = Shard::open(&folder.join(file), options).map_err(|e| e.with("named by", path.display()))?;
            for name in shard.header.tensors.keys() {
                if let Some(other) = owner.insert(name.clone(), shards.len()) {
                    let other = shards[other].name();
                    return Err(fail(format!(
                        "tensor {} is in two shards: {other} and {}",
                        quoted(name),
                        shard.name()
                    )));
                }
            }
            shards.push(shard);
        }
        for (name, file) in &index.weight_map {
            match owner.get(name) {
                None => {
                    return Err(fail(format!(
                        "tensor {} is not in {}, where the index puts it",
                        quoted(name),
                        quoted(file)
                    )));
                }
                Some(&at) if shards[at].name() != *file => {
                    let found = shards[at].name();
                    return Err(fail(format!(
                        "tensor {} is in {found}, but the index says {}",
                        quoted(name),
                        quoted(file)
                    )));
                }
                Some(_) => {}
            }
        }
        if owner.len() > index.weight_map.len() {
            let extra = owner.keys().filter(|n| !index.weight_map.contains_key(*n)).map(|n| quoted(n));
            let extra: Vec<_> = extra.take(LISTED).collect();
            tracing::warn!(index = %path.display(), tensors = ?extra, "shards hold tensors that the index does not name");
        }
        let files = WeightFiles { path: path.to_path_buf(), shards, owner };
        let total = files.total_bytes();
        if let Some(claimed) = index.total_size.filter(|&c| c != total as u64) {
            tracing::warn!(index = %path.display(), claimed, total, "total_size of the index is not the size of its tensors");
        }
        Ok(files)
    }

    /// The file or index that was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The files that hold the tensors.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.shards.iter().map(|s| s.bytes.path())
    }

    /// The names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.owner.keys().map(String::as_str)
    }

    /// Number of tensors.
    pub fn len(&self) -> usize {
        self.owner.len()
    }

    /// Whether there are no tensors.
    pub fn is_empty(&self) -> bool {
        self.owner.is_empty()
    }

    /// What the header says about a tensor.
    pub fn info(&self, name: &str) -> Option<&TensorInfo> {
        self.shards[*self.owner.get(name)?].header.tensors.get(name)
    }

    /// The free-form strings of the first file's `__metadata__`.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        self.shards.first().map_or(&NONE, |s| &s.header.metadata)
    }

    /// Bytes of all tensors together.
    pub fn total_bytes(&self) -> usize {
        self.shards.iter().flat_map(|s| s.header.tensors.values()).map(|t| t.range.len()).sum()
    }

    /// A tensor's bytes, shared with this object and not copied.
    ///
    /// # Errors
    /// - [`ErrorKind::Format`] if there is no such tensor, with names that look alike.
    /// - [`ErrorKind::DType`] if its element type is one this crate does not compute with (`F8_E4M3` …).
    /// - [`ErrorKind::Io`] if the mapped file was shortened meanwhile.
    pub fn get(&self, name: &str) -> Result<Weight> {
        let Some(&at) = self.owner.get(name) else { return Err(self.unknown(name)) };
        let shard = &self.shards[at];
        let TensorInfo { dtype, shape, range } = &shard.header.tensors[name];
        let Some(dtype) = dtype.dtype() else {
            let names = DType::ALL.map(DType::name).join(", ");
            let message = format!("tensor {} has element type {}, which is not supported", quoted(name), dtype.name());
            return Err(Error::new(ErrorKind::DType, OP, message)
                .with("file", shard.bytes.path().display())
                .hint(format!("convert the weights to one of {names}")));
        };
        shard.bytes.check_unchanged()?;
        Ok(Weight { dtype, shape: *shape, bytes: shard.bytes.slice(range.clone())? })
    }

    /// As [`get`](Self::get), for a tensor that must have the shape `expected`.
    ///
    /// # Errors
    /// As [`get`](Self::get), and [`ErrorKind::Format`] naming the tensor and both shapes.
    pub fn get_shaped(&self, name: &str, expected: &Shape) -> Result<Weight> {
        let weight = self.get(name)?;
        if weight.shape != *expected {
            let message = format!("tensor {}: expected shape {expected}, found {}", quoted(name), weight.shape);
            return Err(Error::new(ErrorKind::Format, OP, message)
                .with("file", weight.bytes.path().display())
                .hint("config.json and the weights do not belong together"));
        }
        Ok(weight)
    }

    /// Compares the names in the files with the names a model wants.
    pub fn coverage<'n>(&self, expected: impl IntoIterator<Item = &'n str>) -> Coverage {
        let expected: BTreeSet<&str> = expected.into_iter().collect();
        Coverage {
            missing: expected.iter().filter(|n| !self.owner.contains_key(**n)).map(|n| (*n).to_owned()).collect(),
            unexpected: self.names().filter(|n| !expected.contains(n)).map(str::to_owned).collect(),
        }
    }

    /// Reads every float once and refuses NaN and infinite ones.
    ///
    /// # Errors
    /// [`ErrorKind::NonFinite`] naming file, tensor and position of the first in each of up to 8 tensors.
    pub fn verify(&self) -> Result<()> {
        let mut bad = Vec::new();
        for name in self.names() {
            let known = self.info(name).is_some_and(|i| i.dtype.dtype().is_some());
            if !known {
                continue;
            }
            let Weight { dtype, bytes, .. } = self.get(name)?;
            if let Some(at) = first_non_finite(dtype, &bytes) {
                bad.push(format!("{} (element {at})", quoted(name)));
            }
        }
        if bad.is_empty() {
            return Ok(());
        }
        let message = format!("{} tensors hold NaN or infinite values: {}", bad.len(), list(&bad));
        Err(Error::new(ErrorKind::NonFinite, OP, message).with("weights", self.path.display()))
    }

    fn unknown(&self, name: &str) -> Error {
        let message =
            format!("there is no tensor {} among the {} in {}", quoted(name), self.len(), self.path.display());
        let error = Error::new(ErrorKind::Format, OP, message);
        let tail = |n: &str| n.rsplit('.').take(3).collect::<Vec<_>>().join(".");
        let wanted = tail(name);
        let alike: Vec<_> = self.names().filter(|n| tail(n) == wanted).take(3).map(quoted).collect();
        let first: Vec<_> = self.names().take(3).map(quoted).collect();
        match (alike.is_empty(), first.is_empty()) {
            (false, _) => error.hint(format!("names that end alike: {}", alike.join(", "))),
            (true, false) => error.hint(format!("names there begin with {}", first.join(", "))),
            (true, true) => error.hint("the file holds no tensors at all"),
        }
    }
}

impl Coverage {
    /// Nothing, or an error that lists what is missing; with `strict` also what is unexpected.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] listing up to 8 names of each sort and how many there are.
    pub fn check(&self, strict: bool) -> Result<()> {
        let mut parts = Vec::new();
        for (what, names, counts) in [("missing", &self.missing, true), ("unexpected", &self.unexpected, strict)] {
            if counts && !names.is_empty() {
                let quoted: Vec<_> = names.iter().map(|n| quoted(n)).collect();
                parts.push(format!("{} tensors are {what}: {}", names.len(), list(&quoted)));
            }
        }
        if parts.is_empty() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Config, OP, parts.join("; ")).hint("are these the weights of this model and config?"))
    }
}

impl Shard {
    fn open(path: &Path, options: LoadOptions) -> Result<Self> {
        let bytes = SharedBytes::open(path, options.mode)?;
        let header = Header::parse(&bytes).map_err(|e| e.with("file", path.display()))?;
        Ok(Shard { bytes, header })
    }

    fn name(&self) -> &str {
        self.bytes.path().file_name().and_then(|n| n.to_str()).unwrap_or_default()
    }
}

/// The first names of a list and how many more there are.
fn list(names: &[String]) -> String {
    let shown = names[..names.len().min(LISTED)].join(", ");
    if names.len() > LISTED { format!("{shown} and {} more", names.len() - LISTED) } else { shown }
}

fn in_folder(dir: &Path) -> Result<PathBuf> {
    for name in ["model.safetensors", "model.safetensors.index.json"] {
        let path = dir.join(name);
        if is_there(&path) {
            return Ok(path);
        }
    }
    let message = format!("{} holds neither model.safetensors nor model.safetensors.index.json", dir.display());
    let pickle = ["pytorch_model.bin", "pytorch_model.bin.index.json"].iter().any(|n| dir.join(n).exists());
    Err(Error::new(ErrorKind::Io, OP, message).hint(match pickle {
        true => {
            "its pytorch_model.bin is a pickle, which is never read: convert the model to safetensors with transformers"
        }
        false => "give the folder of a downloaded model, or the path of a .safetensors file",
    }))
}

/// `model.safetensors.index.json`: which tensor is in which file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// Tensor name to file name; every file name is a plain name without a folder.
    pub weight_map: BTreeMap<String, String>,
    /// The `total_size` claimed, in bytes; only compared with the truth, never relied on.
    pub total_size: Option<u64>,
}

impl Index {
    /// Reads an index.
    ///
    /// # Errors
    /// [`ErrorKind::Format`] if it is not JSON of this form, names a tensor twice, or names a file by more than a plain
    /// name (`../x`, `/etc/x`, `a/b`): weights come only from the folder of their index.
    pub fn parse(json: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Raw {
            #[serde(default, deserialize_with = "total_size")]
            metadata: Option<u64>,
            #[serde(deserialize_with = "weight_map")]
            weight_map: BTreeMap<String, String>,
        }
        fn weight_map<'de, D: serde::Deserializer<'de>>(d: D) -> Result<BTreeMap<String, String>, D::Error> {
            UniqueStrings("weight_map").deserialize(d)
        }
        fn total_size<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Option<u64>, D::Error> {
            #[derive(Deserialize)]
            #[serde(untagged)]
            enum Size {
                Whole(u64),
                // Some published indexes hold a float here.
                Float(f64),
                Other(IgnoredAny),
            }
            #[derive(Deserialize)]
            struct Metadata {
                total_size: Option<Size>,
            }
            Ok(match Option::<Metadata>::deserialize(d)?.and_then(|m| m.total_size) {
                Some(Size::Whole(n)) => Some(n),
                Some(Size::Float(x)) => Some(x as u64),
                Some(Size::Other(_)) | None => None,
            })
        }
        let fail = |message: String| Error::new(ErrorKind::Format, OP, message);
        if json.trim_ascii_start().first().is_some_and(|&b| b != b'{') {
            return Err(fail("the index is not valid: expected a JSON object".to_owned()));
        }
        let raw: Raw =
            serde_json::from_slice(json).map_err(|e| fail(format!("the index is not valid: {e}")).with_source(e))?;
        for (tensor, file) in &raw.weight_map {
            let mut parts = Path::new(file).components();
            let plain =
                matches!((parts.next(), parts.next()), (Some(Component::Normal(n)), None) if n == file.as_str());
            if !plain || file.contains(['\\', '\0', ':']) || !file.ends_with(".safetensors") {
                let message = format!("tensor {} is said to be in {}", quoted(tensor), quoted(file));
                return Err(fail(message).hint("an index may only name .safetensors files in its own folder"));
            }
        }
        Ok(Index { weight_map: raw.weight_map, total_size: raw.metadata })
    }
}

#[cfg(test)]
mod tests;
