//! Models by `model_type`.

use super::clip::Clip;
use super::config::at_path;
use super::gemma3::Gemma3;
use super::idefics3::Idefics3;
use super::internvl::InternVl;
use super::llava::Llava;
use super::llava_next::{LlavaNext, LlavaNextConfig};
use super::paligemma::PaliGemma;
use super::qwen_vl::{QwenVl, QwenVlConfig};
use super::siglip::Siglip;
use super::{DualEncoder, Model, VisionLanguageModel};
use crate::nn::Builder;
use crate::{Error, ErrorKind, Result};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

/// A model of either kind.
#[non_exhaustive]
pub enum AutoModel {
    /// Reads pictures and text, writes text.
    VisionLanguage(Box<dyn VisionLanguageModel>),
    /// Compares pictures and texts.
    DualEncoder(Box<dyn DualEncoder>),
}

impl AutoModel {
    /// The model, whichever kind it is.
    pub fn model(&self) -> &dyn Model {
        match self {
            AutoModel::VisionLanguage(m) => m.as_ref(),
            AutoModel::DualEncoder(m) => m.as_ref(),
        }
    }

    /// The model that writes text.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for the other kind.
    pub fn vision_language(self) -> Result<Box<dyn VisionLanguageModel>> {
        match self {
            AutoModel::VisionLanguage(m) => Ok(m),
            AutoModel::DualEncoder(m) => {
                let kind = m.config()["model_type"].as_str().unwrap_or_default().to_owned();
                Err(Error::new(ErrorKind::Config, "config.json", format!("{kind:?} models write no text"))
                    .hint("use the program embed, or models::load_dual_encoder"))
            }
        }
    }

    /// The model that compares pictures and texts.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for the other kind.
    pub fn dual_encoder(self) -> Result<Box<dyn DualEncoder>> {
        match self {
            AutoModel::DualEncoder(m) => Ok(m),
            AutoModel::VisionLanguage(m) => {
                let kind = m.config()["model_type"].as_str().unwrap_or_default().to_owned();
                Err(Error::new(ErrorKind::Config, "config.json", format!("{kind:?} models compare no embeddings"))
                    .hint("use the program generate, or models::load"))
            }
        }
    }
}

impl std::fmt::Debug for AutoModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AutoModel({} on {})", self.model().config()["model_type"], self.model().device())
    }
}

/// Builds a model from its `config.json` and a builder over its weights.
pub type Loader = Arc<dyn Fn(&Builder, &Value) -> Result<AutoModel> + Send + Sync>;

static LOADERS: LazyLock<RwLock<BTreeMap<String, Loader>>> = LazyLock::new(|| {
    RwLock::new(BTreeMap::from([
        dual("clip", |b, c| Ok(Box::new(Clip::new(b, parse(c)?)?))),
        dual("siglip", |b, c| Ok(Box::new(Siglip::new(b, parse(c)?)?))),
        dual("siglip2", |b, c| Ok(Box::new(Siglip::new(b, parse(c)?)?))),
        vlm("gemma3", |b, c| Ok(Box::new(Gemma3::new(b, parse(c)?)?))),
        vlm("idefics3", |b, c| Ok(Box::new(Idefics3::new(b, parse(c)?)?))),
        vlm("internvl", |b, c| Ok(Box::new(InternVl::new(b, parse(c)?)?))),
        vlm("llava", |b, c| Ok(Box::new(Llava::new(b, parse(c)?)?))),
        vlm("llava_next", |b, c| Ok(Box::new(LlavaNext::new(b, LlavaNextConfig::from_json(c)?)?))),
        vlm("llava_onevision", |b, c| Ok(Box::new(LlavaNext::new(b, LlavaNextConfig::from_json(c)?)?))),
        vlm("paligemma", |b, c| Ok(Box::new(PaliGemma::new(b, parse(c)?)?))),
        vlm("qwen2_5_vl", qwen_vl),
        vlm("qwen2_vl", qwen_vl),
        vlm("qwen3_vl", qwen_vl),
        vlm("smolvlm", |b, c| Ok(Box::new(Idefics3::new(b, parse(c)?)?))),
    ]))
});

fn qwen_vl(b: &Builder, config: &Value) -> Result<Box<dyn VisionLanguageModel>> {
    Ok(Box::new(QwenVl::new(b, QwenVlConfig::from_json(config)?)?))
}

fn dual(
    model_type: &str,
    build: impl Fn(&Builder, &Value) -> Result<Box<dyn DualEncoder>> + Send + Sync + 'static,
) -> (String, Loader) {
    (model_type.to_owned(), Arc::new(move |b, config| build(b, config).map(AutoModel::DualEncoder)))
}

fn vlm(
    model_type: &str,
    build: impl Fn(&Builder, &Value) -> Result<Box<dyn VisionLanguageModel>> + Send + Sync + 'static,
) -> (String, Loader) {
    (model_type.to_owned(), Arc::new(move |b, config| build(b, config).map(AutoModel::VisionLanguage)))
}

/// A configuration of one model type.
///
/// # Errors
/// [`ErrorKind::Config`] naming the field that does not fit.
pub fn parse<C: serde::de::DeserializeOwned>(config: &Value) -> Result<C> {
    // A section that is null is one that is not there, as in transformers.
    let is_null_section = |(name, value): &(&String, &Value)| name.ends_with("_config") && value.is_null();
    let fields = || config.as_object().into_iter().flatten();
    let without: Option<Value> = fields()
        .any(|f| is_null_section(&f))
        .then(|| fields().filter(|f| !is_null_section(f)).map(|(name, value)| (name.clone(), value.clone())).collect());
    let config = without.as_ref().unwrap_or(config);
    serde_path_to_error::deserialize(config).map_err(|e| {
        let error = Error::new(ErrorKind::Config, "config.json", at_path(&e));
        error.hint("take config.json and the weights from the same place").with_source(e)
    })
}

/// Adds a model type, or replaces one: how other crates add families.
pub fn register(model_type: &str, loader: Loader) {
    LOADERS.write().unwrap_or_else(PoisonError::into_inner).insert(model_type.to_owned(), loader);
}

/// The model types that can be loaded.
pub fn model_types() -> Vec<String> {
    LOADERS.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
}

/// Builds the model that `config.json` describes, with parameters from the builder's source.
///
/// # Errors
/// [`ErrorKind::Config`] for an unknown `model_type`, listing the known ones; [`ErrorKind::Unsupported`] for
/// packed weights; those of the model.
pub fn build(b: &Builder, config: &Value) -> Result<AutoModel> {
    let packed = [config, &config["text_config"]].into_iter().map(|c| &c["quantization_config"]).find(|q| !q.is_null());
    if let Some(packed) = packed {
        let method = &packed["quant_method"];
        let message = format!("quantization_config has quant_method {method}: packed weights cannot be read");
        return Err(Error::new(ErrorKind::Unsupported, "config.json", message).hint("take the model it was made from"));
    }
    let Some(model_type) = config["model_type"].as_str() else {
        let message = match &config["model_type"] {
            Value::Null => "there is no model_type".to_owned(),
            found => format!("model_type is {found}, expected a name"),
        };
        return Err(Error::new(ErrorKind::Config, "config.json", message).with("known", model_types().join(", ")));
    };
    let loader = LOADERS.read().unwrap_or_else(PoisonError::into_inner).get(model_type).cloned();
    let Some(loader) = loader else {
        return Err(Error::new(ErrorKind::Config, "config.json", format!("unknown model_type {model_type:?}"))
            .with("known", model_types().join(", "))
            .hint("add a family with vlm_core::models::auto::register"));
    };
    loader(b, config)
}
