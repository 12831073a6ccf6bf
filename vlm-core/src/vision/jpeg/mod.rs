//! JPEG (ITU-T T.81) decoded to the same pixels as libjpeg, which Pillow and with it the reference processors use: its
//! integer cosine transform, its interpolation of colours, its colour arithmetic. Other decoders differ by a few levels,
//! and gradients of a model with them. Baseline, extended and progressive files of 8 bits with Huffman codes.

mod colour;
mod frame;
mod huffman;
mod idct;
mod scan;
mod upsample;

use super::decode::Decoded;
use frame::Frame;

/// Most scans of a progressive file: an encoder makes about ten, a file made to waste time thousands.
const MAX_SCANS: usize = 500;

/// Whether these bytes begin as a JPEG does.
pub(super) fn is_jpeg(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xff, 0xd8, 0xff])
}

/// Width and height, from the frame's header.
///
/// # Errors
/// What is wrong with the file up to there, in words.
pub(super) fn dimensions(bytes: &[u8]) -> Result<(u64, u64), String> {
    let mut at = 2;
    loop {
        let (marker, segment, next) = frame::segment(bytes, at)?;
        at = next;
        match marker {
            0xc0..=0xc2 => return Frame::parse(marker, segment).map(|f| (f.width as u64, f.height as u64)),
            0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => return Err(unsupported(marker)),
            0xd9 | 0xda => return Err("a JPEG without a frame".to_owned()),
            _ => {}
        }
    }
}

fn unsupported(marker: u8) -> String {
    let kind = if marker >= 0xc9 { "arithmetic codes" } else { "a lossless or hierarchical frame" };
    format!("a JPEG with {kind}, which is not supported")
}

/// Decodes a whole file. `allowed` judges width and height before anything of their size is allocated.
///
/// # Errors
/// What is wrong with the file, in words.
pub(super) fn decode<E: From<String>>(
    bytes: &[u8],
    allowed: impl FnOnce(usize, usize) -> Result<(), E>,
) -> Result<Decoded, E> {
    let mut at = 2;
    let mut state = frame::Tables::default();
    let mut frame: Option<Frame> = None;
    let (mut allowed, mut scans) = (Some(allowed), 0);
    loop {
        let (marker, segment, next) = frame::segment(bytes, at)?;
        at = next;
        match marker {
            // The end.
            0xd9 => break,
            0xc4 => state.huffman(segment)?,
            0xdb => state.quantisation(segment)?,
            0xdd => state.restart_interval(segment)?,
            0xc0..=0xc2 => {
                if frame.is_some() {
                    return Err("a JPEG with two frames".to_owned().into());
                }
                let new = Frame::parse(marker, segment)?;
                if let Some(allowed) = allowed.take() {
                    allowed(new.width, new.height)?;
                }
                frame = Some(new.with_room(bytes.len())?);
            }
            0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => return Err(unsupported(marker).into()),
            0xda => {
                let Some(frame) = frame.as_mut() else {
                    return Err("a JPEG whose scan has no frame".to_owned().into());
                };
                scans += 1;
                if scans > MAX_SCANS {
                    return Err(format!("a JPEG of more than {MAX_SCANS} scans, made to waste time").into());
                }
                at = scan::decode(frame, &state, segment, bytes, at)?;
            }
            0xe0..=0xef => state.application(marker, segment),
            _ => {}
        }
    }
    let Some(frame) = frame.filter(|_| scans > 0) else { return Err("a JPEG without a picture".to_owned().into()) };
    let planes = upsample::planes(&frame, &state)?;
    let rgb = colour::to_rgb(&frame, &state, planes)?;
    Ok(Decoded { width: frame.width, height: frame.height, rgb, exif: state.exif })
}
