//! Pictures in the text: every tile with its row and column, the whole picture last.

use super::Idefics3Config;
use crate::Result;
use crate::models::auto::parse;
use crate::models::processor::{PictureText, Pictures, replace_placeholders};
use crate::vision::{Picture, TileProcessor};
use serde_json::Value;
use std::ops::Range;
use std::path::Path;

const IMAGE: &str = "<image>";
const AROUND: &str = "<fake_token_around_image>";
const WHOLE: &str = "<global-img>";

/// Idefics3's and SmolVLM's processor and prompt.
#[derive(Clone, Debug)]
pub struct Idefics3PictureText {
    images: TileProcessor,
    tokens: usize,
}

impl Idefics3PictureText {
    /// The rules of a model's folder with this `config.json`.
    ///
    /// # Errors
    /// Those of [`TileProcessor::load`] and of the configuration.
    pub fn load(dir: &Path, config: &Value) -> Result<Self> {
        let config: Idefics3Config = parse(config)?;
        let images = TileProcessor::load(dir)?;
        // Tiles of another size than the tower's have as many tokens as they have joined patches.
        let side = images.tile / config.vision_config.patch_size.max(1) / config.scale_factor.max(1);
        Ok(Idefics3PictureText { images, tokens: side * side })
    }
}

impl PictureText for Idefics3PictureText {
    fn pictures(&self, rows: &[Vec<Picture>]) -> Result<Pictures> {
        let all: Vec<Picture> = rows.iter().flatten().cloned().collect();
        let tiles = self.images.process(&all)?;
        Ok(Pictures {
            data: tiles.data,
            shape: tiles.shape.to_vec(),
            tiles: tiles.grid.iter().map(|[rows, columns]| rows * columns + 1).collect(),
            tile_grid: tiles.grid,
            per_row: rows.iter().map(Vec::len).collect(),
            ..Pictures::default()
        })
    }

    fn placeholder(&self) -> &str {
        IMAGE
    }

    fn expand(&self, text: &str, pictures: &Pictures, range: Range<usize>) -> Result<String> {
        let tokens = IMAGE.repeat(self.tokens);
        replace_placeholders(text, IMAGE, range, |i| {
            let [rows, columns] = pictures.tile_grid[i];
            let mut out = String::new();
            for row in 1..=rows {
                for column in 1..=columns {
                    out += &format!("{AROUND}<row_{row}_col_{column}>{tokens}");
                }
                out.push('\n');
            }
            if rows > 0 {
                out.push('\n');
            }
            Ok(out + AROUND + WHOLE + &tokens + AROUND)
        })
    }
}
