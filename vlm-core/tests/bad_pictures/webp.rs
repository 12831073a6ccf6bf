//! WebP files by hand.

/// A part of a container, filled up to an even length.
pub(crate) fn part(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    claiming(kind, content.len() as u32, content)
}

/// A part that claims another length than it has.
pub(crate) fn claiming(kind: &[u8; 4], length: u32, content: &[u8]) -> Vec<u8> {
    let fill: &[u8] = if content.len() % 2 == 1 { &[0] } else { &[] };
    [&kind[..], &length.to_le_bytes(), content, fill].concat()
}

/// A file of these parts.
pub(crate) fn file(parts: &[Vec<u8>]) -> Vec<u8> {
    let body = parts.concat();
    [&b"RIFF"[..], &(body.len() as u32 + 4).to_le_bytes(), b"WEBP", &body].concat()
}

fn three(n: u32) -> [u8; 3] {
    let [a, b, c, _] = n.to_le_bytes();
    [a, b, c]
}

/// The part that says what a file has: flags (2 animation, 8 EXIF, 16 transparency), and its sides.
pub(crate) fn extended(flags: u8, width: u32, height: u32) -> Vec<u8> {
    part(b"VP8X", &[&[flags, 0, 0, 0][..], &three(width - 1), &three(height - 1)].concat())
}

/// A lossless picture as an encoder makes it: the content of its part `VP8L`.
pub(crate) fn lossless(width: u32, height: u32) -> Vec<u8> {
    let image = image::RgbImage::from_fn(width, height, |x, y| image::Rgb([(x * 40) as u8, (y * 50) as u8, 7]));
    let mut out = Vec::new();
    image.write_to(&mut std::io::Cursor::new(&mut out), image::ImageFormat::WebP).unwrap();
    assert_eq!(&out[12..16], b"VP8L");
    let length = u32::from_le_bytes([out[16], out[17], out[18], out[19]]) as usize;
    out[20..20 + length].to_vec()
}

/// The header of a lossless picture of these sides, and nothing after it.
pub(crate) fn lossless_header(width: u32, height: u32) -> Vec<u8> {
    [&[0x2f][..], &((width - 1) | (height - 1) << 14).to_le_bytes()].concat()
}

/// The header of a lossy picture of these sides with a first part of nothing but zeros.
pub(crate) fn lossy_header(width: u16, height: u16) -> Vec<u8> {
    // A key frame that is shown, its first part 1024 bytes long.
    let tag = 1u32 << 4 | 1024 << 5;
    let [w, h] = [width.to_le_bytes(), height.to_le_bytes()];
    [&three(tag)[..], &[0x9d, 0x01, 0x2a], &w, &h, &[0; 4096]].concat()
}

/// A frame of an animation.
pub(crate) fn animated(width: u32, height: u32, content: &[u8]) -> Vec<u8> {
    let place = [three(0), three(0), three(width - 1), three(height - 1), three(100)].concat();
    part(b"ANMF", &[&place[..], &[2], content].concat())
}

/// What an animation has before its frames.
pub(crate) fn animation() -> Vec<u8> {
    part(b"ANIM", &[0; 6])
}
