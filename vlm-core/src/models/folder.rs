//! Models as folders that Hugging Face's libraries write and read.

mod fit;

use super::auto::{self, AutoModel};
use super::{DualEncoder, Model, VisionLanguageModel};
use crate::nn::{Builder, Init, ParameterSource};
use crate::weights::atomic::write_atomic;
use crate::weights::mapping::read_small;
use crate::weights::{LoadOptions, WeightFiles, save_tensors_sharded};
use crate::{DType, Device, Error, ErrorKind, Result, Shape, Tensor};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Largest `config.json` that is read.
const MAX_CONFIG: u64 = 16 << 20;
/// Largest file beside the weights that is copied.
const MAX_COMPANION: u64 = 1 << 30;
/// Largest file of weights that is written; more go into shards, as transformers does.
const SHARD: usize = 5_000_000_000;
/// How many names a message lists.
const LISTED: usize = 5;

/// A folder's `config.json`.
///
/// # Errors
/// [`ErrorKind::Io`] if there is none, [`ErrorKind::Config`] if it is no JSON object.
pub fn read_config(dir: &Path) -> Result<Value> {
    let path = dir.join("config.json");
    let bytes = read_small("config.json", &path, MAX_CONFIG)?;
    let bad = |what: String| Error::new(ErrorKind::Config, "config.json", what).with("file", path.display());
    let config: Value = serde_json::from_slice(&bytes).map_err(|e| bad(format!("not JSON: {e}")))?;
    if config.is_object() { Ok(config) } else { Err(bad("not a JSON object".to_owned())) }
}

/// Loads the model of a folder with `config.json` and weights. `dtype` is the type of parameters and activations; `None`
/// takes that of `config.json` (`torch_dtype`), `f32` where it says none.
///
/// # Errors
/// Those of [`read_config`], [`auto::build`] and [`WeightFiles`]; [`ErrorKind::Format`] listing the tensors that the weights
/// lack or have in another shape. Tensors that the model does not use are reported as a warning, and so is code that the
/// folder brings along (`auto_map`): it is never run.
pub fn load_auto(dir: &Path, dtype: Option<DType>, device: &Device) -> Result<AutoModel> {
    load_auto_with(dir, dtype, device, LoadOptions::default())
}

/// As [`load_auto`], with a choice of how weight files come into memory and whether their values are looked at.
///
/// # Errors
/// As there; with `verify` [`ErrorKind::NonFinite`] naming tensors that hold NaN or infinity.
pub fn load_auto_with(dir: &Path, dtype: Option<DType>, device: &Device, options: LoadOptions) -> Result<AutoModel> {
    let config = read_config(dir)?;
    if !config["auto_map"].is_null() {
        tracing::warn!(folder = %dir.display(), auto_map = %config["auto_map"], "the folder brings code of its own, which is not run");
    }
    let dtype = match dtype {
        Some(dtype) => dtype,
        None => stored_dtype(&config)?,
    };
    let files = Arc::new(WeightFiles::open_with(dir, options)?);
    let builder = Builder::new(EitherName(files.clone()), dtype, device);
    let model = auto::build(&builder, &config)
        .map_err(|e| fit::explain(e, &files, &config, dtype, device).with("folder", dir.display()))?;
    let parameters = model.model().modules().parameters();
    let names: Vec<String> = parameters.iter().map(|p| stored_name(&files, p.name())).collect();
    let mut unused = files.coverage(names.iter().map(String::as_str)).unexpected;
    // Old files of CLIP hold the numbers 0, 1, 2, … as a tensor.
    unused.retain(|name| !name.ends_with("embeddings.position_ids"));
    if !unused.is_empty() {
        let some = &unused[..unused.len().min(LISTED)];
        tracing::warn!(folder = %dir.display(), count = unused.len(), ?some, "the weights hold tensors that the model does not use");
    }
    Ok(model)
}

/// As [`load_auto`], for a model that writes text.
///
/// # Errors
/// As there; [`ErrorKind::Config`] for a model that does not.
pub fn load(dir: &Path, dtype: Option<DType>, device: &Device) -> Result<Box<dyn VisionLanguageModel>> {
    load_auto(dir, dtype, device)?.vision_language().map_err(|e| e.with("folder", dir.display()))
}

/// As [`load_auto`], for a model that compares pictures and texts.
///
/// # Errors
/// As there; [`ErrorKind::Config`] for a model that does not.
pub fn load_dual_encoder(dir: &Path, dtype: Option<DType>, device: &Device) -> Result<Box<dyn DualEncoder>> {
    load_auto(dir, dtype, device)?.dual_encoder().map_err(|e| e.with("folder", dir.display()))
}

/// Weights under the names of published files or those that transformers 5 writes.
struct EitherName(Arc<WeightFiles>);

impl ParameterSource for EitherName {
    fn get(&self, name: &str, shape: &Shape, init: Init, dtype: DType, device: &Device) -> Result<Tensor> {
        ParameterSource::get(&self.0, &stored_name(&self.0, name), shape, init, dtype, device)
    }

    fn contains(&self, name: &str) -> bool {
        ParameterSource::contains(&self.0, &stored_name(&self.0, name))
    }
}

/// The beginnings of names that differ: published, and as transformers 5 or others write them.
const RENAMED: [(&str, &str); 3] = [
    ("vision_tower.vision_model.", "vision_tower."),
    // Qwen2-VL and Qwen2.5-VL under the names of the running model.
    ("visual.", "model.visual."),
    ("model.", "model.language_model."),
];

fn stored_name(files: &WeightFiles, name: &str) -> String {
    let other = RENAMED.iter().find_map(|(old, new)| Some(format!("{new}{}", name.strip_prefix(old)?)));
    match other {
        Some(other) if files.info(name).is_none() && files.info(&other).is_some() => other,
        _ => name.to_owned(),
    }
}

fn torch_name(dtype: DType) -> &'static str {
    match dtype {
        DType::BF16 => "bfloat16",
        DType::F16 => "float16",
        DType::F64 => "float64",
        _ => "float32",
    }
}

fn stored_dtype(config: &Value) -> Result<DType> {
    let field = ["torch_dtype", "dtype"].into_iter().map(|key| &config[key]).find(|v| !v.is_null());
    match (field, field.and_then(Value::as_str)) {
        (None, _) | (_, Some("float32" | "auto")) => Ok(DType::F32),
        (_, Some("bfloat16")) => Ok(DType::BF16),
        (_, Some("float16")) => Ok(DType::F16),
        (_, Some("float64")) => Ok(DType::F64),
        (Some(other), _) => Err(Error::new(ErrorKind::Config, "config.json", format!("torch_dtype is {other}"))
            .hint("expected float32, bfloat16 or float16; or give the type when loading")),
    }
}

/// Writes `config.json` and weights so that transformers loads them. Adapters are not part of it: merge them first or
/// save them with [`crate::lora`]. The folder is made if it is not there; each file is replaced as a whole.
///
/// # Errors
/// [`ErrorKind::Io`] if the folder cannot be written.
pub fn save(model: &dyn Model, dir: &Path) -> Result<()> {
    const OP: &str = "save model";
    std::fs::create_dir_all(dir).map_err(|e| Error::io(OP, dir, e))?;
    let tensors: Vec<(String, Tensor)> = model
        .modules()
        .parameters()
        .into_iter()
        .filter(|p| !p.name().contains(".lora_"))
        .map(|p| Ok((p.name().to_owned(), p.tensor()?.detach())))
        .collect::<Result<_>>()?;
    let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    save_tensors_sharded(dir, "model", &tensors, &metadata, SHARD)?;
    let mut config = model.config();
    // What is stored, whatever type the model was once loaded from.
    config["torch_dtype"] = torch_name(model.dtype()).into();
    write_atomic(OP, &dir.join("config.json"), format!("{config:#}\n").as_bytes())
}

/// What belongs to a model besides configuration and weights: tokenizer, templates, picture settings, generation settings.
const COMPANIONS: [&str; 16] = [
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "generation_config.json",
    "merges.txt",
    "preprocessor_config.json",
    "processor_config.json",
    "sentencepiece.bpe.model",
    "special_tokens_map.json",
    "spiece.model",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "video_preprocessor_config.json",
    "vocab.json",
    "vocab.txt",
];

/// As [`save`], for a model that was loaded from the folder `source` and trained: `config.json` is that of `source` but for
/// the element type, and tokenizer, templates and processor settings come along, so that the new folder is complete.
///
/// # Errors
/// [`ErrorKind::Io`] if a file cannot be read or written, [`ErrorKind::Config`] if both folders are the same.
pub fn save_as(model: &dyn Model, source: &Path, dir: &Path) -> Result<()> {
    const OP: &str = "save model";
    std::fs::create_dir_all(dir).map_err(|e| Error::io(OP, dir, e))?;
    let real = |path: &Path| path.canonicalize().map_err(|e| Error::io(OP, path, e));
    if real(source)? == real(dir)? {
        let message = format!("{} is the folder that the model was loaded from", dir.display());
        return Err(Error::new(ErrorKind::Config, OP, message).hint("choose another output folder"));
    }
    save(model, dir)?;
    let mut config = read_config(source)?;
    let name = torch_name(model.dtype());
    let key = if config.get("dtype").is_some() { "dtype" } else { "torch_dtype" };
    config[key] = name.into();
    for section in config.as_object_mut().into_iter().flat_map(|c| c.values_mut()).filter_map(Value::as_object_mut) {
        for key in ["dtype", "torch_dtype"] {
            if let Some(value) = section.get_mut(key) {
                *value = name.into();
            }
        }
    }
    write_atomic(OP, &dir.join("config.json"), format!("{config:#}\n").as_bytes())?;
    for file in COMPANIONS {
        let from = source.join(file);
        if from.is_file() {
            write_atomic(OP, &dir.join(file), &read_small(OP, &from, MAX_COMPANION)?)?;
        }
    }
    Ok(())
}
