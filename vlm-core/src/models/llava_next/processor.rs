//! Pictures in the text: as many placeholders as a picture's grid has features.

use super::{Grid, LlavaNextConfig};
use crate::Result;
use crate::models::processor::{PictureText, Pictures, replace_placeholders};
use crate::vision::{AnyresProcessor, Picture};
use serde_json::Value;
use std::ops::Range;
use std::path::Path;

const IMAGE: &str = "<image>";

/// Tiles at the best resolution, and `<image>` once per feature.
#[derive(Clone, Debug)]
pub struct LlavaNextPictureText {
    images: AnyresProcessor,
    config: LlavaNextConfig,
}

impl LlavaNextPictureText {
    /// The rules of a model's folder with this `config.json`.
    ///
    /// # Errors
    /// Those of [`AnyresProcessor::load`] and of the configuration.
    pub fn load(dir: &Path, config: &Value) -> Result<Self> {
        let config = LlavaNextConfig::from_json(config)?;
        config.check()?;
        Ok(LlavaNextPictureText { images: AnyresProcessor::load(dir)?, config })
    }
}

impl PictureText for LlavaNextPictureText {
    fn pictures(&self, rows: &[Vec<Picture>]) -> Result<Pictures> {
        let (tiles, side) = (self.images.process(rows)?, self.images.tile);
        Ok(Pictures {
            data: tiles.data,
            shape: vec![tiles.tiles.iter().sum(), 3, side, side],
            tiles: tiles.tiles,
            sizes: rows.iter().flatten().map(|p| [p.height(), p.width()]).collect(),
            per_row: rows.iter().map(Vec::len).collect(),
            ..Pictures::default()
        })
    }

    fn placeholder(&self) -> &str {
        IMAGE
    }

    fn expand(&self, text: &str, pictures: &Pictures, range: Range<usize>) -> Result<String> {
        let whole = self.config.vision_config.tokens(self.config.vision_feature_select_strategy);
        replace_placeholders(text, IMAGE, range, |i| {
            let rest = if pictures.tiles[i] == 1 { 1 } else { Grid::of(&self.config, pictures.sizes[i])?.tokens() };
            Ok(IMAGE.repeat(whole + rest))
        })
    }
}
