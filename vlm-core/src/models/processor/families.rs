//! Picture rules by `model_type`.

use super::PictureText;
use crate::models::gemma3::Gemma3PictureText;
use crate::models::idefics3::Idefics3PictureText;
use crate::models::internvl::InternVlPictureText;
use crate::models::llava::LlavaPictureText;
use crate::models::llava_next::LlavaNextPictureText;
use crate::models::paligemma::PaliGemmaPictureText;
use crate::models::qwen_vl::QwenPictureText;
use crate::text::Tokenizer;
use crate::{Error, ErrorKind, Result};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

/// Makes a family's picture rules from a model's folder, its `config.json` and its tokenizer.
pub type PictureTextLoader = Arc<dyn Fn(&Path, &Value, &Tokenizer) -> Result<Box<dyn PictureText>> + Send + Sync>;

static LOADERS: LazyLock<RwLock<BTreeMap<String, PictureTextLoader>>> = LazyLock::new(|| {
    RwLock::new(BTreeMap::from([
        entry("gemma3", |dir, c, t| Ok(Box::new(Gemma3PictureText::load(dir, c, t)?))),
        entry("idefics3", |dir, c, _| Ok(Box::new(Idefics3PictureText::load(dir, c)?))),
        entry("internvl", |dir, c, t| Ok(Box::new(InternVlPictureText::load(dir, c, t)?))),
        entry("llava", |dir, c, _| Ok(Box::new(LlavaPictureText::load(dir, c)?))),
        entry("llava_next", |dir, c, _| Ok(Box::new(LlavaNextPictureText::load(dir, c)?))),
        entry("llava_onevision", |dir, c, _| Ok(Box::new(LlavaNextPictureText::load(dir, c)?))),
        entry("paligemma", |dir, c, t| Ok(Box::new(PaliGemmaPictureText::load(dir, c, t)?))),
        entry("qwen2_5_vl", |dir, c, t| Ok(Box::new(QwenPictureText::load(dir, c, t)?))),
        entry("qwen2_vl", |dir, c, t| Ok(Box::new(QwenPictureText::load(dir, c, t)?))),
        entry("qwen3_vl", |dir, c, t| Ok(Box::new(QwenPictureText::load(dir, c, t)?))),
        entry("smolvlm", |dir, c, _| Ok(Box::new(Idefics3PictureText::load(dir, c)?))),
    ]))
});

fn entry(
    model_type: &str,
    load: impl Fn(&Path, &Value, &Tokenizer) -> Result<Box<dyn PictureText>> + Send + Sync + 'static,
) -> (String, PictureTextLoader) {
    (model_type.to_owned(), Arc::new(load))
}

/// Adds the picture rules of a model type, or replaces them.
pub fn register(model_type: &str, loader: PictureTextLoader) {
    LOADERS.write().unwrap_or_else(PoisonError::into_inner).insert(model_type.to_owned(), loader);
}

pub(super) fn load(dir: &Path, config: &Value, tokenizer: &Tokenizer) -> Result<Box<dyn PictureText>> {
    let model_type = config["model_type"].as_str().unwrap_or_default();
    let loader = LOADERS.read().unwrap_or_else(PoisonError::into_inner).get(model_type).cloned();
    let Some(loader) = loader else {
        let known: Vec<String> = LOADERS.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect();
        let message = format!("there is no processor for model_type {model_type:?}");
        return Err(Error::new(ErrorKind::Config, "config.json", message)
            .with("known", known.join(", "))
            .hint("add one with vlm_core::models::processor::register"));
    };
    loader(dir, config, tokenizer).map_err(|e| e.with("folder", dir.display()))
}
