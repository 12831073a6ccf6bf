//! Models by `model_type`.

use super::VisionLanguageModel;
use super::llava::{Llava, LlavaConfig};
use crate::nn::Builder;
use crate::{Error, ErrorKind, Result};
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

/// Builds a model from its `config.json` and a builder over its weights.
pub type Loader = Arc<dyn Fn(&Builder, &serde_json::Value) -> Result<Box<dyn VisionLanguageModel>> + Send + Sync>;

static LOADERS: LazyLock<RwLock<BTreeMap<String, Loader>>> = LazyLock::new(|| {
    let llava: Loader = Arc::new(|b, config| {
        let config: LlavaConfig = parse(config)?;
        Ok(Box::new(Llava::new(b, config)?) as Box<dyn VisionLanguageModel>)
    });
    RwLock::new(BTreeMap::from([("llava".to_owned(), llava)]))
});

/// A configuration of one model type.
///
/// # Errors
/// [`ErrorKind::Config`] naming the field that does not fit.
pub fn parse<C: serde::de::DeserializeOwned>(config: &serde_json::Value) -> Result<C> {
    C::deserialize(config).map_err(|e| Error::new(ErrorKind::Config, "config.json", e.to_string()).with_source(e))
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
/// [`ErrorKind::Config`] for an unknown `model_type`, listing the known ones; those of the model.
pub fn build(b: &Builder, config: &serde_json::Value) -> Result<Box<dyn VisionLanguageModel>> {
    let model_type = config.get("model_type").and_then(serde_json::Value::as_str);
    let Some(model_type) = model_type else {
        return Err(Error::new(ErrorKind::Config, "config.json", "there is no model_type"));
    };
    let loader = LOADERS.read().unwrap_or_else(PoisonError::into_inner).get(model_type).cloned();
    let Some(loader) = loader else {
        return Err(Error::new(ErrorKind::Config, "config.json", format!("unknown model_type {model_type:?}"))
            .with("known", model_types().join(", "))
            .hint("add a family with vlm_core::models::auto::register"));
    };
    loader(b, config)
}
