//! Bounds for pictures that come together: of one conversation, one request.

use super::picture::{MAX_PIXELS, Picture, check_sides_within};
use crate::data::ImageRef;
use crate::{Error, ErrorKind, Result};

const OP: &str = "load pictures";

/// Most pixels of pictures that are loaded together, unless [`PictureLimits`] says otherwise: three bytes each are 2 GiB.
pub const MAX_TOTAL_PIXELS: u64 = 4 * MAX_PIXELS;

/// How many pixels pictures may have. What headers say is looked at before anything is decoded, so a refusal costs no more
/// than reading the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PictureLimits {
    /// Most pixels of one picture; more than [`MAX_PIXELS`] are never accepted.
    pub pixels: u64,
    /// Most pixels of all pictures together.
    pub total_pixels: u64,
}

impl Default for PictureLimits {
    fn default() -> Self {
        PictureLimits { pixels: MAX_PIXELS, total_pixels: MAX_TOTAL_PIXELS }
    }
}

impl PictureLimits {
    /// Loads pictures, in order, after all their headers passed.
    ///
    /// # Errors
    /// With the picture's position: [`ErrorKind::Image`] for one that is no picture, has too many pixels, or with which all
    /// together have too many; [`ErrorKind::Io`] for a file that cannot be read.
    pub fn load(&self, images: &[ImageRef]) -> Result<Vec<Picture>> {
        let mut total = 0;
        for (i, image) in images.iter().enumerate() {
            let (width, height) = image_sides(image).map_err(|e| e.with("picture", i))?;
            check_sides_within(OP, width, height, self.pixels.min(MAX_PIXELS)).map_err(|e| e.with("picture", i))?;
            total = self.add(total, i, width.saturating_mul(height))?;
        }
        let mut total = 0;
        let load = |(i, image)| {
            let picture = self.load_one(image).map_err(|e| e.with("picture", i))?;
            // Once more: a file may have changed meanwhile.
            total = self.add(total, i, (picture.width() * picture.height()) as u64)?;
            Ok(picture)
        };
        images.iter().enumerate().map(load).collect()
    }

    fn add(&self, total: u64, picture: usize, pixels: u64) -> Result<u64> {
        let most = self.total_pixels;
        let sum = total.saturating_add(pixels);
        if sum <= most {
            return Ok(sum);
        }
        let message = format!("{} pictures together have {sum} pixels, more than {most}", picture + 1);
        Err(Error::new(ErrorKind::Image, OP, message)
            .with("picture", picture)
            .hint("give fewer pictures, or smaller ones"))
    }

    fn load_one(&self, image: &ImageRef) -> Result<Picture> {
        match image {
            #[cfg(feature = "image-formats")]
            ImageRef::Path(path) => {
                let bytes = super::decode::read_file(path)?;
                Picture::decode_within(&bytes, self.pixels).map_err(|e| e.with("file", path.display()))
            }
            #[cfg(feature = "image-formats")]
            ImageRef::Bytes(bytes) => Picture::decode_within(bytes, self.pixels),
            other => Picture::load(other),
        }
    }
}

/// What the header says of a picture's sides.
fn image_sides(image: &ImageRef) -> Result<(u64, u64)> {
    match image {
        #[cfg(feature = "image-formats")]
        ImageRef::Path(path) => {
            Picture::dimensions(&super::decode::read_file(path)?).map_err(|e| e.with("file", path.display()))
        }
        #[cfg(feature = "image-formats")]
        ImageRef::Bytes(bytes) => Picture::dimensions(bytes),
        #[cfg(not(feature = "image-formats"))]
        ImageRef::Path(_) | ImageRef::Bytes(_) => Picture::load(image).map(|p| (p.width() as u64, p.height() as u64)),
        ImageRef::Raw { width, height, .. } => Ok(((*width).into(), (*height).into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn raw(width: u32, height: u32) -> ImageRef {
        ImageRef::Raw { width, height, rgb: Arc::from(vec![7; 3 * (width * height) as usize]) }
    }

    #[test]
    fn pictures_together_may_be_too_many_pixels() {
        let limits = PictureLimits { pixels: 50, total_pixels: 100 };
        assert_eq!(limits.load(&[raw(10, 5), raw(5, 10)]).unwrap().len(), 2);
        let e = limits.load(&[raw(10, 5), raw(5, 10), raw(1, 1)]).unwrap_err().to_string();
        assert!(e.contains("3 pictures together have 101 pixels, more than 100") && e.contains("picture: 2"), "{e}");
        let e = limits.load(&[raw(3, 17)]).unwrap_err().to_string();
        assert!(e.contains("3 x 17 pixels are more than 50") && e.contains("picture: 0"), "{e}");
        // What is claimed is believed for refusing, even where the pixels are missing.
        let lie = ImageRef::Raw { width: u32::MAX, height: u32::MAX, rgb: Arc::from([0u8; 3]) };
        let e = limits.load(&[raw(1, 1), lie]).unwrap_err().to_string();
        assert!(e.contains("are more than 50") && e.contains("picture: 1"), "{e}");
    }
}
