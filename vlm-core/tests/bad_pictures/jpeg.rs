//! JPEG files by hand.

/// A segment: marker, length, content.
pub(crate) fn segment(marker: u8, content: &[u8]) -> Vec<u8> {
    [&[0xff, marker][..], &(content.len() as u16 + 2).to_be_bytes(), content].concat()
}

/// A table of quantisation of ones.
fn quantisation() -> Vec<u8> {
    segment(0xdb, &[&[0][..], &[1; 64]].concat())
}

/// The Huffman table of `class` with these values, all of codes of `length` bits.
fn huffman(class: u8, length: usize, values: &[u8]) -> Vec<u8> {
    let mut counts = [0u8; 16];
    counts[length - 1] = values.len() as u8;
    segment(0xc4, &[&[class << 4][..], &counts, values].concat())
}

/// A frame's header of one component.
pub(crate) fn frame(marker: u8, width: u16, height: u16) -> Vec<u8> {
    let [w, h] = [width.to_be_bytes(), height.to_be_bytes()];
    segment(marker, &[8, h[0], h[1], w[0], w[1], 1, 1, 0x11, 0])
}

/// A header and nothing after it.
pub(crate) fn header_only(width: u16, height: u16) -> Vec<u8> {
    [&[0xff, 0xd8][..], &quantisation(), &frame(0xc0, width, height)].concat()
}

/// A grey progressive picture: one scan of means, then `scans` scans of everything else, each of which says nothing about
/// all blocks in a few bytes.
pub(crate) fn progressive(width: u16, height: u16, scans: usize) -> Vec<u8> {
    let blocks = usize::from(width).div_ceil(8) * usize::from(height).div_ceil(8);
    let mut out = vec![0xff, 0xd8];
    out.extend(quantisation());
    out.extend(frame(0xc2, width, height));
    // The code 0 is a difference of no bits; and an end of block that holds for 2^14 blocks and those that 14 more bits add.
    out.extend(huffman(0, 1, &[0]));
    out.extend(huffman(1, 1, &[0xe0]));
    out.extend(segment(0xda, &[1, 1, 0, 0, 0, 0]));
    // One bit for each block.
    out.extend(vec![0; blocks.div_ceil(8)]);
    let mut bits = String::new();
    let mut left = blocks;
    while left > 0 {
        let more = left.saturating_sub(1 << 14).min((1 << 14) - 1);
        bits += &format!("0{more:014b}");
        left = left.saturating_sub((1 << 14) + more);
    }
    let packed: Vec<u8> = bits
        .as_bytes()
        .chunks(8)
        .map(|byte| byte.iter().enumerate().fold(0, |b, (i, bit)| b | (bit & 1) << (7 - i)))
        .flat_map(|byte| if byte == 0xff { vec![0xff, 0] } else { vec![byte] })
        .collect();
    for _ in 0..scans {
        out.extend(segment(0xda, &[1, 1, 0, 1, 63, 0]));
        out.extend(&packed);
    }
    out.extend([0xff, 0xd9]);
    out
}

/// A picture as an encoder makes it.
pub(crate) fn encoded(width: u32, height: u32) -> Vec<u8> {
    let image =
        image::RgbImage::from_fn(width, height, |x, y| image::Rgb([(x * 4) as u8, (y * 5) as u8, (x * y) as u8]));
    let mut out = Vec::new();
    image.write_to(&mut std::io::Cursor::new(&mut out), image::ImageFormat::Jpeg).unwrap();
    out
}

/// The same file with a segment put in behind its first marker.
pub(crate) fn with_segment(jpeg: &[u8], marker: u8, content: &[u8]) -> Vec<u8> {
    [&jpeg[..2], &segment(marker, content), &jpeg[2..]].concat()
}

/// The same file with other sides in its frame's header.
pub(crate) fn with_sides(jpeg: &[u8], width: u16, height: u16) -> Vec<u8> {
    let mut out = jpeg.to_vec();
    let at = out.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    out[at + 5..at + 7].copy_from_slice(&height.to_be_bytes());
    out[at + 7..at + 9].copy_from_slice(&width.to_be_bytes());
    out
}
