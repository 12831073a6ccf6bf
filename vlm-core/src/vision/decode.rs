//! From a file's bytes to pixels: JPEG, PNG and WebP.
//!
//! What Pillow does on opening and converting to RGB: the rotation of EXIF is applied, what is transparent lies over
//! white, of an animation the first frame is taken, 16-bit colours lose their low byte, and a JPEG that ends before its
//! end mark is refused. 16-bit grey is scaled to 8 bits, where Pillow clips it. All pixels are exact.

use super::picture::{MAX_PIXELS, Picture, check_sides_within};
use super::{foreign, jpeg, png, webp};
use crate::weights::mapping::read_small;
use crate::{Error, ErrorKind, Result};
use image::metadata::Orientation;
use image::{DynamicImage, RgbImage};
use std::panic::catch_unwind;
use std::path::Path;

const OP: &str = "decode picture";
/// Largest file that is read.
const MAX_FILE: u64 = 256 << 20;

/// What a decoder makes of a file.
pub(super) struct Decoded {
    pub(super) width: usize,
    pub(super) height: usize,
    /// Rows from the top, three bytes per pixel.
    pub(super) rgb: Vec<u8>,
    /// The EXIF block, if there is one.
    pub(super) exif: Option<Vec<u8>>,
}

impl Picture {
    /// Reads a file.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if it cannot be read; as [`Picture::decode`].
    pub fn open(path: &Path) -> Result<Self> {
        Self::decode(&read_file(path)?).map_err(|e| e.with("file", path.display()))
    }

    /// Decodes the bytes of a JPEG, PNG or WebP file, recognised by their beginning.
    ///
    /// # Errors
    /// [`ErrorKind::Image`] for another format, which is named, for damaged or cut bytes, or more than
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

    /// Width and height of a JPEG, PNG or WebP file as its header has them, before a rotation by EXIF; nothing is decoded.
    ///
    /// # Errors
    /// [`ErrorKind::Image`] for another format, which is named, or a header that is damaged or cut off.
    pub fn dimensions(bytes: &[u8]) -> Result<(u64, u64)> {
        let found = match Format::of(bytes)? {
            Format::Jpeg => jpeg::dimensions(bytes),
            Format::Png => png::dimensions(bytes),
            Format::WebP => webp::dimensions(bytes),
        };
        found.map_err(bad)
    }
}

pub(super) fn read_file(path: &Path) -> Result<Vec<u8>> {
    read_small(OP, path, MAX_FILE)
}

fn bad(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Image, OP, message).hint("expected the whole of a JPEG, PNG or WebP file")
}

/// The formats that are read.
enum Format {
    Jpeg,
    Png,
    WebP,
}

impl Format {
    fn of(bytes: &[u8]) -> Result<Self> {
        if jpeg::is_jpeg(bytes) {
            return Ok(Format::Jpeg);
        }
        if png::is_png(bytes) {
            return Ok(Format::Png);
        }
        if webp::is_webp(bytes) {
            return Ok(Format::WebP);
        }
        let Some(kind) = foreign::kind(bytes) else {
            let start: Vec<String> = bytes.iter().take(8).map(|b| format!("{b:02x}")).collect();
            let message = format!("{} bytes that begin with [{}] are no known picture", bytes.len(), start.join(" "));
            return Err(bad(message));
        };
        let error = Error::new(ErrorKind::Image, OP, format!("this is {kind}, no known picture"));
        Err(error.hint("expected a JPEG, PNG or WebP file: convert the picture to one of them"))
    }
}

fn decode(bytes: &[u8], max_pixels: u64) -> Result<Picture> {
    let format = Format::of(bytes)?;
    if !matches!(format, Format::Jpeg) {
        let (width, height) = Picture::dimensions(bytes)?;
        check_sides_within(OP, width, height, max_pixels)?;
    }
    let found = match format {
        // The sides of a JPEG stand behind whatever else it holds: they are looked at on the way.
        Format::Jpeg => decode_jpeg(bytes, max_pixels)?,
        Format::Png => png::decode(bytes).map_err(bad)?,
        Format::WebP => webp::decode(bytes).map_err(bad)?,
    };
    upright(found)
}

fn decode_jpeg(bytes: &[u8], max_pixels: u64) -> Result<Decoded> {
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
    jpeg::decode(bytes, allowed).map_err(|e| match e {
        Wrong::File(message) => bad(message),
        Wrong::Size(error) => error,
    })
}

/// The picture turned as its EXIF block says.
fn upright(found: Decoded) -> Result<Picture> {
    let Decoded { width, height, rgb, exif } = found;
    let exif = exif.as_deref().map(|e| e.strip_prefix(b"Exif\0\0").unwrap_or(e));
    let orientation = exif.and_then(Orientation::from_exif_chunk).filter(|o| *o != Orientation::NoTransforms);
    let Some(orientation) = orientation else { return Picture::from_rgb(width, height, rgb) };
    let image = RgbImage::from_raw(width as u32, height as u32, rgb);
    let mut image = DynamicImage::ImageRgb8(image.ok_or_else(|| bad("a picture of an impossible size"))?);
    image.apply_orientation(orientation);
    Picture::from_rgb(image.width() as usize, image.height() as usize, image.into_rgb8().into_raw())
}

/// Pillow's `alpha_composite` over opaque white, in its integer arithmetic.
pub(super) fn over_white(value: u8, alpha: u8) -> u8 {
    let (value, alpha) = (u32::from(value), u32::from(alpha));
    let sum = ((value * alpha + 255 * (255 - alpha)) << 7) + (0x80 << 7);
    (((sum >> 8) + sum) >> 15) as u8
}
