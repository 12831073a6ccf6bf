//! The settings of a job of the user's own: model, method, data, training, output.
//!
//! They come in layers, later ones win: defaults, a YAML or TOML file, `key=value` on the command line, flags. Keys are those
//! of LLaMA-Factory and of Hugging Face's trainer where they mean the same; `docs/training.md` lists them.

mod build;
mod keys;
mod parse;
mod reader;
mod source;
mod value;

pub use source::{Entry, Source};
pub use value::Value;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use vlm_core::data::ValidationSize;
use vlm_core::lora::PeftConfig;
use vlm_core::train::{ConversationOptions, TrainerOptions};
use vlm_core::{DType, Error, Result};

/// What is learnt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// What the assistant says, by a model that writes text.
    Sft,
    /// Which picture and caption belong together, by a dual encoder.
    Contrastive,
}

/// Which parameters are trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinetuningType {
    /// Adapters beside linear layers.
    Lora,
    /// All of the parts that are not frozen.
    Full,
    /// A few layers.
    Freeze,
}

impl FinetuningType {
    /// The name in config files.
    pub fn as_str(self) -> &'static str {
        match self {
            FinetuningType::Lora => "lora",
            FinetuningType::Full => "full",
            FinetuningType::Freeze => "freeze",
        }
    }
}

/// Parts that are frozen; `None` where nobody said so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Frozen {
    /// `freeze_vision_tower`.
    pub vision_tower: Option<bool>,
    /// `freeze_multi_modal_projector`.
    pub projector: Option<bool>,
    /// `freeze_language_model`.
    pub language_model: Option<bool>,
}

/// Layers that are trained where `finetuning_type` is `freeze`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrainedLayers {
    /// How many: the last ones, or the first ones if negative.
    pub layers: i64,
    /// Which of their modules; empty for all.
    pub modules: Vec<String>,
    /// Modules outside of layers.
    pub extra: Vec<String>,
}

/// Which rows there are and what is learnt of them.
#[derive(Clone, Debug, PartialEq)]
pub struct DataConfig {
    /// Paths, or names in `dataset_dir/dataset_info.json`.
    pub dataset: Vec<String>,
    /// Likewise, for evaluation.
    pub eval_dataset: Vec<String>,
    /// Where the registry and its files are.
    pub dataset_dir: PathBuf,
    /// Where pictures are, if not beside the data.
    pub media_dir: Option<PathBuf>,
    /// Whether pictures outside of that folder may be used.
    pub allow_outside_media_dir: bool,
    /// Whether two rows may have one id.
    pub allow_duplicate_ids: bool,
    /// What the user says about a picture of a folder of pictures.
    pub caption_prompt: String,
    /// How many bad rows of a dataset are left out before one is an error.
    pub max_bad_rows: usize,
    /// How many rows of each dataset are used, the first ones.
    pub max_samples: Option<usize>,
    /// What is learnt of a conversation.
    pub conversation: ConversationOptions,
}

/// The settings of a job.
#[derive(Clone, Debug)]
pub struct RunConfig {
    /// The model's folder, or its name on a hub.
    pub model_name_or_path: String,
    /// Its revision on the hub.
    pub revision: Option<String>,
    /// An adapter to go on with.
    pub adapter_name_or_path: Option<PathBuf>,
    /// Where to compute.
    pub device: String,
    /// The element type of parameters and activations; `None` for that of the model's folder.
    pub dtype: Option<DType>,
    /// Threads of the CPU backend.
    pub threads: Option<usize>,
    /// What is learnt; `None` for what the model can.
    pub stage: Option<Stage>,
    /// Which parameters are trained.
    pub finetuning_type: FinetuningType,
    /// The adapter, where there is one.
    pub lora: PeftConfig,
    /// Parts that stay as they are.
    pub frozen: Frozen,
    /// Layers that are trained, for `freeze`.
    pub trained_layers: TrainedLayers,
    /// Rows.
    pub data: DataConfig,
    /// How many rows are kept for evaluation.
    pub val_size: Option<ValidationSize>,
    /// Steps between evaluations (0: only at the end); `None`: none.
    pub eval_steps: Option<u64>,
    /// Whether layers are computed again in the backward pass, to save memory.
    pub gradient_checkpointing: bool,
    /// Whether what a former run left in the output folder is removed.
    pub overwrite_output_dir: bool,
    /// Everything else.
    pub trainer: TrainerOptions,
    sources: BTreeMap<String, Source>,
}

impl RunConfig {
    /// The settings of a program whose default method is `method`: those of `file`, then `overrides`, then `flags`. Keys that have no
    /// effect here are returned as warnings.
    ///
    /// # Errors
    /// Everything says which layer it is about.
    /// - [`ErrorKind::Io`](vlm_core::ErrorKind::Io) if the file cannot be read.
    /// - [`ErrorKind::Config`](vlm_core::ErrorKind::Config) for a file that is no YAML or TOML, unknown keys, values of another
    ///   type or out of range, settings that contradict each other.
    /// - [`ErrorKind::Unsupported`](vlm_core::ErrorKind::Unsupported) for settings of LLaMA-Factory that would change results and
    ///   cannot be honoured.
    pub fn load(
        method: FinetuningType,
        file: Option<&Path>,
        overrides: &[String],
        flags: Vec<Entry>,
    ) -> Result<(RunConfig, Vec<String>)> {
        let mut entries = file.map(parse::file).transpose()?.unwrap_or_default();
        for text in overrides {
            entries.push(parse::over(text)?);
        }
        entries.extend(flags);
        let mut warnings = Vec::new();
        let mut reader = reader::Reader::default();
        for mut entry in entries {
            if let Some((_, name)) = ALIASES.iter().find(|(alias, _)| *alias == entry.key) {
                entry.key = (*name).to_owned();
            }
            if keys::judge(&entry, &mut warnings)? {
                reader.set(entry);
            }
        }
        let config = build::build(method, &reader, &mut warnings)?;
        Ok((config, warnings))
    }

    /// An error of the library with the layers that set what it is about.
    #[must_use]
    pub fn explain(&self, error: Error) -> Error {
        explain(&self.sources, error)
    }

    /// Whether a layer set `key`.
    pub fn is_set(&self, key: &str) -> bool {
        self.sources.contains_key(key)
    }
}

/// Other names of settings.
const ALIASES: [(&str, &str); 3] =
    [("model_revision", "revision"), ("torch_dtype", "dtype"), ("evaluation_strategy", "eval_strategy")];

/// Adds to an error where the settings it names were set.
fn explain(sources: &BTreeMap<String, Source>, error: Error) -> Error {
    let words: Vec<&str> = error.message().split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).collect();
    let named: Vec<String> = sources
        .iter()
        .filter(|(key, _)| words.contains(&key.as_str()))
        .map(|(key, source)| format!("{key} by {source}"))
        .collect();
    if named.is_empty() { error } else { error.with("set", named.join(", ")) }
}

/// Whether this can be the name of a setting in `key=value`.
pub(crate) fn is_override(text: &str) -> bool {
    text.split_once('=').is_some_and(|(key, _)| parse::is_key(key))
}

#[cfg(test)]
mod tests;
