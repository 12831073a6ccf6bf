//! A folder of pictures with captions.
//!
//! Either the folder has a `metadata.jsonl` whose rows are `{"file_name": …, "text": …}` (Hugging Face's *imagefolder*; a `caption`
//! will do for `text`), or each picture has its caption beside it in a file of the same name that ends in `.txt`. Sub-folders are
//! searched too, in the order of names, so that the order of rows does not depend on the file system.

use super::dataset::{Collector, OP, ReadOptions};
use super::row::ImageRoot;
use super::sample::{ImageRef, Message, Part, Role, Sample};
use super::text_file::TextFile;
use crate::weights::mapping::read_small;
use crate::{Error, Result};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::path::{Path, PathBuf};

const METADATA: &str = "metadata.jsonl";
const ENDINGS: [&str; 8] = ["jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff"];
const MAX_CAPTION: u64 = 1 << 20;
/// Deeper folders are not searched: a link may lead in circles.
const MAX_DEPTH: usize = 16;

/// Reads the folder into `collector` and returns the digest of its names and captions.
pub(super) fn read_folder(dir: &Path, options: &ReadOptions, collector: &mut Collector) -> Result<String> {
    let metadata = dir.join(METADATA);
    let root = ImageRoot::new(dir, options.allow_outside_root).map_err(|e| Error::io(OP, dir, e))?;
    let sample = |id: &str, image: ImageRef, caption: &str| {
        let caption = caption.trim();
        if caption.is_empty() {
            return Err("no caption".to_owned());
        }
        let mut shown = vec![Part::Image(0)];
        if !options.caption_prompt.is_empty() {
            shown.push(Part::Text(options.caption_prompt.clone()));
        }
        let ask = Message { role: Role::User, content: shown };
        Ok(Sample {
            id: id.to_owned(),
            messages: vec![ask, Message::text(Role::Assistant, caption)],
            images: vec![image],
        })
    };
    if metadata.is_file() {
        let file = TextFile::open(&metadata)?;
        for (line, row) in file.rows() {
            let read = |text: &str| {
                let row: Map<String, Value> =
                    serde_json::from_str(text).map_err(|e| format!("not a JSON object: {e}"))?;
                let string = |key: &str| row.get(key).and_then(Value::as_str);
                let name = string("file_name").ok_or("no string under \"file_name\"")?;
                sample(name, root.find(name)?, string("text").or_else(|| string("caption")).unwrap_or_default())
            };
            collector.add(row.and_then(read), || format!("{}:{line}", metadata.display()))?;
        }
        return Ok(file.digest());
    }
    let mut hash = Sha256::new();
    for path in find_pictures(dir)? {
        let name = path.strip_prefix(dir).unwrap_or(&path).to_string_lossy().replace('\\', "/");
        let caption = path.with_extension("txt");
        let row = if caption.is_file() {
            let text = read_small(OP, &caption, MAX_CAPTION)?;
            // Lengths keep name and caption apart.
            for part in [name.as_bytes(), &text] {
                hash.update((part.len() as u64).to_le_bytes());
                hash.update(part);
            }
            match std::str::from_utf8(&text) {
                Ok(text) => {
                    root.find(&name).and_then(|image| sample(&name, image, text.trim_start_matches('\u{feff}')))
                }
                Err(_) => Err(format!("the caption {} is not UTF-8", caption.display())),
            }
        } else {
            Err(format!("no caption: there is no {METADATA} in {} and no {}", dir.display(), caption.display()))
        };
        collector.add(row, || path.display().to_string())?;
    }
    Ok(hash.finalize().iter().fold(String::new(), |mut out, b| {
        let _ = write!(out, "{b:02x}");
        out
    }))
}

/// All picture files of `dir` and its sub-folders by their endings, in the order of names.
///
/// # Errors
/// [`ErrorKind::Io`](crate::ErrorKind::Io) naming a folder that cannot be read.
pub fn find_pictures(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    search(dir, 0, &mut found)?;
    Ok(found)
}

fn search(dir: &Path, depth: usize, out: &mut Vec<PathBuf>) -> Result<()> {
    let fail = |e| Error::io(OP, dir, e);
    let entries = std::fs::read_dir(dir).map_err(fail)?;
    let mut entries = entries.collect::<std::io::Result<Vec<_>>>().map_err(fail)?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for path in entries.iter().map(std::fs::DirEntry::path) {
        let ending = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
        if path.is_dir() {
            if depth < MAX_DEPTH {
                search(&path, depth + 1, out)?;
            }
        } else if ENDINGS.contains(&ending.as_str()) {
            out.push(path);
        }
    }
    Ok(())
}
