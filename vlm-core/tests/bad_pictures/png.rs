//! PNG files by hand: any header, any order of chunks, any content.

use std::io::Write;

pub(crate) const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// Colours of a PNG by their numbers.
pub(crate) const GREY: u8 = 0;
pub(crate) const RGB: u8 = 2;
pub(crate) const PALETTE: u8 = 3;
pub(crate) const GREY_ALPHA: u8 = 4;
pub(crate) const RGBA: u8 = 6;

/// A file of these chunks, each with its checksum.
pub(crate) fn file(chunks: &[(&[u8; 4], Vec<u8>)]) -> Vec<u8> {
    let mut out = SIGNATURE.to_vec();
    for (kind, content) in chunks {
        out.extend(chunk(kind, content));
    }
    out
}

pub(crate) fn chunk(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let checked = [kind, content].concat();
    [&(content.len() as u32).to_be_bytes()[..], &checked, &crc32(&checked).to_be_bytes()].concat()
}

/// A header.
pub(crate) fn ihdr(width: u32, height: u32, depth: u8, colour: u8) -> (&'static [u8; 4], Vec<u8>) {
    (b"IHDR", [&width.to_be_bytes()[..], &height.to_be_bytes(), &[depth, colour, 0, 0, 0]].concat())
}

/// The picture's data: rows with their filter bytes, compressed.
pub(crate) fn idat(rows: &[u8]) -> (&'static [u8; 4], Vec<u8>) {
    (b"IDAT", zlib(rows))
}

pub(crate) fn iend() -> (&'static [u8; 4], Vec<u8>) {
    (b"IEND", Vec::new())
}

/// A whole picture of one kind of pixel.
pub(crate) fn plain(width: u32, height: u32, depth: u8, colour: u8, pixel: &[u8]) -> Vec<u8> {
    let row = [&[0][..], &pixel.repeat(width as usize)].concat();
    file(&[ihdr(width, height, depth, colour), idat(&row.repeat(height as usize)), iend()])
}

/// A picture of red, green and blue whose pixels all differ a little.
pub(crate) fn varied(width: u32, height: u32) -> Vec<u8> {
    let row = |y: u32| -> Vec<u8> {
        [0].into_iter().chain((0..width).flat_map(|x| [(x * 7) as u8, (y * 5) as u8, (x * y) as u8])).collect()
    };
    let rows: Vec<u8> = (0..height).flat_map(row).collect();
    file(&[ihdr(width, height, 8, RGB), idat(&rows), iend()])
}

pub(crate) fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

/// So many zeros, compressed to a thousandth.
pub(crate) fn zlib_zeros(mut count: usize) -> Vec<u8> {
    let mut out = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    let zeros = vec![0; 1 << 20];
    while count > 0 {
        let now = count.min(zeros.len());
        out.write_all(&zeros[..now]).unwrap();
        count -= now;
    }
    out.finish().unwrap()
}

pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}
