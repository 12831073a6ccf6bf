//! The processor of Qwen2-VL, Qwen2.5-VL and Qwen3-VL: pictures of any size, cut into patches.

use super::processor::{room, tables};
use super::processor_config::{bad, channels, deviations, flag, read_config};
use super::resize::resize;
use super::{ImageProcessor, MAX_PIXELS, Picture, Resample};
use crate::{DType, Device, Error, ErrorKind, Result, Tensor};
use serde_json::Value;
use std::path::Path;

const OP: &str = "Qwen image processor";
/// Longer pictures are refused, as by the reference.
const MAX_RATIO: f64 = 200.0;
/// Most numbers of one picture: 1 GiB of them.
const MAX_VALUES: usize = 1 << 28;

/// The steps of `Qwen2VLImageProcessor`: both sides are brought to multiples of `patch_size · merge_size` with the number
/// of pixels within bounds, and the picture becomes rows of patches.
#[derive(Clone, Debug, PartialEq)]
pub struct QwenImageProcessor {
    /// Fewest and most pixels after resizing; `None`: the size stays and must be a multiple already.
    pub pixels: Option<(usize, usize)>,
    /// How to resize.
    pub resample: Resample,
    /// Side of a patch.
    pub patch_size: usize,
    /// How many frames a patch spans; a still picture is repeated.
    pub temporal_patch_size: usize,
    /// Side of the block of patches that the model merges into one token.
    pub merge_size: usize,
    /// The factor for byte values.
    pub rescale: Option<f64>,
    /// Mean and standard deviation of each channel, for rescaled values.
    pub normalise: Option<([f32; 3], [f32; 3])>,
}

/// Patches of some pictures.
#[derive(Clone, Debug, PartialEq)]
pub struct QwenPatches {
    /// `[patches of all pictures, 3 · temporal_patch_size · patch_size²]`: blocks of `merge_size` by `merge_size` patches
    /// row by row, in a patch first the channel, then the frame, row and column.
    pub data: Vec<f32>,
    /// The sizes of it.
    pub shape: [usize; 2],
    /// Frames, rows and columns of patches of each picture.
    pub grid: Vec<[usize; 3]>,
}

impl QwenPatches {
    /// The values as a tensor.
    ///
    /// # Errors
    /// Those of the device.
    pub fn to_tensor(&self, dtype: DType, device: &Device) -> Result<Tensor> {
        Tensor::from_slice(&self.data, self.shape, device)?.to_dtype(dtype)
    }
}

impl Default for QwenImageProcessor {
    /// The values that Qwen2-VL's processor has where its file says nothing.
    fn default() -> Self {
        let clip = ImageProcessor::clip(1);
        QwenImageProcessor {
            pixels: Some((56 * 56, 28 * 28 * 1280)),
            resample: clip.resample,
            patch_size: 14,
            temporal_patch_size: 2,
            merge_size: 2,
            rescale: clip.rescale,
            normalise: clip.normalise,
        }
    }
}

impl QwenImageProcessor {
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
        if plain != Some("Qwen2VLImageProcessor") {
            return Err(bad("image_processor_type", kind, "\"Qwen2VLImageProcessor\""));
        }
        let default = QwenImageProcessor::default();
        let number = |name: &str, found: &Value, default: usize, max: u64| match found {
            Value::Null => Ok(default),
            found => match found.as_u64() {
                Some(n) if (1..=max).contains(&n) => Ok(n as usize),
                _ => Err(bad(name, found, &format!("a number from 1 to {max}"))),
            },
        };
        // Older files have counts of pixels under their own names, newer ones under those of sides.
        let count = |old: &str, new: &str, default: usize| {
            let (name, found) = if config[old].is_null() { (new, &config["size"][new]) } else { (old, &config[old]) };
            number(name, found, default, MAX_PIXELS)
        };
        let (least, most) = default.pixels.unwrap_or_default();
        let pixels = (count("min_pixels", "shortest_edge", least)?, count("max_pixels", "longest_edge", most)?);
        if pixels.0 > pixels.1 {
            let message = format!("at least {} and at most {} pixels contradict each other", pixels.0, pixels.1);
            return Err(Error::new(ErrorKind::Config, OP, message).hint("correct min_pixels or max_pixels, or size"));
        }
        let (mean, std) = default.normalise.unwrap_or_default();
        let normal = (channels(config, "image_mean", mean)?, deviations(config, std)?);
        let resample = match &config["resample"] {
            Value::Null => default.resample,
            found => Resample::from_pillow(found.as_i64().ok_or_else(|| bad("resample", found, "a number"))?)?,
        };
        let factor = match &config["rescale_factor"] {
            Value::Null => default.rescale,
            found => Some(found.as_f64().ok_or_else(|| bad("rescale_factor", found, "a number"))?),
        };
        let size = |name: &str, default| number(name, &config[name], default, 256);
        Ok(QwenImageProcessor {
            pixels: flag(config, "do_resize", true)?.then_some(pixels),
            resample,
            patch_size: size("patch_size", default.patch_size)?,
            temporal_patch_size: size("temporal_patch_size", default.temporal_patch_size)?,
            merge_size: size("merge_size", default.merge_size)?,
            rescale: if flag(config, "do_rescale", true)? { factor } else { None },
            normalise: flag(config, "do_normalize", true)?.then_some(normal),
        })
    }

    /// Height and width that a picture of `height` by `width` pixels is resized to.
    ///
    /// # Errors
    /// [`ErrorKind::Image`] if one side is more than 200 times the other, or without resizing no multiple of
    /// `patch_size · merge_size`; [`ErrorKind::Config`] if those are 0.
    pub fn target(&self, height: usize, width: usize) -> Result<(usize, usize)> {
        let factor = self.patch_size.saturating_mul(self.merge_size);
        if factor == 0 || self.temporal_patch_size == 0 {
            return Err(Error::new(ErrorKind::Config, OP, format!("a size is 0, expected at least 1: {self:?}")));
        }
        let Some((least, most)) = self.pixels else {
            if height.is_multiple_of(factor) && width.is_multiple_of(factor) {
                return Ok((height, width));
            }
            let message = format!("{width} x {height} pixels are no multiple of {factor}");
            return Err(Error::new(ErrorKind::Image, OP, message).hint("let the processor resize"));
        };
        let (h, w, f) = (height as f64, width as f64, factor as f64);
        if height.min(width) == 0 || h.max(w) / h.min(w) > MAX_RATIO {
            let message = format!("{width} x {height} pixels: one side is more than {MAX_RATIO} times the other");
            return Err(Error::new(ErrorKind::Image, OP, message).hint("cut the picture"));
        }
        // Python's round() takes halves to the even number.
        let near = |side: f64| (side / f).round_ties_even() * f;
        let area = near(h) * near(w);
        let (h, w) = if area > most as f64 {
            let beta = (h * w / most as f64).sqrt();
            let fit = |side: f64| ((side / beta / f).floor() * f).max(f);
            (fit(h), fit(w))
        } else if area < least as f64 {
            let beta = (least as f64 / (h * w)).sqrt();
            let fit = |side: f64| (side * beta / f).ceil() * f;
            (fit(h), fit(w))
        } else {
            (near(h), near(w))
        };
        if h == 0.0 || w == 0.0 {
            let message = format!("{width} x {height} pixels are too few for patches of {factor}");
            return Err(Error::new(ErrorKind::Image, OP, message).hint("raise min_pixels"));
        }
        Ok((h as usize, w as usize))
    }

    /// The patches of these pictures, one picture after the other.
    ///
    /// # Errors
    /// As [`QwenImageProcessor::target`], with the picture's position; [`ErrorKind::Config`] for factors that give NaN or
    /// infinity.
    pub fn process(&self, pictures: &[Picture]) -> Result<QwenPatches> {
        let tables = tables(OP, self.rescale, self.normalise)?;
        let (p, m, frames) = (self.patch_size, self.merge_size, self.temporal_patch_size);
        let width = [3, frames, p, p].into_iter().fold(1usize, usize::saturating_mul);
        let mut out = QwenPatches { data: Vec::new(), shape: [0, width], grid: Vec::with_capacity(pictures.len()) };
        for (i, picture) in pictures.iter().enumerate() {
            let sized = self.target(picture.height(), picture.width());
            let sized = sized.and_then(|(h, w)| resize(picture, w, h, self.resample));
            let picture = sized.map_err(|e| e.with("picture", i))?;
            let (rows, columns) = (picture.height() / p, picture.width() / p);
            let (pixels, stride) = (picture.rgb().as_chunks::<3>().0, picture.width());
            let count = (rows * columns).saturating_mul(width);
            if count > MAX_VALUES {
                let message = format!("picture {i} becomes {count} numbers, expected at most {MAX_VALUES}");
                return Err(Error::new(ErrorKind::Image, OP, message).hint("lower max_pixels or temporal_patch_size"));
            }
            room(OP, i, out.data.len(), &[count])?;
            out.data.reserve(count);
            for block in 0..(rows / m) * (columns / m) {
                let (top, left) = (block / (columns / m) * m, block % (columns / m) * m);
                for patch in 0..m * m {
                    let corner = (top + patch / m) * p * stride + (left + patch % m) * p;
                    for (c, table) in tables.iter().enumerate() {
                        for y in (0..frames).flat_map(|_| 0..p) {
                            let row = &pixels[corner + y * stride..][..p];
                            out.data.extend(row.iter().map(|pixel| table[usize::from(pixel[c])]));
                        }
                    }
                }
            }
            out.shape[0] += rows * columns;
            out.grid.push([1, rows, columns]);
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn sizes_are_those_of_smart_resize() {
        let p = QwenImageProcessor::default();
        // transformers 5.23: smart_resize(height, width, 28, 3136, 1003520).
        for (from, to) in [
            ((70, 70), (56, 56)),
            ((42, 98), (56, 112)),
            ((1, 1), (56, 56)),
            ((14, 200), (28, 224)),
            ((3000, 2000), (1204, 812)),
            ((10, 2000), (28, 812)),
            ((1, 150), (28, 700)),
            ((4000, 30), (4004, 28)),
        ] {
            assert_eq!(p.target(from.0, from.1).unwrap(), to, "{from:?}");
        }
        assert!(p.target(1, 201).unwrap_err().message().contains("200 times"));
        let fixed = QwenImageProcessor { pixels: None, ..p };
        assert!(fixed.target(28, 30).unwrap_err().message().contains("30 x 28"));
        let picture = Picture::from_grey(1024, 1024, &vec![0; 1 << 20]).unwrap();
        let many = QwenImageProcessor { patch_size: 16, temporal_patch_size: 200, ..fixed };
        assert!(many.process(&[picture]).unwrap_err().message().contains("629145600 numbers"));
    }

    #[test]
    fn wrong_fields_are_named() {
        let kind = json!("Qwen2VLImageProcessorFast");
        let of = |mut v: Value| {
            v["image_processor_type"] = kind.clone();
            QwenImageProcessor::from_config(&v)
        };
        assert_eq!(of(json!({})).unwrap(), QwenImageProcessor::default());
        let fails = |v: Value| of(v).unwrap_err().to_string();
        assert!(fails(json!({"patch_size": 0})).contains("patch_size is 0"));
        assert!(fails(json!({"merge_size": "2"})).contains("merge_size"));
        assert!(fails(json!({"min_pixels": 9, "max_pixels": 8})).contains("contradict"));
        assert!(fails(json!({"size": {"longest_edge": -1}})).contains("longest_edge is -1"));
        let e = QwenImageProcessor::from_config(&json!({"image_processor_type": "CLIPImageProcessor"})).unwrap_err();
        assert!(e.message().contains("CLIPImageProcessor"), "{e}");
    }
}
