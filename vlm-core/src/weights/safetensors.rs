//! A strict reader of the safetensors header.
//!
//! The format (github.com/huggingface/safetensors): 8 bytes of little-endian header length, a JSON object that maps
//! each tensor name to `{"dtype", "shape", "data_offsets": [begin, end]}` with an optional `"__metadata__"` of strings,
//! then the data. Stricter than the format's own library: a name may appear only once, the header, the number of tensors
//! and their rank are bounded before anything is allocated, and unknown fields are refused. Memory use stays
//! proportional to the header, which is at most [`MAX_HEADER`] bytes.

use super::mapping::{LFS_POINTER, LFS_REMEDY};
use super::save::quoted;
use crate::shape::MAX_RANK;
use crate::{DType, Error, ErrorKind, Result, Shape};
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

/// The longest header accepted, in bytes. Published models of 100,000 tensors stay below it.
pub const MAX_HEADER: usize = 16 << 20;
/// The most tensors accepted in one file.
pub const MAX_TENSORS: usize = 200_000;

const OP: &str = "load safetensors";

/// An element type of the file format, whether or not this crate computes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredDType(u8);

/// In the order in which the format's library sorts tensors for writing, smallest first.
const DTYPES: [(&str, u8, Option<DType>); 22] = [
    ("BOOL", 8, Some(DType::Bool)),
    ("F4", 4, None),
    ("F6_E2M3", 6, None),
    ("F6_E3M2", 6, None),
    ("U8", 8, Some(DType::U8)),
    ("I8", 8, None),
    ("F8_E5M2", 8, None),
    ("F8_E4M3", 8, None),
    ("F8_E8M0", 8, None),
    ("F8_E4M3FNUZ", 8, None),
    ("F8_E5M2FNUZ", 8, None),
    ("I16", 16, None),
    ("U16", 16, None),
    ("F16", 16, Some(DType::F16)),
    ("BF16", 16, Some(DType::BF16)),
    ("I32", 32, Some(DType::I32)),
    ("U32", 32, Some(DType::U32)),
    ("F32", 32, Some(DType::F32)),
    ("C64", 64, None),
    ("F64", 64, Some(DType::F64)),
    ("I64", 64, Some(DType::I64)),
    ("U64", 64, None),
];

impl StoredDType {
    /// The type's name in the file format: `"F32"`, `"BF16"`, `"BOOL"` …
    pub fn name(self) -> &'static str {
        DTYPES[self.0 as usize].0
    }

    /// Bits per element.
    pub fn bits(self) -> usize {
        DTYPES[self.0 as usize].1.into()
    }

    /// The type as this crate knows it, if it does.
    pub fn dtype(self) -> Option<DType> {
        DTYPES[self.0 as usize].2
    }

    /// Where the format's library puts tensors of this type: higher ones first.
    pub(super) fn order(self) -> u8 {
        self.0
    }

    fn parse(name: &str) -> Option<Self> {
        DTYPES.iter().position(|d| d.0 == name).map(|i| StoredDType(i as u8))
    }
}

impl From<DType> for StoredDType {
    fn from(dtype: DType) -> Self {
        let found = DTYPES.iter().position(|d| d.2 == Some(dtype));
        StoredDType(found.expect("every DType has its line in DTYPES; tested") as u8)
    }
}

/// What a header says about one tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Element type.
    pub dtype: StoredDType,
    /// Sizes, outermost first.
    pub shape: Shape,
    /// Where its bytes are, counted from the start of the file.
    pub range: Range<usize>,
}

/// A checked header: every range lies inside the file, has the length its shape asks for, and overlaps no other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The tensors by name.
    pub tensors: BTreeMap<String, TensorInfo>,
    /// The free-form strings under `__metadata__`.
    pub metadata: BTreeMap<String, String>,
}

impl Header {
    /// Reads and checks the header of the file whose bytes are `file`.
    ///
    /// # Errors
    /// [`ErrorKind::Format`] saying what is wrong with which tensor: a file that is too short or truncated, something
    /// other than safetensors (recognised by its first bytes), a header that is too long or no valid JSON, an unknown
    /// or repeated name, field or dtype, a shape that overflows or does not fit its bytes, tensors that overlap, leave a hole,
    /// end beyond the file or do not reach its end.
    pub fn parse(file: &[u8]) -> Result<Self> {
        let Some((length, rest)) = file.split_first_chunk::<8>() else {
            return Err(sniff(file).unwrap_or_else(|| {
                format_error(format!("the file has {} bytes, too few for a safetensors file", file.len()))
                    .hint(INCOMPLETE)
            }));
        };
        let length = u64::from_le_bytes(*length);
        if length > MAX_HEADER as u64 || rest.first().is_some_and(|&b| b != b'{') {
            return Err(sniff(file).unwrap_or_else(|| match length > MAX_HEADER as u64 {
                true => format_error(format!("the header claims {length} bytes, more than the {MAX_HEADER} allowed"))
                    .hint("this is not a safetensors file, or a damaged one"),
                false => format_error("the header does not begin with '{'").hint("this is not a safetensors file"),
            }));
        }
        let length = length as usize;
        if length > rest.len() {
            let message = format!("the header claims {length} bytes but the file has only {} more", rest.len());
            return Err(format_error(message).hint(INCOMPLETE));
        }
        let (json, data) = rest.split_at(length);
        let mut json = serde_json::Deserializer::from_slice(json);
        let raw = json
            .deserialize_map(HeaderVisitor)
            .and_then(|raw| json.end().map(|()| raw))
            .map_err(|e| format_error(format!("the header is not valid: {e}")).with_source(e))?;
        raw.check(8 + length, data.len())
    }
}

const INCOMPLETE: &str = "the download or copy is probably incomplete: fetch the file again";

fn format_error(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Format, OP, message)
}

/// What the file is instead, told from its first bytes.
fn sniff(file: &[u8]) -> Option<Error> {
    let (what, hint) = if file.is_empty() {
        ("empty", INCOMPLETE)
    } else if file.starts_with(LFS_POINTER) {
        ("a git-lfs pointer, not the weights themselves", LFS_REMEDY)
    } else if file.starts_with(b"PK\x03\x04") || matches!(file, [0x80, 2..=5, ..]) {
        let hint = "pickle can run any code, so it is never read: convert the file to safetensors with transformers \
                    (`save_pretrained(..., safe_serialization=True)`)";
        ("a PyTorch pickle or zip archive (.bin, .pt)", hint)
    } else if file.starts_with(b"GGUF") {
        ("a GGUF file", "take the safetensors weights of this model instead")
    } else if file.starts_with(b"\x89HDF") {
        ("an HDF5 file", "convert it to safetensors")
    } else if [&b"<!DOCTYPE"[..], b"<!doctype", b"<html", b"<?xml"].iter().any(|m| file.starts_with(m)) {
        ("a web page", "the download got an error page (often a missing login): fetch the file again")
    } else {
        return None;
    };
    Some(format_error(format!("the file is {what}")).hint(hint))
}

struct RawInfo {
    dtype: StoredDType,
    shape: Shape,
    offsets: [u64; 2],
}

struct RawHeader {
    tensors: BTreeMap<String, RawInfo>,
    metadata: BTreeMap<String, String>,
}

impl RawHeader {
    fn check(self, start: usize, len: usize) -> Result<Header> {
        let mut spans = Vec::with_capacity(self.tensors.len());
        for (name, raw) in &self.tensors {
            let [begin, end] = raw.offsets;
            let RawInfo { dtype, shape, .. } = raw;
            let bits = shape.iter().try_fold(dtype.bits(), |n, &d| n.checked_mul(d));
            let Some(bytes) = bits.filter(|b| b.is_multiple_of(8)).map(|b| (b / 8) as u64) else {
                let message = format!(
                    "tensor {}: {} elements of shape {shape} are no whole number of bytes that fits in memory",
                    quoted(name),
                    dtype.name()
                );
                return Err(format_error(message));
            };
            if end.checked_sub(begin) != Some(bytes) {
                let message = format!(
                    "tensor {}: {} of shape {shape} takes {bytes} bytes, but its data_offsets are [{begin}, {end}]",
                    quoted(name),
                    dtype.name()
                );
                return Err(format_error(message));
            }
            if end > len as u64 {
                let message =
                    format!("tensor {} ends at byte {end} of the data, of which the file has {len}", quoted(name));
                return Err(format_error(message).hint(INCOMPLETE));
            }
            spans.push((begin as usize, end as usize, name));
        }
        spans.sort_unstable();
        let mut previous = (0, None);
        for &(begin, end, name) in &spans {
            let (reached, before) = previous;
            if begin != reached {
                let after = before.map_or_else(String::new, |b| format!(" after tensor {}", quoted(b)));
                return Err(format_error(if begin < reached {
                    format!("tensor {} overlaps tensor {}", quoted(name), quoted(before.map_or("", |b| b)))
                } else {
                    format!("{} unused bytes{after} and before tensor {}", begin - reached, quoted(name))
                }));
            }
            previous = (end, Some(name));
        }
        if previous.0 != len {
            let message = format!("{} bytes after the last tensor belong to no tensor", len - previous.0);
            return Err(format_error(message).hint("the file is damaged or not what its header says"));
        }
        let tensors = self.tensors.into_iter().map(|(name, raw)| {
            let [begin, end] = raw.offsets.map(|o| start + o as usize);
            (name, TensorInfo { dtype: raw.dtype, shape: raw.shape, range: begin..end })
        });
        Ok(Header { tensors: tensors.collect(), metadata: self.metadata })
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = RawHeader;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawHeader, A::Error> {
        let mut tensors = BTreeMap::new();
        let mut metadata = None;
        while let Some(name) = map.next_key::<String>()? {
            if name == "__metadata__" {
                if metadata.is_some() {
                    return Err(de::Error::custom("__metadata__ appears twice"));
                }
                metadata = Some(map.next_value_seed(UniqueStrings("__metadata__"))?);
                continue;
            }
            if tensors.len() == MAX_TENSORS {
                return Err(de::Error::custom(format!("more than {MAX_TENSORS} tensors")));
            }
            if tensors.contains_key(&name) {
                return Err(de::Error::custom(format!("tensor {} appears twice", quoted(&name))));
            }
            let info = map.next_value_seed(InfoSeed(&name))?;
            tensors.insert(name, info);
        }
        Ok(RawHeader { tensors, metadata: metadata.unwrap_or_default() })
    }
}

/// An object of strings in which no key appears twice; the field says what the object is, for messages.
pub(super) struct UniqueStrings(pub(super) &'static str);

impl<'de> DeserializeSeed<'de> for UniqueStrings {
    type Value = BTreeMap<String, String>;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Self::Value, D::Error> {
        d.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for UniqueStrings {
    type Value = BTreeMap<String, String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object of strings under {}", self.0)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut all = BTreeMap::new();
        while let Some(key) = map.next_key::<String>()? {
            if all.len() == MAX_TENSORS {
                return Err(de::Error::custom(format!("more than {MAX_TENSORS} entries in {}", self.0)));
            }
            if all.contains_key(&key) {
                return Err(de::Error::custom(format!("{} appears twice in {}", quoted(&key), self.0)));
            }
            let value = map.next_value()?;
            all.insert(key, value);
        }
        Ok(all)
    }
}

/// Reads one tensor's entry; knows its name for messages.
struct InfoSeed<'n>(&'n str);

impl InfoSeed<'_> {
    fn fail<E: de::Error>(&self, what: impl fmt::Display) -> E {
        E::custom(format!("tensor {}: {what}", quoted(self.0)))
    }
}

impl<'de> DeserializeSeed<'de> for InfoSeed<'_> {
    type Value = RawInfo;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<RawInfo, D::Error> {
        d.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for InfoSeed<'_> {
    type Value = RawInfo;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object with dtype, shape and data_offsets for tensor {}", quoted(self.0))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawInfo, A::Error> {
        let (mut dtype, mut shape, mut offsets) = (None, None, None);
        while let Some(field) = map.next_key::<Cow<'de, str>>()? {
            let seen = match &*field {
                "dtype" => {
                    let name = map.next_value::<Cow<'de, str>>()?;
                    let parsed = StoredDType::parse(&name);
                    dtype
                        .replace(parsed.ok_or_else(|| self.fail(format!("unknown dtype {}", quoted(&name))))?)
                        .is_some()
                }
                "shape" => {
                    let (sizes, rank) = map.next_value_seed(Numbers::<MAX_RANK>).map_err(|e| self.fail(e))?;
                    let sizes = sizes[..rank].iter().map(|&d| usize::try_from(d)).collect::<Result<Vec<_>, _>>();
                    let sizes = sizes.map_err(|_| self.fail("a size does not fit in memory"))?;
                    let new = Shape::new(OP, &sizes).map_err(|e| self.fail(e.message()))?;
                    shape.replace(new).is_some()
                }
                "data_offsets" => {
                    let (pair, found) = map.next_value_seed(Numbers::<2>).map_err(|e| self.fail(e))?;
                    if found != 2 {
                        return Err(self.fail(format!("data_offsets has {found} numbers, expected 2")));
                    }
                    offsets.replace(pair).is_some()
                }
                other => return Err(self.fail(format!("unknown field {}", quoted(other)))),
            };
            if seen {
                return Err(self.fail(format!("{field} appears twice")));
            }
        }
        let missing = |field| self.fail::<A::Error>(format!("{field} is missing"));
        Ok(RawInfo {
            dtype: dtype.ok_or_else(|| missing("dtype"))?,
            shape: shape.ok_or_else(|| missing("shape"))?,
            offsets: offsets.ok_or_else(|| missing("data_offsets"))?,
        })
    }
}

/// Up to `N` numbers and how many there are; reading stops at the first one too many.
struct Numbers<const N: usize>;

impl<'de, const N: usize> DeserializeSeed<'de> for Numbers<N> {
    type Value = ([u64; N], usize);
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Self::Value, D::Error> {
        d.deserialize_seq(self)
    }
}

impl<'de, const N: usize> Visitor<'de> for Numbers<N> {
    type Value = ([u64; N], usize);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {N} whole numbers")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let (mut numbers, mut n) = ([0; N], 0);
        while let Some(number) = seq.next_element()? {
            *numbers.get_mut(n).ok_or_else(|| de::Error::custom(format!("a list of more than {N} numbers")))? = number;
            n += 1;
        }
        Ok((numbers, n))
    }
}

#[cfg(test)]
mod tests;
