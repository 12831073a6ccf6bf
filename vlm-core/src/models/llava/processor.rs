//! Pictures in the text: one placeholder per patch.

use super::LlavaConfig;
use crate::Result;
use crate::models::auto::parse;
use crate::models::processor::{PictureText, Pictures, replace_placeholders};
use crate::vision::{ImageProcessor, Picture};
use serde_json::Value;
use std::ops::Range;
use std::path::Path;

const IMAGE: &str = "<image>";

/// CLIP's processor, and `<image>` once per token of a picture.
#[derive(Clone, Debug)]
pub struct LlavaPictureText {
    images: ImageProcessor,
    tokens: usize,
}

impl LlavaPictureText {
    /// The rules of a model's folder with this `config.json`.
    ///
    /// # Errors
    /// Those of [`ImageProcessor::load`] and of the configuration.
    pub fn load(dir: &Path, config: &Value) -> Result<Self> {
        let config: LlavaConfig = parse(config)?;
        Ok(LlavaPictureText { images: ImageProcessor::load(dir)?, tokens: config.image_tokens() })
    }
}

impl PictureText for LlavaPictureText {
    fn pictures(&self, rows: &[Vec<Picture>]) -> Result<Pictures> {
        let all: Vec<Picture> = rows.iter().flatten().cloned().collect();
        let values = self.images.process(&all)?;
        Ok(Pictures { data: values.data, shape: values.shape.to_vec(), ..Pictures::default() })
    }

    fn placeholder(&self) -> &str {
        IMAGE
    }

    fn expand(&self, text: &str, _pictures: &Pictures, range: Range<usize>) -> Result<String> {
        replace_placeholders(text, IMAGE, range, |_| Ok(IMAGE.repeat(self.tokens)))
    }
}
