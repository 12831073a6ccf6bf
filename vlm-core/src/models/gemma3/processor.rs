//! Pictures in the text: soft tokens between marks, set off by empty lines.

use super::Gemma3Config;
use crate::models::auto::parse;
use crate::models::processor::{PictureText, Pictures, replace_placeholders};
use crate::text::Tokenizer;
use crate::vision::{ImageProcessor, Picture};
use crate::{Error, ErrorKind, Result};
use serde_json::Value;
use std::ops::Range;
use std::path::Path;

/// Gemma 3's processor without pan and scan.
#[derive(Clone, Debug)]
pub struct Gemma3PictureText {
    images: ImageProcessor,
    placeholder: String,
    picture: String,
}

impl Gemma3PictureText {
    /// The rules of a model's folder with this `config.json` and tokenizer.
    ///
    /// # Errors
    /// Those of [`ImageProcessor::load`] and of the configuration; [`ErrorKind::Tokenizer`] if the tokenizer lacks a token
    /// that the configuration names.
    pub fn load(dir: &Path, config: &Value, tokenizer: &Tokenizer) -> Result<Self> {
        let config: Gemma3Config = parse(config)?;
        let token = |field: &str, id: i64| {
            u32::try_from(id).ok().and_then(|id| tokenizer.id_to_token(id)).ok_or_else(|| {
                let message = format!("{field} is {id}, which the tokenizer does not know");
                Error::new(ErrorKind::Tokenizer, "config.json", message)
            })
        };
        let begin = token("boi_token_index", config.boi_token_index)?;
        let end = token("eoi_token_index", config.eoi_token_index)?;
        let soft = token("image_token_index", config.image_token_index)?.repeat(config.mm_tokens_per_image);
        let picture = format!("\n\n{begin}{soft}{end}\n\n");
        Ok(Gemma3PictureText { images: ImageProcessor::load(dir)?, placeholder: begin, picture })
    }
}

impl PictureText for Gemma3PictureText {
    fn pictures(&self, rows: &[Vec<Picture>]) -> Result<Pictures> {
        let all: Vec<Picture> = rows.iter().flatten().cloned().collect();
        let values = self.images.process(&all)?;
        Ok(Pictures { data: values.data, shape: values.shape.to_vec(), ..Pictures::default() })
    }

    fn placeholder(&self) -> &str {
        &self.placeholder
    }

    fn expand(&self, text: &str, _pictures: &Pictures, range: Range<usize>) -> Result<String> {
        replace_placeholders(text, &self.placeholder, range, |_| Ok(self.picture.clone()))
    }
}
