//! Copies of the reference data's model folders, to be broken.

use crate::catalogue::family::{forward, picture, process};
use crate::catalogue::{Row, row};
use crate::common::parity_folder;
use serde_json::Value;
use std::path::{Path, PathBuf};
use vlm_core::models::load_auto;
use vlm_core::{Device, Result};

/// A copy of a family's folder.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    /// Of `from`: a folder as published files have it, or as transformers 5 writes it.
    pub(crate) fn copy(from: &Path) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let path = entry.unwrap().path();
            // Written anew: the originals may not be written to.
            std::fs::write(dir.path().join(path.file_name().unwrap()), std::fs::read(&path).unwrap()).unwrap();
        }
        Folder(dir)
    }

    pub(crate) fn dir(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    pub(crate) fn remove(&self, name: &str) {
        std::fs::remove_file(self.path(name)).unwrap();
    }

    /// Changes a JSON file.
    pub(crate) fn edit(&self, name: &str, change: impl FnOnce(&mut Value)) {
        let mut value: Value = serde_json::from_slice(&self.read(name)).unwrap();
        change(&mut value);
        self.write(name, value.to_string());
    }

    /// Sets one value of a JSON file, named as in `text_config/hidden_size`.
    pub(crate) fn set(&self, name: &str, at: &str, new: Value) {
        self.edit(name, |all| {
            let place = at.split('/').fold(all, |v, key| match key.parse::<usize>() {
                Ok(i) if v.is_array() => &mut v[i],
                _ => &mut v[key],
            });
            *place = new;
        });
    }
}

/// A row about a copy of `family`'s folder, changed by `change`; `None` where there is no reference data.
pub(crate) fn on(
    number: &'static str,
    family: &'static str,
    what: &str,
    change: impl FnOnce(&Folder) + 'static,
    then: impl FnOnce(&Path) -> Result<String> + Send + 'static,
) -> Option<Row> {
    on_version(number, family, "model", what, change, then)
}

/// As [`on`], of either version of the folder.
pub(crate) fn on_version(
    number: &'static str,
    family: &'static str,
    version: &'static str,
    what: &str,
    change: impl FnOnce(&Folder) + 'static,
    then: impl FnOnce(&Path) -> Result<String> + Send + 'static,
) -> Option<Row> {
    let source = parity_folder(family)?.join(version);
    let make = move || {
        let folder = Folder::copy(&source);
        change(&folder);
        folder
    };
    Some(row(number, format!("{family}: {what}"), make, move |folder| then(folder.dir())))
}

/// Loads the model on the reference device.
pub(crate) fn load(dir: &Path) -> Result<String> {
    load_auto(dir, None, &Device::reference()).map(|m| format!("{m:?}"))
}

/// Loads the processor and prepares a picture.
pub(crate) fn prepare(dir: &Path) -> Result<String> {
    process(dir, &picture(20, 12)).map(|p| format!("prepared {:?}", p.shape))
}

/// All that is done with a folder: the model's error if it does not load, else the processor's, else what a picture gives.
/// Neither may panic, whatever the other says.
pub(crate) fn everything(dir: &Path) -> Result<String> {
    let prepared = prepare(dir);
    load(dir)?;
    prepared?;
    forward(dir, &picture(20, 12))
}

/// Judges the rows there are.
pub(crate) fn judge(rows: Vec<Option<Row>>) {
    let rows: Vec<Row> = rows.into_iter().flatten().collect();
    if !rows.is_empty() {
        crate::catalogue::judge(rows);
    }
}
