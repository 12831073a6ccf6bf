//! The processor of Idefics3 and SmolVLM: a large picture becomes tiles of one size and a small copy of itself.

use super::processor::{MAX_TILES, room, tables};
use super::processor_config::{bad, channels, deviations, flag, read_config, side};
use super::resize::resize;
use super::{ImageProcessor, Picture, Resample};
use crate::{DType, Device, Error, ErrorKind, Result, Tensor};
use serde_json::Value;
use std::path::Path;

const OP: &str = "Idefics3 image processor";
const KINDS: [&str; 2] = ["Idefics3ImageProcessor", "SmolVLMImageProcessor"];
/// No side becomes longer than this, whatever the configuration says.
const MAX_SIDE: usize = 4096;

/// The steps of `Idefics3ImageProcessor` and `SmolVLMImageProcessor`: the longer side to `longest_edge`, both sides up to
/// multiples of `tile`, then tiles row by row and at last the whole picture squeezed into one tile.
#[derive(Clone, Debug, PartialEq)]
pub struct TileProcessor {
    /// The longer side before tiling, also for small pictures; `None` keeps the size.
    pub longest_edge: Option<usize>,
    /// Side of a tile.
    pub tile: usize,
    /// Whether pictures are cut into tiles; if not, only the squeezed copy is made.
    pub split: bool,
    /// How to resize.
    pub resample: Resample,
    /// The factor for byte values.
    pub rescale: Option<f64>,
    /// Mean and standard deviation of each channel, for rescaled values.
    pub normalise: Option<([f32; 3], [f32; 3])>,
}

/// Tiles of some pictures.
#[derive(Clone, Debug, PartialEq)]
pub struct Tiles {
    /// `[tiles of all pictures, 3, tile, tile]`.
    pub data: Vec<f32>,
    /// The sizes of it.
    pub shape: [usize; 4],
    /// Rows and columns of tiles of each picture, which `rows · columns + 1` tiles belong to: (0, 0) where there is only
    /// the whole.
    pub grid: Vec<[usize; 2]>,
}

impl Tiles {
    /// The values as a tensor.
    ///
    /// # Errors
    /// Those of the device.
    pub fn to_tensor(&self, dtype: DType, device: &Device) -> Result<Tensor> {
        Tensor::from_slice(&self.data, self.shape, device)?.to_dtype(dtype)
    }
}

impl Default for TileProcessor {
    /// The values that Idefics3's processor has where its file says nothing.
    fn default() -> Self {
        let siglip = ImageProcessor::siglip(1);
        TileProcessor {
            longest_edge: Some(4 * 364),
            tile: 364,
            split: true,
            resample: Resample::Lanczos,
            rescale: siglip.rescale,
            normalise: siglip.normalise,
        }
    }
}

impl TileProcessor {
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
        if !plain.is_some_and(|k| KINDS.contains(&k)) {
            return Err(bad("image_processor_type", kind, &KINDS.join(" or ")));
        }
        let default = TileProcessor::default();
        let edge = |name: &str, default: usize| match &config[name] {
            Value::Null => Ok(default),
            found => side(&format!("{name}.longest_edge"), &found["longest_edge"]),
        };
        let longest = edge("size", 4 * 364)?;
        let (mean, std) = default.normalise.unwrap_or_default();
        let normal = (channels(config, "image_mean", mean)?, deviations(config, std)?);
        let factor = match &config["rescale_factor"] {
            Value::Null => default.rescale,
            found => Some(found.as_f64().ok_or_else(|| bad("rescale_factor", found, "a number"))?),
        };
        Ok(TileProcessor {
            longest_edge: flag(config, "do_resize", true)?.then_some(longest),
            tile: edge("max_image_size", default.tile)?,
            split: flag(config, "do_image_splitting", true)?,
            resample: match &config["resample"] {
                Value::Null => default.resample,
                found => Resample::from_pillow(found.as_i64().ok_or_else(|| bad("resample", found, "a number"))?)?,
            },
            rescale: if flag(config, "do_rescale", true)? { factor } else { None },
            normalise: flag(config, "do_normalize", true)?.then_some(normal),
        })
    }

    /// Height and width after the first resizing.
    fn bounded(&self, height: usize, width: usize) -> (usize, usize) {
        let Some(longest) = self.longest_edge else { return (height, width) };
        // As the reference computes: divided by the ratio, cut, made even, then cut again to the largest side.
        let ratio = width as f64 / height as f64;
        let even = |side: f64| (side as usize).next_multiple_of(2).max(1);
        let (h, w) = if width >= height {
            (even(longest as f64 / ratio), longest)
        } else {
            (longest, even(longest as f64 * ratio))
        };
        let ratio = w as f64 / h as f64;
        if w >= h && w > MAX_SIDE {
            (((MAX_SIDE as f64 / ratio) as usize).max(1), MAX_SIDE)
        } else if h > w && h > MAX_SIDE {
            (MAX_SIDE, ((MAX_SIDE as f64 * ratio) as usize).max(1))
        } else {
            (h, w)
        }
    }

    /// Both sides up to multiples of the tile.
    fn whole_tiles(&self, height: usize, width: usize) -> (usize, usize) {
        let ratio = width as f64 / height as f64;
        let up = |side: usize| side.next_multiple_of(self.tile);
        // A side of no pixels, cut off by a very thin picture, would have no tile.
        if width >= height {
            let w = up(width);
            (up(((w as f64 / ratio) as usize).max(1)), w)
        } else {
            let h = up(height);
            (h, up(((h as f64 * ratio) as usize).max(1)))
        }
    }

    /// The tiles of these pictures, one picture after the other.
    ///
    /// # Errors
    /// [`ErrorKind::Image`] with the picture's position if it would become too large; [`ErrorKind::Config`] for a tile of
    /// no pixels, or factors that give NaN or infinity.
    pub fn process(&self, pictures: &[Picture]) -> Result<Tiles> {
        let (tables, tile) = (tables(OP, self.rescale, self.normalise)?, self.tile);
        if tile == 0 || self.longest_edge == Some(0) {
            return Err(Error::new(ErrorKind::Config, OP, format!("a side is 0, expected at least 1: {self:?}")));
        }
        let mut out = Tiles { data: Vec::new(), shape: [0, 3, tile, tile], grid: Vec::with_capacity(pictures.len()) };
        for (i, picture) in pictures.iter().enumerate() {
            let (tiles, grid) = self.cut(picture).map_err(|e| e.with("picture", i))?;
            room(OP, i, out.data.len(), &[tiles.len(), 3, tile, tile])?;
            out.shape[0] += tiles.len();
            out.grid.push(grid);
            for picture in &tiles {
                for (c, table) in tables.iter().enumerate() {
                    out.data.extend(picture.rgb().iter().skip(c).step_by(3).map(|&v| table[usize::from(v)]));
                }
            }
        }
        Ok(out)
    }

    fn cut(&self, picture: &Picture) -> Result<(Vec<Picture>, [usize; 2])> {
        let tile = self.tile;
        let (h, w) = self.bounded(picture.height(), picture.width());
        let bounded = resize(picture, w, h, self.resample)?;
        if !self.split {
            return Ok((vec![resize(&bounded, tile, tile, self.resample)?], [0, 0]));
        }
        let (h, w) = self.whole_tiles(h, w);
        let count = (h / tile).saturating_mul(w / tile);
        if count > MAX_TILES {
            let message = format!("{w} x {h} pixels are {count} tiles of {tile}, more than {MAX_TILES}");
            return Err(Error::new(ErrorKind::Image, OP, message).hint("lower size, or raise max_image_size"));
        }
        // From the resized picture, not from the original: that is what the models were trained with.
        let large = resize(&bounded, w, h, self.resample)?;
        if (h, w) == (tile, tile) {
            return Ok((vec![large], [0, 0]));
        }
        let (rows, columns) = (h / tile, w / tile);
        let places = (0..rows * columns).map(|i| (i % columns * tile, i / columns * tile));
        let mut tiles = places.map(|(x, y)| large.crop(x, y, tile, tile)).collect::<Result<Vec<_>>>()?;
        tiles.push(resize(&large, tile, tile, self.resample)?);
        Ok((tiles, [rows, columns]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn pictures_become_rows_of_tiles_and_the_whole() {
        let p = TileProcessor { longest_edge: Some(40), tile: 16, ..TileProcessor::default() };
        let of = |w: usize, h: usize| p.process(&[Picture::from_grey(w, h, &vec![9; w * h]).unwrap()]).unwrap();
        let wide = of(30, 10);
        assert_eq!((wide.grid[0], wide.shape), ([1, 3], [4, 3, 16, 16]));
        assert_eq!(of(1, 300).grid[0], [3, 1]);
        assert_eq!(of(300, 1).grid[0], [1, 3]);
        let small = TileProcessor { longest_edge: Some(16), ..p.clone() };
        assert_eq!(small.process(&[Picture::from_grey(1, 1, &[9]).unwrap()]).unwrap().grid[0], [0, 0]);
        let whole = TileProcessor { split: false, ..p.clone() };
        assert_eq!(whole.process(&[Picture::from_grey(2, 1, &[9, 9]).unwrap()]).unwrap().shape, [1, 3, 16, 16]);
        assert!(TileProcessor { tile: 0, ..p }.process(&[]).unwrap_err().message().contains("side is 0"));
    }

    #[test]
    fn wrong_fields_are_named() {
        let of = |mut v: Value| {
            v["image_processor_type"] = json!("SmolVLMImageProcessor");
            TileProcessor::from_config(&v)
        };
        assert_eq!(of(json!({})).unwrap(), TileProcessor::default());
        let fails = |v: Value| of(v).unwrap_err().to_string();
        assert!(fails(json!({"max_image_size": {"longest_edge": 0}})).contains("max_image_size.longest_edge is 0"));
        assert!(fails(json!({"size": {"height": 3}})).contains("size.longest_edge is null"));
        assert!(fails(json!({"do_image_splitting": 1})).contains("do_image_splitting is 1"));
        assert!(TileProcessor::from_config(&json!({})).unwrap_err().to_string().contains("Idefics3"));
    }
}
