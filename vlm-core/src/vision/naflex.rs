//! The processor of SigLIP 2: a picture in nearly its own shape, as large as a number of patches allows.

use super::processor::{room, tables};
use super::processor_config::{bad, channels, deviations, flag, read_config};
use super::resize::resize;
use super::{ImageProcessor, Picture, Resample};
use crate::Result;
use serde_json::Value;
use std::path::Path;

const OP: &str = "SigLIP 2 image processor";

/// The steps of `Siglip2ImageProcessor`.
#[derive(Clone, Debug, PartialEq)]
pub struct NaflexProcessor {
    /// Side of a patch.
    pub patch_size: usize,
    /// Most patches of a picture, and rows of the result.
    pub max_num_patches: usize,
    /// How to resize.
    pub resample: Resample,
    /// The factor for byte values.
    pub rescale: Option<f64>,
    /// Mean and standard deviation of each channel, for rescaled values.
    pub normalise: Option<([f32; 3], [f32; 3])>,
}

/// Patches of some pictures.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NaflexPatches {
    /// `[pictures, max_num_patches, side · side · 3]`: patches row by row, in a patch row, column, channel; zeros behind the
    /// last patch.
    pub data: Vec<f32>,
    /// The sizes of it.
    pub shape: [usize; 3],
    /// One frame, rows and columns of patches of each picture.
    pub grid: Vec<[usize; 3]>,
}

impl Default for NaflexProcessor {
    fn default() -> Self {
        let siglip = ImageProcessor::siglip(1);
        NaflexProcessor {
            patch_size: 16,
            max_num_patches: 256,
            resample: Resample::Bilinear,
            rescale: siglip.rescale,
            normalise: siglip.normalise,
        }
    }
}

impl NaflexProcessor {
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
        if plain != Some("Siglip2ImageProcessor") {
            return Err(bad("image_processor_type", kind, "Siglip2ImageProcessor"));
        }
        let default = NaflexProcessor::default();
        let number = |name: &str, default: usize, max: u64| match &config[name] {
            Value::Null => Ok(default),
            found => match found.as_u64().filter(|n| (1..=max).contains(n)) {
                Some(n) => Ok(n as usize),
                None => Err(bad(name, found, &format!("a number from 1 to {max}"))),
            },
        };
        let (mean, std) = default.normalise.unwrap_or_default();
        let normal = (channels(config, "image_mean", mean)?, deviations(config, std)?);
        let factor = match &config["rescale_factor"] {
            Value::Null => default.rescale,
            found => Some(found.as_f64().ok_or_else(|| bad("rescale_factor", found, "a number"))?),
        };
        if !flag(config, "do_resize", true)? {
            return Err(bad("do_resize", &config["do_resize"], "true: pictures must divide into patches"));
        }
        Ok(NaflexProcessor {
            patch_size: number("patch_size", default.patch_size, 1 << 10)?,
            max_num_patches: number("max_num_patches", default.max_num_patches, 1 << 16)?,
            resample: match &config["resample"] {
                Value::Null => default.resample,
                found => Resample::from_pillow(found.as_i64().ok_or_else(|| bad("resample", found, "a number"))?)?,
            },
            rescale: if flag(config, "do_rescale", true)? { factor } else { None },
            normalise: flag(config, "do_normalize", true)?.then_some(normal),
        })
    }

    /// Rows and columns of patches of a picture: the largest scale at which they are few enough, found as the reference
    /// finds it, by halving between 10⁻⁶ and 100 until the rest is below 10⁻⁵.
    pub fn patches(&self, height: usize, width: usize) -> (usize, usize) {
        let patch = self.patch_size as f64;
        let count = |scale: f64, side: usize| ((side as f64 * scale / patch).ceil() as usize).max(1);
        let (mut low, mut high) = (1e-6, 100.0);
        while high - low >= 1e-5 {
            let scale = (low + high) / 2.0;
            if count(scale, height).saturating_mul(count(scale, width)) <= self.max_num_patches {
                low = scale;
            } else {
                high = scale;
            }
        }
        (count(low, height), count(low, width))
    }

    /// The patches of these pictures.
    ///
    /// # Errors
    /// [`ErrorKind::Image`](crate::ErrorKind::Image) with the picture's position if it would become too large or is too
    /// thin; [`ErrorKind::Config`](crate::ErrorKind::Config) for factors that give NaN or infinity.
    pub fn process(&self, pictures: &[Picture]) -> Result<NaflexPatches> {
        let (tables, p) = (tables(OP, self.rescale, self.normalise)?, self.patch_size);
        let (values, mut data) = (3 * p * p, Vec::new());
        let mut grid = Vec::with_capacity(pictures.len());
        for (i, picture) in pictures.iter().enumerate() {
            room(OP, i, data.len(), &[self.max_num_patches, values])?;
            let (rows, columns) = self.patches(picture.height(), picture.width());
            if rows * columns > self.max_num_patches {
                let message =
                    format!("picture {i} needs {rows} x {columns} patches, more than {}", self.max_num_patches);
                return Err(crate::Error::new(crate::ErrorKind::Image, OP, message).hint("raise max_num_patches"));
            }
            let sized = resize(picture, columns * p, rows * p, self.resample).map_err(|e| e.with("picture", i))?;
            let (pixels, stride) = (sized.rgb().as_chunks::<3>().0, sized.width());
            for patch in 0..rows * columns {
                let corner = patch / columns * p * stride + patch % columns * p;
                for y in 0..p {
                    let row = &pixels[corner + y * stride..][..p];
                    data.extend(row.iter().flat_map(|rgb| [0, 1, 2].map(|c| tables[c][usize::from(rgb[c])])));
                }
            }
            data.resize((i + 1) * self.max_num_patches * values, 0.0);
            grid.push([1, rows, columns]);
        }
        Ok(NaflexPatches { data, shape: [pictures.len(), self.max_num_patches, values], grid })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn pictures_keep_their_shape_within_the_number_of_patches() {
        let p = NaflexProcessor { patch_size: 8, max_num_patches: 20, ..NaflexProcessor::default() };
        assert_eq!(p.patches(48, 64), (4, 5));
        assert_eq!(p.patches(9, 300), (1, 20));
        let e =
            NaflexProcessor::from_config(&json!({"image_processor_type": "Siglip2ImageProcessor", "patch_size": 0}));
        assert!(e.unwrap_err().to_string().contains("patch_size is 0"));
    }
}
