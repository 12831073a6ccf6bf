//! WebP: the first picture of the file. The container is checked here first, because the decoder reserves memory for what
//! its parts claim.

use super::decode::{Decoded, over_white};
use image::codecs::webp::WebPDecoder;
use image::{ColorType, ImageDecoder};
use std::io::Cursor;

pub(super) fn is_webp(bytes: &[u8]) -> bool {
    matches!(bytes, [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..])
}

/// What a file holds.
struct Layout<'b> {
    /// The file without what follows its end.
    whole: &'b [u8],
    /// Width and height.
    sides: (u64, u64),
    exif: Option<&'b [u8]>,
}

/// Width and height, from the headers alone.
///
/// # Errors
/// What is wrong with the file, in words.
pub(super) fn dimensions(bytes: &[u8]) -> Result<(u64, u64), String> {
    layout(bytes).map(|l| l.sides)
}

/// Looks at every part of the file: all must lie inside of it, and the first picture must have the sides that the file
/// claims.
fn layout(bytes: &[u8]) -> Result<Layout<'_>, String> {
    let claimed = number(bytes, 4, 4).unwrap_or(0).saturating_add(8);
    let whole = usize::try_from(claimed).ok().and_then(|n| bytes.get(..n));
    let whole = whole.ok_or_else(|| {
        format!("a WebP that is cut off: it claims {claimed} bytes, of which {} are there", bytes.len())
    })?;
    let (mut canvas, mut picture, mut exif) = (None, None, None);
    for part in Parts(whole.get(12..).unwrap_or_default()) {
        let Part { kind, content } = part?;
        match kind {
            b"VP8X" if canvas.is_none() => canvas = Some(extended(content, 4, "VP8X")?),
            b"EXIF" if exif.is_none() => exif = Some(content),
            b"ANMF" if picture.is_none() => {
                let frame = extended(content, 6, "ANMF")?;
                for part in Parts(content.get(16..).unwrap_or_default()) {
                    let Part { kind, content } = part?;
                    if let Some(found) = own_sides(kind, content)? {
                        same(frame, found)?;
                        picture = Some(canvas.ok_or_else(|| broken("VP8X"))?);
                        break;
                    }
                }
                picture.ok_or_else(|| broken("ANMF"))?;
            }
            _ if picture.is_none() => {
                picture = own_sides(kind, content)?;
                if let (Some(canvas), Some(found)) = (canvas, picture) {
                    same(canvas, found)?;
                }
            }
            _ => {}
        }
    }
    let sides = picture.ok_or_else(|| "a WebP without a picture".to_owned())?;
    Ok(Layout { whole, sides, exif })
}

/// Decodes a whole file.
///
/// # Errors
/// What is wrong with the file, in words.
pub(super) fn decode(bytes: &[u8]) -> Result<Decoded, String> {
    let failed = |e: image::ImageError| format!("a WebP that is damaged or cut off: {e}");
    let Layout { whole, sides, exif } = layout(bytes)?;
    let decoder = WebPDecoder::new(Cursor::new(whole)).map_err(failed)?;
    let (width, height) = decoder.dimensions();
    same(sides, (width.into(), height.into()))?;
    let colour = decoder.color_type();
    let size = usize::try_from(decoder.total_bytes()).map_err(|_| "a WebP that is too large".to_owned())?;
    let mut data = vec![0; size];
    decoder.read_image(&mut data).map_err(failed)?;
    let rgb = match colour {
        ColorType::Rgb8 => data,
        _ => {
            let pixels = data.as_chunks::<4>().0.iter();
            pixels.flat_map(|[r, g, b, a]| [r, g, b].map(|v| over_white(*v, *a))).collect()
        }
    };
    Ok(Decoded { width: width as usize, height: height as usize, rgb, exif: exif.map(<[u8]>::to_vec) })
}

fn broken(kind: &str) -> String {
    format!("a WebP whose part {kind} is broken")
}

/// `bytes` bytes from `at` as a number, low byte first.
fn number(content: &[u8], at: usize, bytes: usize) -> Option<u64> {
    let found = content.get(at..at + bytes)?;
    Some(found.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b)))
}

fn same(expected: (u64, u64), found: (u64, u64)) -> Result<(), String> {
    if expected == found {
        return Ok(());
    }
    let ((w, h), (fw, fh)) = (expected, found);
    Err(format!("a WebP that claims {w} x {h} pixels for a picture of {fw} x {fh}"))
}

/// Width and height as the container's parts have them: three bytes each from `at`, less one.
fn extended(content: &[u8], at: usize, part: &str) -> Result<(u64, u64), String> {
    let side = |at| number(content, at, 3).map(|n| n + 1).ok_or_else(|| broken(part));
    Ok((side(at)?, side(at + 3)?))
}

/// The sides of a picture's own header; `None` for other parts.
fn own_sides(kind: &[u8; 4], content: &[u8]) -> Result<Option<(u64, u64)>, String> {
    match kind {
        b"VP8 " => {
            let side = |at| number(content, at, 2).map(|n| n & 0x3fff).ok_or_else(|| broken("VP8"));
            Ok(Some((side(6)?, side(8)?)))
        }
        b"VP8L" => {
            let bits = number(content, 1, 4).ok_or_else(|| broken("VP8L"))?;
            Ok(Some(((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1)))
        }
        _ => Ok(None),
    }
}

struct Part<'b> {
    kind: &'b [u8; 4],
    content: &'b [u8],
}

/// The parts of a container, each with four bytes of name and four of length, filled up to an even length.
struct Parts<'b>(&'b [u8]);

impl<'b> Iterator for Parts<'b> {
    type Item = Result<Part<'b>, String>;

    fn next(&mut self) -> Option<Self::Item> {
        let (kind, rest) = self.0.split_first_chunk::<4>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let length = u32::from_le_bytes(*length) as usize;
        let Some(content) = rest.get(..length) else {
            self.0 = &[];
            let name = String::from_utf8_lossy(kind).trim_end().to_owned();
            let message =
                format!("a WebP whose part {name:?} claims {length} bytes, of which {} are there", rest.len());
            return Some(Err(message));
        };
        self.0 = rest.get(length + length % 2..).unwrap_or_default();
        Some(Ok(Part { kind, content }))
    }
}
