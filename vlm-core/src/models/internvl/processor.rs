//! Pictures in the text: a placeholder per token of each tile, between marks.

use super::InternVlConfig;
use crate::models::auto::parse;
use crate::models::processor::{PictureText, Pictures, replace_placeholders};
use crate::text::Tokenizer;
use crate::vision::{CanvasProcessor, Picture};
use crate::{Error, ErrorKind, Result};
use serde_json::Value;
use std::ops::Range;
use std::path::Path;

/// InternVL's processor and prompt.
#[derive(Clone, Debug)]
pub struct InternVlPictureText {
    images: CanvasProcessor,
    placeholder: String,
    around: [String; 2],
    tokens: usize,
}

impl InternVlPictureText {
    /// The rules of a model's folder with this `config.json` and tokenizer.
    ///
    /// # Errors
    /// Those of [`CanvasProcessor::load`] and of the configuration; [`ErrorKind::Tokenizer`] if the tokenizer lacks the
    /// placeholder.
    pub fn load(dir: &Path, config: &Value, tokenizer: &Tokenizer) -> Result<Self> {
        let config: InternVlConfig = parse(config)?;
        config.check()?;
        let id = config.image_token_id;
        let placeholder = u32::try_from(id).ok().and_then(|id| tokenizer.id_to_token(id)).ok_or_else(|| {
            let message = format!("image_token_id is {id}, which the tokenizer does not know");
            Error::new(ErrorKind::Tokenizer, "config.json", message)
        })?;
        let named = |name: &str, default: &str| tokenizer.config()[name].as_str().unwrap_or(default).to_owned();
        let around = [named("start_image_token", "<img>"), named("end_image_token", "</img>")];
        Ok(InternVlPictureText {
            images: CanvasProcessor::load(dir)?,
            placeholder,
            around,
            tokens: config.tokens_per_tile(),
        })
    }
}

impl PictureText for InternVlPictureText {
    fn pictures(&self, rows: &[Vec<Picture>]) -> Result<Pictures> {
        let all: Vec<Picture> = rows.iter().flatten().cloned().collect();
        let canvas = self.images.process(&all)?;
        let side = self.images.tile;
        Ok(Pictures {
            data: canvas.data,
            shape: vec![canvas.tiles.iter().sum(), 3, side, side],
            tiles: canvas.tiles,
            per_row: rows.iter().map(Vec::len).collect(),
            ..Pictures::default()
        })
    }

    fn placeholder(&self) -> &str {
        &self.placeholder
    }

    fn expand(&self, text: &str, pictures: &Pictures, range: Range<usize>) -> Result<String> {
        let [begin, end] = &self.around;
        replace_placeholders(text, &self.placeholder, range, |i| {
            Ok(format!("{begin}{}{end}", self.placeholder.repeat(self.tokens * pictures.tiles[i])))
        })
    }
}
