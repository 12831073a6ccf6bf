//! Pictures in the text: one placeholder per merged cell.

use super::QwenVlConfig;
use crate::models::processor::{PictureText, Pictures, replace_placeholders};
use crate::text::Tokenizer;
use crate::vision::{Picture, QwenImageProcessor};
use crate::{Error, ErrorKind, Result};
use serde_json::Value;
use std::ops::Range;
use std::path::Path;

/// Qwen's processor, and `<|image_pad|>` once per merged cell.
#[derive(Clone, Debug)]
pub struct QwenPictureText {
    images: QwenImageProcessor,
    placeholder: String,
}

impl QwenPictureText {
    /// The rules of a model's folder with this `config.json` and tokenizer.
    ///
    /// # Errors
    /// Those of [`QwenImageProcessor::load`] and of the configuration; [`ErrorKind::Tokenizer`] if the tokenizer lacks the
    /// placeholder.
    pub fn load(dir: &Path, config: &Value, tokenizer: &Tokenizer) -> Result<Self> {
        let id = QwenVlConfig::from_json(config)?.image_token_id;
        let placeholder = u32::try_from(id).ok().and_then(|id| tokenizer.id_to_token(id)).ok_or_else(|| {
            let message = format!("image_token_id is {id}, which the tokenizer does not know");
            Error::new(ErrorKind::Tokenizer, "config.json", message)
        })?;
        Ok(QwenPictureText { images: QwenImageProcessor::load(dir)?, placeholder })
    }
}

impl PictureText for QwenPictureText {
    fn pictures(&self, rows: &[Vec<Picture>]) -> Result<Pictures> {
        let all: Vec<Picture> = rows.iter().flatten().cloned().collect();
        let patches = self.images.process(&all)?;
        let per_row = rows.iter().map(Vec::len).collect();
        Ok(Pictures {
            data: patches.data,
            shape: patches.shape.to_vec(),
            grid: patches.grid,
            per_row,
            ..Pictures::default()
        })
    }

    fn placeholder(&self) -> &str {
        &self.placeholder
    }

    fn expand(&self, text: &str, pictures: &Pictures, range: Range<usize>) -> Result<String> {
        let merged = self.images.merge_size.pow(2);
        replace_placeholders(text, &self.placeholder, range, |i| {
            Ok(self.placeholder.repeat(pictures.grid[i].iter().product::<usize>() / merged))
        })
    }
}
