//! Pixels.

use crate::data::ImageRef;
use crate::{Error, ErrorKind, Result};
use std::fmt;
use std::sync::Arc;

/// Most pixels of a picture that is decoded: twice Pillow's bound, where it refuses a picture as a decompression bomb.
pub const MAX_PIXELS: u64 = 178_956_970;

/// A picture of 8-bit red, green and blue. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Picture {
    width: usize,
    height: usize,
    rgb: Arc<[u8]>,
}

impl Picture {
    /// A picture of rows from the top, three bytes per pixel.
    ///
    /// # Errors
    /// [`ErrorKind::Image`] if a side is 0 or the bytes are not `3 · width · height`.
    pub fn from_rgb(width: usize, height: usize, rgb: impl Into<Arc<[u8]>>) -> Result<Self> {
        let rgb = rgb.into();
        check_sides("picture", width as u64, height as u64)?;
        if rgb.len() != 3 * width * height {
            let message = format!("{width} x {height} pixels need {} bytes, found {}", 3 * width * height, rgb.len());
            return Err(Error::new(ErrorKind::Image, "picture", message).hint("give three bytes (RGB) per pixel"));
        }
        Ok(Picture { width, height, rgb })
    }

    /// A picture of one byte per pixel, 0 black to 255 white.
    ///
    /// # Errors
    /// As [`Picture::from_rgb`].
    pub fn from_grey(width: usize, height: usize, grey: &[u8]) -> Result<Self> {
        Self::from_rgb(width, height, grey.iter().flat_map(|&v| [v; 3]).collect::<Vec<u8>>())
    }

    /// The picture that a dataset or request refers to.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] for a file that cannot be read, [`ErrorKind::Image`] for one that is no picture.
    pub fn load(image: &ImageRef) -> Result<Self> {
        match image {
            #[cfg(feature = "image-formats")]
            ImageRef::Path(path) => Self::open(path),
            #[cfg(feature = "image-formats")]
            ImageRef::Bytes(bytes) => Self::decode(bytes),
            ImageRef::Raw { width, height, rgb } => Self::from_rgb(*width as usize, *height as usize, rgb.clone()),
            #[cfg(not(feature = "image-formats"))]
            other => Err(Error::new(ErrorKind::Image, "load picture", format!("{other:?} needs a decoder"))
                .hint("build vlm-core with the feature image-formats")),
        }
    }

    /// Pixels per row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Rows from the top, three bytes per pixel.
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }

    /// The part of `width` by `height` pixels whose upper left corner is at `(left, top)`.
    ///
    /// # Errors
    /// [`ErrorKind::Image`] if it is empty or not inside the picture.
    pub fn crop(&self, left: usize, top: usize, width: usize, height: usize) -> Result<Self> {
        let inside = |start: usize, len: usize, all: usize| start.checked_add(len).is_some_and(|end| end <= all);
        if !inside(left, width, self.width) || !inside(top, height, self.height) {
            let message =
                format!("{width} x {height} pixels at ({left}, {top}) are not inside {} x {}", self.width, self.height);
            return Err(Error::new(ErrorKind::Image, "crop", message));
        }
        let rows = self.rgb.chunks(3 * self.width).skip(top).take(height);
        Self::from_rgb(
            width,
            height,
            rows.flat_map(|row| &row[3 * left..3 * (left + width)]).copied().collect::<Vec<u8>>(),
        )
    }

    /// A picture of `size` (width, height) with this one at `(left, top)`, where it must fit, and `colour` around it.
    pub(super) fn placed(&self, size: (usize, usize), (left, top): (usize, usize), colour: [u8; 3]) -> Result<Self> {
        check_sides("picture", size.0 as u64, size.1 as u64)?;
        let mut out = colour.repeat(size.0 * size.1);
        let rows = out.chunks_mut(3 * size.0).skip(top).zip(self.rgb.chunks(3 * self.width));
        rows.for_each(|(out, row)| out[3 * left..3 * left + row.len()].copy_from_slice(row));
        Self::from_rgb(size.0, size.1, out)
    }
}

impl fmt::Debug for Picture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Picture({} x {})", self.width, self.height)
    }
}

/// Refuses empty and huge pictures.
pub(super) fn check_sides(op: &'static str, width: u64, height: u64) -> Result<()> {
    check_sides_within(op, width, height, MAX_PIXELS)
}

/// Refuses empty pictures and those of more than `max` pixels.
pub(super) fn check_sides_within(op: &'static str, width: u64, height: u64, max: u64) -> Result<()> {
    if width == 0 || height == 0 {
        return Err(Error::new(ErrorKind::Image, op, format!("{width} x {height} pixels are no picture")));
    }
    if width.saturating_mul(height) > max {
        let message = format!("{width} x {height} pixels are more than {max}");
        return Err(Error::new(ErrorKind::Image, op, message).hint("make the picture smaller first"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_sizes_are_named() {
        let e = Picture::from_rgb(2, 2, vec![0; 11]).unwrap_err().to_string();
        assert!(e.contains("2 x 2 pixels need 12 bytes, found 11"), "{e}");
        assert!(Picture::from_rgb(0, 2, vec![]).is_err());
        assert!(check_sides("decode", 1 << 20, 1 << 20).unwrap_err().to_string().contains("1048576 x 1048576"));
    }

    #[test]
    fn a_part_is_cut_out() {
        let p = Picture::from_grey(3, 2, &[1, 2, 3, 4, 5, 6]).unwrap();
        assert_eq!(p.crop(1, 1, 2, 1).unwrap(), Picture::from_grey(2, 1, &[5, 6]).unwrap());
        assert!(p.crop(2, 0, 2, 1).unwrap_err().to_string().contains("not inside 3 x 2"));
        assert!(p.crop(usize::MAX, 0, 2, 1).is_err());
    }
}
