//! The texts that pictures are compared with.

use crate::Args;
use anyhow::{Result, ensure};
use std::collections::BTreeSet;
use std::path::Path;

/// The labels, and the texts that are embedded: those of the labels, or those given as they are.
///
/// # Errors
/// If both labels and texts are given, or a label twice.
pub(crate) fn texts(args: &Args) -> Result<(Vec<String>, Vec<String>)> {
    ensure!(args.label.is_empty() || args.text.is_empty(), "give either --label or --text, not both");
    if !args.text.is_empty() {
        return Ok((Vec::new(), args.text.clone()));
    }
    let labels = match &args.folder {
        Some(folder) if args.label.is_empty() => sub_folders(folder)?,
        _ => args.label.clone(),
    };
    let mut seen = BTreeSet::new();
    for label in &labels {
        ensure!(!label.trim().is_empty(), "a label is empty");
        ensure!(seen.insert(label), "the label {label:?} is given twice");
    }
    let texts = labels.iter().map(|label| args.template.replace("{}", &label.replace('_', " "))).collect();
    Ok((labels, texts))
}

/// The names of the folders in `folder`, sorted.
fn sub_folders(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_dir() && !name.starts_with('.') {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// What a picture shows, told by the folder it is in: the first folder below `root`.
pub(crate) fn truth(root: &Path, picture: &Path) -> Option<String> {
    let inside = picture.strip_prefix(root).ok()?;
    let mut parts = inside.components();
    let first = parts.next()?.as_os_str().to_string_lossy().into_owned();
    parts.next().map(|_| first)
}
