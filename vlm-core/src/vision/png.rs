//! PNG: the first picture of the file, in its own colours.

use super::decode::Decoded;
use png::{BitDepth, ColorType, Decoder, Limits, Transformations};
use std::io::Cursor;

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
/// Most bytes of decoded pixels: four channels of 16 bits at the most pixels would be 1.4 GB.
const MAX_MEMORY: usize = 1 << 30;
/// Most bytes of what the decoder holds besides: rows and tables. Texts and colour profiles, which may unpack to anything,
/// are stepped over.
const MAX_EXTRAS: usize = 64 << 20;

pub(super) fn is_png(bytes: &[u8]) -> bool {
    bytes.starts_with(SIGNATURE)
}

/// Width and height, from the header alone.
///
/// # Errors
/// What is wrong with the file, in words.
pub(super) fn dimensions(bytes: &[u8]) -> Result<(u64, u64), String> {
    let header =
        bytes.get(SIGNATURE.len()..SIGNATURE.len() + 16).ok_or("a PNG that is cut off inside of its header")?;
    let (start, sides) = header.split_at(8);
    if start != b"\0\0\0\x0dIHDR" {
        return Err("a PNG that does not begin with its header (IHDR)".to_owned());
    }
    let side = |at: usize| u64::from(u32::from_be_bytes([sides[at], sides[at + 1], sides[at + 2], sides[at + 3]]));
    Ok((side(0), side(4)))
}

/// Decodes a file whose sides were looked at before.
///
/// # Errors
/// What is wrong with the file, in words.
pub(super) fn decode(bytes: &[u8]) -> Result<Decoded, String> {
    let failed = |e: png::DecodingError| format!("a PNG that is damaged or cut off: {e}");
    let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), Limits { bytes: MAX_EXTRAS });
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    // Palettes become colours, fewer than 8 bits 8, a transparent colour a channel; 16 bits stay.
    decoder.set_transformations(Transformations::EXPAND);
    let mut reader = decoder.read_info().map_err(failed)?;
    let (width, height) = (reader.info().width as usize, reader.info().height as usize);
    let size = reader.output_buffer_size().filter(|n| *n <= MAX_MEMORY);
    let size = size.ok_or_else(|| format!("{width} x {height} pixels take more than {MAX_MEMORY} bytes"))?;
    let mut data = vec![0; size];
    let found = reader.next_frame(&mut data).map_err(failed)?;
    if (found.width as usize, found.height as usize) != (width, height) {
        return Err(format!(
            "a PNG whose first frame has {} x {} pixels of {width} x {height}",
            found.width, found.height
        ));
    }
    let rgb = to_rgb(data, found.color_type, found.bit_depth)?;
    Ok(Decoded { width, height, rgb, exif: exif(bytes).map(<[u8]>::to_vec) })
}

fn to_rgb(data: Vec<u8>, colour: ColorType, depth: BitDepth) -> Result<Vec<u8>, String> {
    use super::decode::over_white;
    // 16 bits stand with their high byte first.
    Ok(match (colour, depth) {
        (ColorType::Rgb, BitDepth::Eight) => data,
        (ColorType::Grayscale, BitDepth::Eight) => data.iter().flat_map(|v| [*v; 3]).collect(),
        (ColorType::GrayscaleAlpha, BitDepth::Eight) => {
            data.as_chunks::<2>().0.iter().flat_map(|[v, a]| [over_white(*v, *a); 3]).collect()
        }
        (ColorType::Rgba, BitDepth::Eight) => {
            data.as_chunks::<4>().0.iter().flat_map(|[r, g, b, a]| [r, g, b].map(|v| over_white(*v, *a))).collect()
        }
        (ColorType::Grayscale, BitDepth::Sixteen) => {
            let scaled = |v: &[u8; 2]| ((u32::from(u16::from_be_bytes(*v)) + 128) / 257) as u8;
            data.as_chunks::<2>().0.iter().flat_map(|v| [scaled(v); 3]).collect()
        }
        (ColorType::GrayscaleAlpha, BitDepth::Sixteen) => {
            data.as_chunks::<4>().0.iter().flat_map(|[v, _, a, _]| [over_white(*v, *a); 3]).collect()
        }
        (ColorType::Rgb, BitDepth::Sixteen) => data.as_chunks::<2>().0.iter().map(|[v, _]| *v).collect(),
        (ColorType::Rgba, BitDepth::Sixteen) => data
            .as_chunks::<8>()
            .0
            .iter()
            .flat_map(|[r, _, g, _, b, _, a, _]| [r, g, b].map(|v| over_white(*v, *a)))
            .collect(),
        (colour, depth) => return Err(format!("a PNG of {colour:?} with {depth:?} bits, which is not supported")),
    })
}

/// The EXIF block, which may stand before or after the picture.
fn exif(bytes: &[u8]) -> Option<&[u8]> {
    let mut rest = bytes.strip_prefix(SIGNATURE)?;
    while let Some((&[a, b, c, d, kind @ ..], after)) = rest.split_first_chunk::<8>() {
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        let content = after.get(..length)?;
        if kind == *b"eXIf" {
            return Some(content);
        }
        rest = after.get(length.checked_add(4)?..)?;
    }
    None
}
