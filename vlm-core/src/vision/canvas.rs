//! The processor of InternVL (GOT-OCR 2): the picture resized to the canvas of tiles whose shape is nearest to its own.

use super::processor::{MAX_TILES, room, tables};
use super::processor_config::{bad, channels, deviations, flag, read_config, side};
use super::resize::resize;
use super::{ImageProcessor, Picture, Resample};
use crate::Result;
use serde_json::Value;
use std::path::Path;

const OP: &str = "InternVL image processor";

/// The steps of `GotOcr2ImageProcessor`, cutting switched on as InternVL's processor does.
#[derive(Clone, Debug, PartialEq)]
pub struct CanvasProcessor {
    /// Side of a tile.
    pub tile: usize,
    /// Fewest and most tiles of a picture, the small copy of the whole not counted.
    pub count: (usize, usize),
    /// How to resize.
    pub resample: Resample,
    /// The factor for byte values.
    pub rescale: Option<f64>,
    /// Mean and standard deviation of each channel, for rescaled values.
    pub normalise: Option<([f32; 3], [f32; 3])>,
}

/// Tiles of some pictures.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CanvasTiles {
    /// `[tiles of all pictures, 3, tile, tile]`: row by row and, where there is more than one, the whole picture last.
    pub data: Vec<f32>,
    /// Tiles of each picture, the whole counted.
    pub tiles: Vec<usize>,
}

impl Default for CanvasProcessor {
    /// The values that the processor has where its file says nothing.
    fn default() -> Self {
        CanvasProcessor {
            tile: 384,
            count: (1, 12),
            normalise: ImageProcessor::clip(1).normalise,
            resample: Resample::Bicubic,
            rescale: ImageProcessor::clip(1).rescale,
        }
    }
}

impl CanvasProcessor {
    /// The processor of a model's folder, as [`ImageProcessor::load`].
    ///
    /// # Errors
    /// As there.
    pub fn load(dir: &Path) -> Result<Self> {
        let (config, path) = read_config(dir)?;
        Self::from_config(&config).map_err(|e| e.with("file", path.display()))
    }

    /// The processor of a configuration.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) naming the field, or the type of processor if it is another one.
    pub fn from_config(config: &Value) -> Result<Self> {
        let kind = &config["image_processor_type"];
        let plain = kind.as_str().map(|k| k.trim_end_matches("Fast").trim_end_matches("Pil"));
        if !matches!(plain, Some("GotOcr2ImageProcessor")) {
            return Err(bad("image_processor_type", kind, "GotOcr2ImageProcessor"));
        }
        let default = CanvasProcessor::default();
        let tile = match &config["size"] {
            Value::Null => default.tile,
            size if size["height"] == size["width"] => side("size.height", &size["height"])?,
            size => return Err(bad("size", size, "equal height and width")),
        };
        let number = |name: &str, default: usize| match &config[name] {
            Value::Null => Ok(default),
            found => match found.as_u64().filter(|n| (1..=MAX_TILES as u64).contains(n)) {
                Some(n) => Ok(n as usize),
                None => Err(bad(name, found, "a number from 1 to 1024")),
            },
        };
        let count = (number("min_patches", default.count.0)?, number("max_patches", default.count.1)?);
        if count.0 > count.1 {
            return Err(bad("min_patches", &config["min_patches"], &format!("at most max_patches, {}", count.1)));
        }
        if !flag(config, "do_resize", true)? {
            return Err(bad("do_resize", &config["do_resize"], "true: tiles have one size"));
        }
        let (mean, std) = default.normalise.unwrap_or_default();
        let normal = (channels(config, "image_mean", mean)?, deviations(config, std)?);
        let factor = match &config["rescale_factor"] {
            Value::Null => default.rescale,
            found => Some(found.as_f64().ok_or_else(|| bad("rescale_factor", found, "a number"))?),
        };
        Ok(CanvasProcessor {
            tile,
            count,
            resample: match &config["resample"] {
                Value::Null => default.resample,
                found => Resample::from_pillow(found.as_i64().ok_or_else(|| bad("resample", found, "a number"))?)?,
            },
            rescale: if flag(config, "do_rescale", true)? { factor } else { None },
            normalise: flag(config, "do_normalize", true)?.then_some(normal),
        })
    }

    /// Columns and rows of tiles for a picture: the shape nearest to its own, and of equally near ones the larger as long as
    /// the picture has more than half of its pixels.
    pub fn arrangement(&self, width: usize, height: usize) -> (usize, usize) {
        let (least, most) = self.count;
        let mut all: Vec<(usize, usize)> = (1..=most)
            .flat_map(|columns| (1..=most / columns).map(move |rows| (columns, rows)))
            .filter(|(columns, rows)| columns * rows >= least)
            .collect();
        // Stable: of equal numbers the fewer columns first.
        all.sort_by_key(|(columns, rows)| columns * rows);
        let (ratio, area) = (width as f64 / height as f64, (width * height) as f64);
        let (mut nearest, mut best) = (f64::INFINITY, (1, 1));
        for (columns, rows) in all {
            let off = (ratio - columns as f64 / rows as f64).abs();
            if off < nearest {
                (nearest, best) = (off, (columns, rows));
            } else if off == nearest && area > 0.5 * (self.tile * self.tile * columns * rows) as f64 {
                best = (columns, rows);
            }
        }
        best
    }

    /// The tiles of these pictures, one picture after the other.
    ///
    /// # Errors
    /// [`ErrorKind::Image`](crate::ErrorKind::Image) with the picture's position if it would become too large;
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) for factors that give NaN or infinity.
    pub fn process(&self, pictures: &[Picture]) -> Result<CanvasTiles> {
        let (tables, mut out) = (tables(OP, self.rescale, self.normalise)?, CanvasTiles::default());
        for (i, picture) in pictures.iter().enumerate() {
            let tiles = self.cut(picture).map_err(|e| e.with("picture", i))?;
            room(OP, i, out.data.len(), &[tiles.len(), 3, self.tile, self.tile])?;
            out.tiles.push(tiles.len());
            for tile in &tiles {
                for (c, table) in tables.iter().enumerate() {
                    out.data.extend(tile.rgb().iter().skip(c).step_by(3).map(|&v| table[usize::from(v)]));
                }
            }
        }
        Ok(out)
    }

    fn cut(&self, picture: &Picture) -> Result<Vec<Picture>> {
        let (tile, (columns, rows)) = (self.tile, self.arrangement(picture.width(), picture.height()));
        let canvas = resize(picture, tile * columns, tile * rows, self.resample)?;
        let places = (0..rows * columns).map(|i| (i % columns * tile, i / columns * tile));
        let mut tiles = places.map(|(x, y)| canvas.crop(x, y, tile, tile)).collect::<Result<Vec<_>>>()?;
        if tiles.len() > 1 {
            tiles.push(resize(picture, tile, tile, self.resample)?);
        }
        Ok(tiles)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_nearest_shape_is_taken() {
        let p = CanvasProcessor { tile: 28, count: (1, 4), ..CanvasProcessor::default() };
        assert_eq!(p.arrangement(300, 9), (4, 1));
        assert_eq!(p.arrangement(9, 300), (1, 4));
        assert_eq!(p.arrangement(10, 10), (1, 1));
        assert_eq!(p.arrangement(56, 56), (2, 2));
    }

    #[test]
    fn wrong_fields_are_named() {
        let of = |mut v: Value| {
            v["image_processor_type"] = json!("GotOcr2ImageProcessorFast");
            CanvasProcessor::from_config(&v).map_err(|e| e.to_string())
        };
        assert_eq!(of(json!({})).unwrap(), CanvasProcessor::default());
        assert!(of(json!({"size": {"height": 3, "width": 4}})).unwrap_err().contains("equal height and width"));
        assert!(of(json!({"min_patches": 3, "max_patches": 2})).unwrap_err().contains("min_patches is 3"));
        assert!(of(json!({"max_patches": 0})).unwrap_err().contains("max_patches is 0"));
        assert!(CanvasProcessor::from_config(&json!({})).unwrap_err().to_string().contains("GotOcr2"));
    }
}
