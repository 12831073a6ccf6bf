//! From a file's bytes to pixels: JPEG, PNG and WebP.
//!
//! What Pillow does on opening and converting to RGB: the rotation of EXIF is applied, what is transparent lies over
//! white, of an animation the first frame is taken, 16-bit colours lose their low byte, and a JPEG that ends before its
//! end mark is refused. 16-bit grey is scaled to 8 bits, where Pillow clips it. All pixels are exact.

use super::jpeg;
use super::picture::{MAX_PIXELS, Picture, check_sides_within};
use crate::weights::mapping::read_small;
use crate::{Error, ErrorKind, Result};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageReader, Limits, RgbImage};
use std::io::Cursor;
use std::panic::catch_unwind;
use std::path::Path;

const OP: &str = "decode picture";
/// Largest file that is read.
const MAX_FILE: u64 = 256 << 20;
/// Most bytes of decoded pixels: four channels of 16 bits at the most pixels would be 1.4 GB.
const MAX_MEMORY: u64 = 1 << 30;
/// Most bytes of a PNG's rows and of what else is packed in it, such as a colour profile.
const MAX_EXTRAS: u64 = 64 << 20;

impl Picture {
    /// Reads a file.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if it cannot be read; as [`Picture::decode`].
    pub fn open(path: &Path) -> Result<Self> {
        Self::decode(&read_small(OP, path, MAX_FILE)?).map_err(|e| e.with("file", path.display()))
    }

    /// Decodes the bytes of a JPEG, PNG or WebP file, recognised by their beginning.
    ///
    /// # Errors
    /// [`ErrorKind::Image`] for another format, damaged or cut bytes, or more than
    /// [`MAX_PIXELS`](super::MAX_PIXELS), which is found out before anything is decoded.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        Self::decode_within(bytes, MAX_PIXELS)
    }

    /// As [`Picture::decode`], for at most `max_pixels`: what a server grants to strangers.
    ///
    /// # Errors
    /// As there.
    pub fn decode_within(bytes: &[u8], max_pixels: u64) -> Result<Self> {
        // The decoders are not known to panic, but they read whatever a stranger sends.
        let max = max_pixels.min(MAX_PIXELS);
        catch_unwind(|| decode(bytes, max)).unwrap_or_else(|_| Err(bad("the decoder failed on these bytes")))
    }
}

fn bad(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Image, OP, message).hint("expected the whole of a JPEG, PNG or WebP file")
}

fn decode(bytes: &[u8], max_pixels: u64) -> Result<Picture> {
    if jpeg::is_jpeg(bytes) {
        return decode_jpeg(bytes, max_pixels);
    }
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|e| bad(e.to_string()))?;
    if reader.format().is_none() {
        let start: Vec<String> = bytes.iter().take(8).map(|b| format!("{b:02x}")).collect();
        return Err(bad(format!("{} bytes that begin with [{}] are no known picture", bytes.len(), start.join(" "))));
    }
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_EXTRAS);
    reader.limits(limits);
    let failed = |e: image::ImageError| bad(e.to_string());
    let mut decoder = reader.into_decoder().map_err(failed)?;
    let (width, height) = decoder.dimensions();
    check_sides_within(OP, width.into(), height.into(), max_pixels)?;
    if decoder.total_bytes() > MAX_MEMORY {
        let found = decoder.total_bytes();
        return Err(bad(format!("{width} x {height} pixels take {found} bytes, expected at most {MAX_MEMORY}")));
    }
    let orientation = decoder.orientation().map_err(failed)?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(failed)?;
    image.apply_orientation(orientation);
    let (width, height) = (image.width(), image.height());
    Picture::from_rgb(width as usize, height as usize, to_rgb(image))
}

fn decode_jpeg(bytes: &[u8], max_pixels: u64) -> Result<Picture> {
    enum Wrong {
        File(String),
        Size(Error),
    }
    impl From<String> for Wrong {
        fn from(message: String) -> Self {
            Wrong::File(message)
        }
    }
    let allowed = |w: usize, h: usize| check_sides_within(OP, w as u64, h as u64, max_pixels).map_err(Wrong::Size);
    let found = jpeg::decode(bytes, allowed).map_err(|e| match e {
        Wrong::File(message) => bad(message),
        Wrong::Size(error) => error,
    })?;
    let orientation = found.exif.as_deref().and_then(Orientation::from_exif_chunk);
    let Some(orientation) = orientation.filter(|o| *o != Orientation::NoTransforms) else {
        return Picture::from_rgb(found.width, found.height, found.rgb);
    };
    let upright = RgbImage::from_raw(found.width as u32, found.height as u32, found.rgb);
    let mut image = DynamicImage::ImageRgb8(upright.ok_or_else(|| bad("a JPEG of an impossible size"))?);
    image.apply_orientation(orientation);
    Picture::from_rgb(image.width() as usize, image.height() as usize, image.into_rgb8().into_raw())
}

fn to_rgb(image: DynamicImage) -> Vec<u8> {
    let high = |v: u16| (v >> 8) as u8;
    match image {
        DynamicImage::ImageLumaA8(p) => p.pixels().flat_map(|p| [over_white(p.0[0], p.0[1]); 3]).collect(),
        DynamicImage::ImageRgba8(p) => p.pixels().flat_map(|p| [0, 1, 2].map(|c| over_white(p.0[c], p.0[3]))).collect(),
        DynamicImage::ImageRgb16(p) => p.into_raw().into_iter().map(high).collect(),
        DynamicImage::ImageLumaA16(p) => p.pixels().flat_map(|p| [over_white(high(p.0[0]), high(p.0[1])); 3]).collect(),
        DynamicImage::ImageRgba16(p) => {
            p.pixels().flat_map(|p| [0, 1, 2].map(|c| over_white(high(p.0[c]), high(p.0[3])))).collect()
        }
        other => other.into_rgb8().into_raw(),
    }
}

/// Pillow's `alpha_composite` over opaque white, in its integer arithmetic.
fn over_white(value: u8, alpha: u8) -> u8 {
    let (value, alpha) = (u32::from(value), u32::from(alpha));
    let sum = ((value * alpha + 255 * (255 - alpha)) << 7) + (0x80 << 7);
    (((sum >> 8) + sum) >> 15) as u8
}
