//! From pictures to what a vision tower reads.

use super::resize::part_of_resized;
use super::{Picture, Resample, resize};
use crate::{DType, Device, Error, ErrorKind, Result, Tensor};

/// What sides a picture is resized to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The shorter side gets so many pixels, the longer one follows.
    ShortestEdge(usize),
    /// Both sides as given.
    Exact {
        /// Rows.
        height: usize,
        /// Pixels per row.
        width: usize,
    },
}

/// The steps of CLIP's, LLaVA's and SigLIP's processors, each left out where it is `None`.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageProcessor {
    /// Puts the picture in the middle of a square of this colour first.
    pub pad_to_square: Option<[u8; 3]>,
    /// The size before cutting.
    pub resize: Option<Target>,
    /// How to resize.
    pub resample: Resample,
    /// Rows and columns that are cut out of the middle, with black around a picture that is smaller.
    pub crop: Option<(usize, usize)>,
    /// The factor for byte values.
    pub rescale: Option<f64>,
    /// Mean and standard deviation of each channel, for rescaled values.
    pub normalise: Option<([f32; 3], [f32; 3])>,
}

/// Pictures as numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct PixelValues {
    /// `[pictures, 3, height, width]`, contiguous.
    pub data: Vec<f32>,
    /// The sizes of it.
    pub shape: [usize; 4],
}

impl PixelValues {
    /// The values as a tensor.
    ///
    /// # Errors
    /// Those of the device.
    pub fn to_tensor(&self, dtype: DType, device: &Device) -> Result<Tensor> {
        Tensor::from_slice(&self.data, self.shape, device)?.to_dtype(dtype)
    }
}

impl ImageProcessor {
    /// CLIP's processor for pictures of `side` by `side` pixels.
    pub fn clip(side: usize) -> Self {
        ImageProcessor {
            pad_to_square: None,
            resize: Some(Target::ShortestEdge(side)),
            resample: Resample::Bicubic,
            crop: Some((side, side)),
            rescale: Some(1.0 / 255.0),
            normalise: Some(([0.481_454_66, 0.457_827_5, 0.408_210_73], [0.268_629_54, 0.261_302_6, 0.275_777_1])),
        }
    }

    /// SigLIP's processor: squeezed to `side` by `side` pixels, values from -1 to 1.
    pub fn siglip(side: usize) -> Self {
        ImageProcessor {
            resize: Some(Target::Exact { height: side, width: side }),
            crop: None,
            normalise: Some(([0.5; 3], [0.5; 3])),
            ..ImageProcessor::clip(side)
        }
    }

    /// Pictures as numbers. All must come out with the same sides.
    ///
    /// # Errors
    /// [`ErrorKind::Image`] naming the first picture whose sides differ from those of the first, or that is too large on
    /// the way, or if all together become too many numbers; [`ErrorKind::Config`] for factors that give NaN or infinity.
    pub fn process(&self, pictures: &[Picture]) -> Result<PixelValues> {
        let mut values = PixelValues { data: Vec::new(), shape: [pictures.len(), 3, 0, 0] };
        let table = tables("image processor", self.rescale, self.normalise)?;
        for (i, picture) in pictures.iter().enumerate() {
            let picture = self.shaped(picture).map_err(|e| e.with("picture", i))?;
            let (h, w) = (picture.height(), picture.width());
            if i > 0 && [h, w] != values.shape[2..] {
                let message = format!(
                    "picture {i} has {h} x {w} pixels, picture 0 has {} x {}",
                    values.shape[2], values.shape[3]
                );
                return Err(Error::new(ErrorKind::Image, "image processor", message)
                    .hint("a batch needs one size: let the processor cut or resize both sides"));
            }
            room("image processor", i, values.data.len(), &[3, h, w])?;
            values.shape[2..].copy_from_slice(&[h, w]);
            for (channel, table) in table.iter().enumerate() {
                values.data.extend(picture.rgb().iter().skip(channel).step_by(3).map(|&v| table[usize::from(v)]));
            }
        }
        Ok(values)
    }

    /// The picture padded, resized and cut.
    fn shaped(&self, picture: &Picture) -> Result<Picture> {
        let (w, h) = (picture.width(), picture.height());
        let square = match self.pad_to_square {
            Some(colour) if w != h => {
                let side = w.max(h);
                picture.placed((side, side), ((side - w) / 2, (side - h) / 2), colour)?
            }
            _ => picture.clone(),
        };
        let (w, h) = (square.width(), square.height());
        let (w, h) = match self.resize {
            None => (w, h),
            Some(Target::Exact { height, width }) => (width, height),
            Some(Target::ShortestEdge(edge)) => {
                let long = edge.saturating_mul(w.max(h)) / w.min(h);
                if w <= h { (edge, long) } else { (long, edge) }
            }
        };
        let Some((height, width)) = self.crop else { return resize(&square, w, h, self.resample) };
        // What is cut off is not even made: the picture may be very long.
        let (kept_w, kept_h) = (w.min(width), h.min(height));
        let corner = ((w - kept_w) / 2, (h - kept_h) / 2);
        let kept = part_of_resized(&square, (w, h), corner, (kept_w, kept_h), self.resample)?;
        if (kept_w, kept_h) == (width, height) {
            return Ok(kept);
        }
        // Black around a picture that is smaller, the odd pixel on the left and top.
        kept.placed((width, height), ((width - kept_w).div_ceil(2), (height - kept_h).div_ceil(2)), [0; 3])
    }
}

/// Most numbers that the pictures of one call may become: 4 GiB of them.
const MAX_VALUES: usize = 1 << 30;
/// Most tiles of one picture; published models have up to 36.
pub(super) const MAX_TILES: usize = 1024;

/// Refuses pictures that together become too many numbers, before they do: small files can be many, and processors make
/// small pictures large. `sizes` are the factors of what picture `i` adds to `held` numbers.
pub(super) fn room(op: &'static str, i: usize, held: usize, sizes: &[usize]) -> Result<()> {
    let more = sizes.iter().copied().fold(1usize, usize::saturating_mul);
    let all = held.saturating_add(more);
    if all <= MAX_VALUES {
        return Ok(());
    }
    let message = format!("{} pictures become {all} numbers, more than {MAX_VALUES}", i + 1);
    Err(Error::new(ErrorKind::Image, op, message)
        .hint("give fewer pictures at once, or let the processor make smaller ones"))
}

/// The number of each byte value in each channel: rescaled in `f64`, normalised in `f32`, as the processors do.
pub(super) fn tables(
    op: &'static str,
    rescale: Option<f64>,
    normalise: Option<([f32; 3], [f32; 3])>,
) -> Result<[[f32; 256]; 3]> {
    let tables = std::array::from_fn(|channel| {
        std::array::from_fn(|byte| {
            let value = rescale.map_or(byte as f64, |factor| byte as f64 * factor) as f32;
            normalise.map_or(value, |(mean, std)| (value - mean[channel]) / std[channel])
        })
    });
    if tables.as_flattened().iter().all(|v: &f32| v.is_finite()) {
        return Ok(tables);
    }
    let message = format!("rescale {rescale:?} and normalise {normalise:?} give numbers that are not finite");
    Err(Error::new(ErrorKind::Config, op, message).hint("all must be finite, and no deviation 0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_rescaled_and_normalised_by_channel() {
        let processor = ImageProcessor { resize: None, crop: None, ..ImageProcessor::clip(2) };
        let p = Picture::from_rgb(2, 1, vec![0, 128, 255, 255, 0, 1]).unwrap();
        let v = processor.process(&[p]).unwrap();
        assert_eq!(v.shape, [1, 3, 1, 2]);
        let want = |byte: f64, c: usize| {
            let (mean, std) = processor.normalise.unwrap();
            ((byte / 255.0) as f32 - mean[c]) / std[c]
        };
        let wanted = [want(0.0, 0), want(255.0, 0), want(128.0, 1), want(0.0, 1), want(255.0, 2), want(1.0, 2)];
        v.data.iter().zip(wanted).for_each(|(a, b)| assert!((a - b).abs() < 1e-6));
    }

    #[test]
    fn a_very_long_picture_costs_what_is_kept_of_it() {
        // The whole of it would be 336 x 100,800,000 pixels.
        let p = Picture::from_grey(1, 300_000, &vec![7; 300_000]).unwrap();
        assert_eq!(ImageProcessor::clip(336).process(&[p]).unwrap().shape, [1, 3, 336, 336]);
    }

    #[test]
    fn small_pictures_are_padded_and_unequal_ones_refused() {
        let processor = ImageProcessor {
            resize: None,
            crop: Some((2, 4)),
            rescale: None,
            normalise: None,
            ..ImageProcessor::clip(2)
        };
        let p = Picture::from_grey(1, 3, &[1, 2, 3]).unwrap();
        let v = processor.process(std::slice::from_ref(&p)).unwrap();
        assert_eq!(v.data[..8], [0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 2.0, 0.0]);
        let processor = ImageProcessor { crop: None, ..processor };
        let e = processor.process(&[p, Picture::from_grey(1, 1, &[1]).unwrap()]).unwrap_err().to_string();
        assert!(e.contains("picture 1 has 1 x 1 pixels, picture 0 has 3 x 1"), "{e}");
    }
}
