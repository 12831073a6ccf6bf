//! The part of a command line that says: this is a job of my own.

use crate::run_config::{Entry, FinetuningType, RunConfig, Value, is_override};
use anyhow::{Result, bail};
use std::path::{Path, PathBuf};

/// A model, data or a config file of the user's own, instead of the built-in digits.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct JobArgs {
    /// Your own model instead of the digits: its folder, or its id on the hub.
    #[arg(long, short)]
    pub model: Option<String>,
    /// What it learns from: a .json or .jsonl file, a folder of pictures with captions, or a name in
    /// dataset_dir/dataset_info.json; may be given several times.
    #[arg(long)]
    pub dataset: Vec<String>,
    /// The folder that the data's pictures are in, if it is not that of the data.
    #[arg(long)]
    pub image_root: Option<PathBuf>,
    /// A config file (.yaml, .yml, .toml) and settings that win over it, such as learning_rate=1e-4; docs/training.md lists
    /// all keys.
    #[arg(value_name = "CONFIG | KEY=VALUE")]
    pub rest: Vec<String>,
}

impl JobArgs {
    /// Whether anything here was given.
    pub fn is_given(&self) -> bool {
        self.model.is_some() || self.image_root.is_some() || !self.dataset.is_empty() || !self.rest.is_empty()
    }

    /// The settings of the job: the config file's, then those of `key=value`, then the flags here and `flags`, which are the
    /// program's other ones. Keys without effect are warned about.
    ///
    /// # Errors
    /// For a second config file, and those of [`RunConfig::load`].
    pub fn config(&self, method: FinetuningType, flags: Vec<Entry>) -> Result<RunConfig> {
        let (overrides, files): (Vec<String>, Vec<String>) = self.rest.iter().cloned().partition(|a| is_override(a));
        if let [_, second, ..] = &files[..] {
            bail!("{second:?} is a second config file: give one, and settings as key=value");
        }
        let mut all = Vec::new();
        all.extend(self.model.iter().map(|m| Entry::flag("--model", "model_name_or_path", m.as_str().into())));
        if !self.dataset.is_empty() {
            let names = self.dataset.iter().map(|d| d.as_str().into()).collect();
            all.push(Entry::flag("--dataset", "dataset", Value::List(names)));
        }
        let mut root = Flags::default();
        root.text("--image-root", "media_dir", self.image_root.as_deref().map(Path::to_string_lossy));
        all.extend(root.0.into_iter().chain(flags));
        let (config, warnings) = RunConfig::load(method, files.first().map(Path::new), &overrides, all)?;
        warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        Ok(config)
    }
}

/// What a program's other flags set: those that were given.
#[derive(Clone, Debug, Default)]
pub struct Flags(pub Vec<Entry>);

impl Flags {
    /// A flag with text.
    pub fn text(&mut self, flag: &'static str, key: &str, value: Option<impl Into<String>>) {
        self.0.extend(value.map(|text| Entry::flag(flag, key, Value::Text(text.into()))));
    }

    /// A flag with a whole number.
    pub fn count(&mut self, flag: &'static str, key: &str, value: Option<u64>) {
        let whole = |n| i64::try_from(n).map_or(Value::Number(n as f64), Value::Whole);
        self.0.extend(value.map(|n| Entry::flag(flag, key, whole(n))));
    }

    /// A flag with a number.
    pub fn number(&mut self, flag: &'static str, key: &str, value: Option<f64>) {
        self.0.extend(value.map(|x| Entry::flag(flag, key, Value::Number(x))));
    }
}
