//! The processor of LLaVA-NeXT and LLaVA-OneVision: a small copy of the whole picture, and tiles of it at the resolution
//! among the given ones that suits it best.

use super::processor::{MAX_TILES, room, tables};
use super::processor_config::{bad, channels, deviations, flag, read_config, side};
use super::resize::resize;
use super::{ImageProcessor, Picture, Resample};
use crate::{Error, ErrorKind, Result};
use serde_json::Value;
use std::path::Path;

const OP: &str = "LLaVA-NeXT image processor";
/// Most resolutions of a list; the longest known has 36.
const MAX_PINPOINTS: usize = 1024;

/// The resolution `[height, width]` that a picture of `size` keeps most of its pixels at, and wastes least of. `None` if the
/// list is empty.
pub fn best_pinpoint(size: [usize; 2], pinpoints: &[[usize; 2]]) -> Option<[usize; 2]> {
    let [height, width] = size;
    let mut best = None;
    for &[h, w] in pinpoints {
        let scale = (w as f64 / width as f64).min(h as f64 / height as f64);
        let shrunk = (width as f64 * scale) as usize * (height as f64 * scale) as usize;
        let kept = shrunk.min(width * height);
        let wasted = w * h - kept.min(w * h);
        // The first of equals stays.
        if best.is_none_or(|(k, w, _)| kept > k || (kept == k && wasted < w)) {
            best = Some((kept, wasted, [h, w]));
        }
    }
    best.map(|(.., pinpoint)| pinpoint)
}

/// The steps of `LlavaNextImageProcessor` and `LlavaOnevisionImageProcessor`.
#[derive(Clone, Debug, PartialEq)]
pub struct AnyresProcessor {
    /// Resolutions, height before width, multiples of `tile`.
    pub pinpoints: Vec<[usize; 2]>,
    /// Side of a tile.
    pub tile: usize,
    /// How to resize.
    pub resample: Resample,
    /// The factor for byte values.
    pub rescale: Option<f64>,
    /// Mean and standard deviation of each channel, for rescaled values.
    pub normalise: Option<([f32; 3], [f32; 3])>,
    /// Whether pictures that share a row with others are not cut but put into a square of the mean colour (OneVision).
    pub whole_if_many: bool,
}

/// Tiles of some pictures.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AnyresTiles {
    /// `[tiles of all pictures, 3, tile, tile]`: of each picture the whole first, then tiles row by row.
    pub data: Vec<f32>,
    /// Tiles of each picture, the whole counted.
    pub tiles: Vec<usize>,
}

impl AnyresProcessor {
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
    /// [`ErrorKind::Config`] naming the field, or the type of processor if it is another one.
    pub fn from_config(config: &Value) -> Result<Self> {
        let kind = &config["image_processor_type"];
        let plain = kind.as_str().map(|k| k.trim_end_matches("Fast").trim_end_matches("Pil"));
        let whole_if_many = match plain {
            Some("LlavaNextImageProcessor") => false,
            Some("LlavaOnevisionImageProcessor") => true,
            _ => {
                return Err(bad(
                    "image_processor_type",
                    kind,
                    "LlavaNextImageProcessor or LlavaOnevisionImageProcessor",
                ));
            }
        };
        let clip = ImageProcessor::clip(1);
        let (mean, std) = clip.normalise.unwrap_or_default();
        let normal = (channels(config, "image_mean", mean)?, deviations(config, std)?);
        let size = &config["size"];
        let tile = match (&size["shortest_edge"], &size["height"], &size["width"]) {
            (Value::Null, Value::Null, Value::Null) if size.is_null() => {
                if whole_if_many {
                    384
                } else {
                    224
                }
            }
            (Value::Null, h, w) if h == w => side("size.height", h)?,
            (edge, Value::Null, Value::Null) => side("size.shortest_edge", edge)?,
            _ => return Err(bad("size", size, "shortest_edge, or height and width of a square")),
        };
        let crop =
            if flag(config, "do_center_crop", !whole_if_many)? { &config["crop_size"]["height"] } else { &Value::Null };
        if !crop.is_null() && crop.as_u64() != Some(tile as u64) {
            return Err(bad("crop_size.height", crop, &format!("{tile}, as in size")));
        }
        for name in ["do_resize", "do_pad"] {
            if !flag(config, name, true)? {
                return Err(bad(name, &config[name], "true: tiles of different sizes make no batch"));
            }
        }
        let factor = match &config["rescale_factor"] {
            Value::Null => clip.rescale,
            found => Some(found.as_f64().ok_or_else(|| bad("rescale_factor", found, "a number"))?),
        };
        Ok(AnyresProcessor {
            pinpoints: pinpoints(&config["image_grid_pinpoints"], tile)?,
            tile,
            resample: match &config["resample"] {
                Value::Null => clip.resample,
                found => Resample::from_pillow(found.as_i64().ok_or_else(|| bad("resample", found, "a number"))?)?,
            },
            rescale: if flag(config, "do_rescale", true)? { factor } else { None },
            normalise: flag(config, "do_normalize", true)?.then_some(normal),
            whole_if_many,
        })
    }

    /// The tiles of the pictures of each row, one picture after the other.
    ///
    /// # Errors
    /// [`ErrorKind::Image`] with the picture's position if it would become too large; [`ErrorKind::Config`] for factors that
    /// give NaN or infinity.
    pub fn process(&self, rows: &[Vec<Picture>]) -> Result<AnyresTiles> {
        let tables = tables(OP, self.rescale, self.normalise)?;
        let mut out = AnyresTiles::default();
        for row in rows {
            for picture in row {
                let whole = self.whole_if_many && row.len() > 1;
                let tiles = if whole { self.squared(picture).map(|p| vec![p]) } else { self.cut(picture) };
                let tiles = tiles.map_err(|e| e.with("picture", out.tiles.len()))?;
                room(OP, out.tiles.len(), out.data.len(), &[tiles.len(), 3, self.tile, self.tile])?;
                out.tiles.push(tiles.len());
                for tile in &tiles {
                    for (c, table) in tables.iter().enumerate() {
                        out.data.extend(tile.rgb().iter().skip(c).step_by(3).map(|&v| table[usize::from(v)]));
                    }
                }
            }
        }
        Ok(out)
    }

    fn squared(&self, picture: &Picture) -> Result<Picture> {
        let (w, h) = (picture.width(), picture.height());
        let side = w.max(h);
        // Python's int() cuts.
        let colour = self.normalise.unwrap_or_default().0.map(|m| (f64::from(m) * 255.0) as u8);
        let square = picture.placed((side, side), ((side - w) / 2, (side - h) / 2), colour)?;
        resize(&square, self.tile, self.tile, self.resample)
    }

    fn cut(&self, picture: &Picture) -> Result<Vec<Picture>> {
        let (w, h, tile) = (picture.width(), picture.height(), self.tile);
        let Some([rows, columns]) = best_pinpoint([h, w], &self.pinpoints) else {
            return Err(Error::new(ErrorKind::Config, OP, "image_grid_pinpoints is empty, expected resolutions"));
        };
        let (scale_w, scale_h) = (columns as f64 / w as f64, rows as f64 / h as f64);
        let (new_w, new_h) = if scale_w < scale_h {
            (columns, ((h as f64 * scale_w).ceil() as usize).min(rows))
        } else {
            (((w as f64 * scale_h).ceil() as usize).min(columns), rows)
        };
        let fitted = resize(picture, new_w.max(1), new_h.max(1), self.resample)?;
        let corner = ((columns - fitted.width()) / 2, (rows - fitted.height()) / 2);
        let padded = fitted.placed((columns, rows), corner, [0; 3])?;
        let mut tiles = vec![resize(picture, tile, tile, self.resample)?];
        for place in 0..rows / tile * (columns / tile) {
            let (x, y) = (place % (columns / tile) * tile, place / (columns / tile) * tile);
            tiles.push(padded.crop(x, y, tile, tile)?);
        }
        Ok(tiles)
    }
}

/// A list of `[height, width]`, each a multiple of the tile.
pub(crate) fn pinpoints(list: &Value, tile: usize) -> Result<Vec<[usize; 2]>> {
    let wrong = || bad("image_grid_pinpoints", list, "a list of [height, width]");
    let found = list.as_array().filter(|l| !l.is_empty() && l.len() <= MAX_PINPOINTS).ok_or_else(wrong)?;
    let pair = |v: &Value| -> Result<[usize; 2]> {
        let Some([h, w]) = v.as_array().map(Vec::as_slice) else { return Err(wrong()) };
        let pair = [side("image_grid_pinpoints", h)?, side("image_grid_pinpoints", w)?];
        let tiles = pair.map(|side| side / tile);
        match pair.iter().all(|s| s.is_multiple_of(tile)) {
            true if tiles[0] * tiles[1] <= MAX_TILES => Ok(pair),
            true => Err(bad("image_grid_pinpoints", v, &format!("at most {MAX_TILES} tiles of {tile} pixels"))),
            false => Err(bad("image_grid_pinpoints", v, &format!("multiples of the tile, {tile}"))),
        }
    };
    found.iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_best_resolution_keeps_most_and_wastes_least() {
        let all = [[28, 56], [56, 28], [56, 56], [84, 28], [28, 84]];
        assert_eq!(best_pinpoint([9, 300], &all), Some([28, 84]));
        assert_eq!(best_pinpoint([300, 9], &all), Some([84, 28]));
        assert_eq!(best_pinpoint([1, 1], &all), Some([28, 56]));
        assert_eq!(best_pinpoint([100, 100], &all), Some([56, 56]));
        assert_eq!(best_pinpoint([1, 1], &[]), None);
    }

    #[test]
    fn wrong_fields_are_named() {
        let of = |mut v: Value| {
            v["image_processor_type"] = json!("LlavaNextImageProcessorFast");
            AnyresProcessor::from_config(&v).map_err(|e| e.to_string())
        };
        let size = json!({"shortest_edge": 28});
        assert!(of(json!({"size": size, "image_grid_pinpoints": [[28, 56]]})).is_ok());
        assert!(of(json!({"size": size})).unwrap_err().contains("image_grid_pinpoints is null"));
        assert!(
            of(json!({"size": size, "image_grid_pinpoints": [[28, 57]]}))
                .unwrap_err()
                .contains("multiples of the tile, 28")
        );
        let crop = json!({"size": size, "crop_size": {"height": 30}, "image_grid_pinpoints": [[28, 56]]});
        assert!(of(crop).unwrap_err().contains("crop_size.height is 30"));
        assert!(AnyresProcessor::from_config(&json!({})).unwrap_err().to_string().contains("LlavaNext"));
    }
}
