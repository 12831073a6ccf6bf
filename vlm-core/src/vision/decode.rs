//! From a file's bytes to pixels: JPEG, PNG and WebP.
//!
//! What Pillow does on opening and converting to RGB: the rotation of EXIF is applied, what is transparent lies over
//! white, of an animation the first frame is taken, 16-bit colours lose their low byte, and a JPEG that ends before its
//! end mark is refused. 16-bit grey is scaled to 8 bits, where Pillow clips it. JPEG with subsampled colours differs by
//! up to seven levels (0.4 on average: libjpeg interpolates colours otherwise), other JPEG by up to three; PNG and
//! WebP without loss are exact.

use super::picture::{MAX_PIXELS, Picture, check_sides_within};
use crate::weights::mapping::read_small;
use crate::{Error, ErrorKind, Result};
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};
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
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|e| bad(e.to_string()))?;
    let Some(format) = reader.format() else {
        let start: Vec<String> = bytes.iter().take(8).map(|b| format!("{b:02x}")).collect();
        return Err(bad(format!("{} bytes that begin with [{}] are no known picture", bytes.len(), start.join(" "))));
    };
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
    if format == ImageFormat::Jpeg && !has_end_mark(bytes) {
        return Err(bad(format!("a JPEG of {} bytes that is cut off: it has no end mark", bytes.len())));
    }
    let orientation = decoder.orientation().map_err(failed)?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(failed)?;
    image.apply_orientation(orientation);
    let (width, height) = (image.width(), image.height());
    Picture::from_rgb(width as usize, height as usize, to_rgb(image))
}

/// Whether a JPEG's end mark follows its first scan. The decoder fills what is missing with grey; Pillow refuses it.
fn has_end_mark(bytes: &[u8]) -> bool {
    // Segments before the scan are stepped over: a preview among them has an end mark of its own.
    let mut at = 2;
    while let Some(&[0xff, mark, high, low]) = bytes.get(at..at + 4) {
        at += match mark {
            0xff => 1,
            0x01 | 0xd0..=0xd7 => 2,
            0xda => break,
            _ => 2 + usize::from(u16::from_be_bytes([high, low])),
        };
    }
    bytes.get(at..).is_some_and(|rest| rest.windows(2).any(|pair| pair == [0xff, 0xd9]))
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
