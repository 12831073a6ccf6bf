//! Pictures before the text: `<image>` once per patch, the token that begins a text, the prompt, a line break.

use super::PaliGemmaConfig;
use crate::models::auto::parse;
use crate::models::processor::{PictureText, Pictures, replace_placeholders};
use crate::text::Tokenizer;
use crate::vision::{ImageProcessor, Picture};
use crate::{Error, ErrorKind, Result};
use serde_json::Value;
use std::ops::Range;
use std::path::Path;

const IMAGE: &str = "<image>";

/// SigLIP's processor and PaliGemma's layout of prompts, which needs no chat template.
#[derive(Clone, Debug)]
pub struct PaliGemmaPictureText {
    images: ImageProcessor,
    tokens: usize,
    bos: String,
    eos: String,
}

impl PaliGemmaPictureText {
    /// The rules of a model's folder with this `config.json` and tokenizer.
    ///
    /// # Errors
    /// Those of [`ImageProcessor::load`] and of the configuration; [`ErrorKind::Tokenizer`] if the tokenizer does not say
    /// what begins and ends a text.
    pub fn load(dir: &Path, config: &Value, tokenizer: &Tokenizer) -> Result<Self> {
        let config: PaliGemmaConfig = parse(config)?;
        let named = |name: &str, token: &Option<String>| {
            token
                .clone()
                .ok_or_else(|| Error::new(ErrorKind::Tokenizer, "tokenizer_config.json", format!("there is no {name}")))
        };
        let special = tokenizer.special_tokens();
        Ok(PaliGemmaPictureText {
            images: ImageProcessor::load(dir)?,
            tokens: config.image_tokens(),
            bos: named("bos_token", &special.bos)?,
            eos: named("eos_token", &special.eos)?,
        })
    }
}

impl PictureText for PaliGemmaPictureText {
    fn pictures(&self, rows: &[Vec<Picture>]) -> Result<Pictures> {
        let all: Vec<Picture> = rows.iter().flatten().cloned().collect();
        let values = self.images.process(&all)?;
        Ok(Pictures { data: values.data, shape: values.shape.to_vec(), ..Pictures::default() })
    }

    fn placeholder(&self) -> &str {
        IMAGE
    }

    fn expand(&self, text: &str, _pictures: &Pictures, range: Range<usize>) -> Result<String> {
        // Pictures come first, wherever the text had them.
        let pictures = IMAGE.repeat(self.tokens * range.len());
        let rest = replace_placeholders(text, IMAGE, range, |_| Ok(String::new()))?;
        Ok(format!("{pictures}{}{rest}\n", self.bos))
    }

    fn without_template(&self, messages: &Value) -> Option<String> {
        let parts = || {
            messages.as_array().into_iter().flatten().flat_map(|m| match &m["content"] {
                Value::Array(parts) => parts.clone(),
                text => vec![serde_json::json!({"type": "text", "text": text})],
            })
        };
        let pictures = parts().filter(|p| p["type"] == "image").count();
        let text: String = parts().filter_map(|p| Some(p.get("text")?.as_str()?.to_owned())).collect();
        Some(IMAGE.repeat(pictures) + &text)
    }

    fn suffix_end(&self) -> Option<&str> {
        Some(&self.eos)
    }
}
