//! All rows of a data file or folder, checked before training starts.

use super::folder::read_folder;
use super::row::{Columns, ImageRoot, parse_row};
use super::sample::Sample;
use super::text_file::{TextFile, shown};
use crate::{Error, ErrorKind, Result};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

pub(super) const OP: &str = "read dataset";

/// What to do about a row that cannot be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnBadRow {
    /// Stop with an error.
    #[default]
    Fail,
    /// Leave it out, up to this many; one more is an error.
    Skip(usize),
}

/// How to read a dataset.
#[derive(Clone, Debug, Default)]
pub struct ReadOptions {
    /// Names of columns and tags; `None` to tell them from each row's keys.
    pub columns: Option<Columns>,
    /// Folder that paths of pictures are relative to and must stay in; `None` for the folder of the data file.
    pub image_root: Option<PathBuf>,
    /// Whether pictures outside of that folder may be used. Off by default: a data file from elsewhere could name any file.
    pub allow_outside_root: bool,
    /// What to do about bad rows.
    pub on_bad_row: OnBadRow,
    /// Whether two rows may have the same id.
    pub allow_duplicate_ids: bool,
    /// What the user says about each picture of a folder of pictures, besides showing it.
    pub caption_prompt: String,
}

/// The rows of a dataset.
#[derive(Debug)]
pub struct Dataset {
    samples: Vec<Sample>,
    skipped: Vec<Error>,
    digest: String,
}

impl Dataset {
    /// Reads a `.json` or `.jsonl` file (LLaVA, ShareGPT, messages or OpenAI style, see [`Columns`]) or a folder of pictures
    /// with captions (see [`super::folder`]).
    ///
    /// # Errors
    /// - [`ErrorKind::Io`] if the file or the folder of pictures cannot be read.
    /// - [`ErrorKind::Data`] for a file without rows and, naming file and line, for a row that cannot be used: no JSON,
    ///   missing or wrong fields, a missing picture or one outside of the folder, not as many pictures as placeholders, an id that an
    ///   earlier row has, more than [`MAX_ROW`](super::text_file::MAX_ROW) bytes.
    pub fn read(path: &Path, options: &ReadOptions) -> Result<Self> {
        let mut collector = Collector::new(options);
        let digest = if path.is_dir() {
            read_folder(path, options, &mut collector)?
        } else {
            let file = TextFile::open(path)?;
            let dir = options.image_root.as_deref().unwrap_or_else(|| crate::weights::atomic::folder_of(path));
            let root = ImageRoot::new(dir, options.allow_outside_root).map_err(|e| Error::io(OP, dir, e))?;
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let mut before = (0, 0);
            for (line, row) in file.rows() {
                // Many rows may stand on one line of an array; each needs a name of its own.
                before = if line == before.0 { (line, before.1 + 1) } else { (line, 1) };
                let at = if before.1 == 1 { line.to_string() } else { format!("{line}.{}", before.1) };
                let place = format!("{name}:{at}");
                let sample = row.and_then(|text| parse_row(text, options.columns.as_ref(), &root, &place));
                collector.add(sample, || format!("{}:{at}", path.display()))?;
            }
            file.digest()
        };
        let Collector { samples, skipped, .. } = collector;
        if samples.is_empty() {
            let message = match skipped.len() {
                0 => format!("{} has no rows", path.display()),
                n => format!("{} has no usable row; {n} were left out", path.display()),
            };
            let error = Error::new(ErrorKind::Data, OP, message);
            return Err(match skipped.into_iter().next() {
                Some(first) => error.with("first", first.message()),
                None => error,
            });
        }
        Ok(Dataset { samples, skipped, digest })
    }

    /// The rows.
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// The rows, to be put together with others.
    pub fn into_samples(self) -> Vec<Sample> {
        self.samples
    }

    /// Number of rows, at least 1.
    #[allow(clippy::len_without_is_empty, reason = "a dataset is never empty")]
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// What was wrong with the rows left out.
    pub fn skipped(&self) -> &[Error] {
        &self.skipped
    }

    /// SHA-256 over the data file (for a folder: over names and captions), in hexadecimal: part of a run's fingerprint, so
    /// that resuming with other data is noticed.
    pub fn digest(&self) -> &str {
        &self.digest
    }
}

/// Gathers rows, keeping count of bad ones.
pub(super) struct Collector {
    samples: Vec<Sample>,
    skipped: Vec<Error>,
    ids: Option<HashMap<String, String>>,
    on_bad_row: OnBadRow,
}

impl Collector {
    fn new(options: &ReadOptions) -> Self {
        let ids = (!options.allow_duplicate_ids).then(HashMap::new);
        Collector { samples: Vec::new(), skipped: Vec::new(), ids, on_bad_row: options.on_bad_row }
    }

    /// Takes a row from `place`, or what is wrong with it.
    pub(super) fn add(&mut self, row: Result<Sample, String>, place: impl Fn() -> String) -> Result<()> {
        let row = row.and_then(|sample| match &mut self.ids {
            None => Ok(sample),
            Some(ids) => match ids.insert(sample.id.clone(), place()) {
                None => Ok(sample),
                Some(before) => {
                    Err(format!("the id {} is that of {before} (allow_duplicate_ids lets it in)", shown(&sample.id)))
                }
            },
        });
        match row {
            Ok(sample) => self.samples.push(sample),
            Err(what) => {
                let error = Error::new(ErrorKind::Data, OP, format!("{}: {what}", place()));
                match self.on_bad_row {
                    OnBadRow::Fail => {
                        return Err(error.hint("mend the row, or allow a number of bad rows to be left out"));
                    }
                    OnBadRow::Skip(max) if self.skipped.len() >= max => {
                        return Err(error.hint(format!("{max} bad rows were left out before, which is the limit")));
                    }
                    OnBadRow::Skip(_) => {
                        tracing::warn!(%error, "leaving out a row");
                        self.skipped.push(error);
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
