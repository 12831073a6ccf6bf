//! What bytes are that are no JPEG, PNG or WebP, told from their beginning, so that an error can name it.

/// Beginnings of files and what such a file is called.
const MAGIC: [(&[u8], &str); 27] = [
    (b"GIF87a", "a GIF file"),
    (b"GIF89a", "a GIF file"),
    (b"II*\0", "a TIFF file"),
    (b"MM\0*", "a TIFF file"),
    (b"II+\0", "a TIFF file"),
    (b"MM\0+", "a TIFF file"),
    (b"\0\0\x01\0", "a Windows icon (ICO)"),
    (b"\0\0\x02\0", "a Windows icon (ICO)"),
    (b"%PDF-", "a PDF file"),
    (b"%!PS", "a PostScript file (PS or EPS)"),
    (b"\xc5\xd0\xd3\xc6", "a PostScript file (PS or EPS)"),
    (b"8BPS", "a Photoshop file"),
    (b"\xff\x0a", "a JPEG XL file"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL file"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 file"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 file"),
    (b"\x76\x2f\x31\x01", "an OpenEXR file"),
    (b"#?RADIANCE", "a Radiance HDR file"),
    (b"DDS ", "a DDS texture"),
    (b"qoif", "a QOI file"),
    (b"\x1a\x45\xdf\xa3", "a Matroska or WebM video"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x80\x02", "a Python pickle"),
    (b"version https://git-lfs.github.com/spec/", "a git-lfs pointer, not the picture itself"),
    (b"\xff\xd8", "the beginning of a JPEG without anything after it"),
    (b"\x89PNG", "a PNG whose first bytes are damaged, as copying a file as text does"),
];

/// The kind of file these bytes are, with its article; `None` if they are of no known kind.
pub(super) fn kind(bytes: &[u8]) -> Option<&'static str> {
    if bytes.is_empty() {
        return Some("an empty file");
    }
    if let Some((_, name)) = MAGIC.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return Some(name);
    }
    match bytes {
        [b'B', b'M', _, _, _, _, 0, 0, 0, 0, ..] => return Some("a BMP file"),
        [b'P', b'1'..=b'7', b'\n' | b' ' | b'\r' | b'\t', ..] => return Some("a PNM file (PBM, PGM, PPM or PAM)"),
        [b'R', b'I', b'F', b'F', _, _, _, _, rest @ ..] => return Some(riff(rest)),
        [_, _, _, _, b'f', b't', b'y', b'p', brand @ ..] => return Some(media(brand)),
        _ => {}
    }
    text(bytes)
}

fn riff(rest: &[u8]) -> &'static str {
    match rest {
        [b'A', b'V', b'I', b' ', ..] => "an AVI video",
        [b'W', b'A', b'V', b'E', ..] => "a WAV sound",
        _ => "a RIFF file that is no WebP",
    }
}

/// Files of the ISO base media format, by their brand.
fn media(brand: &[u8]) -> &'static str {
    match brand.first_chunk::<4>() {
        Some(b"avif" | b"avis") => "an AVIF file",
        Some(b"heic" | b"heix" | b"hevc" | b"hevx" | b"heim" | b"heis" | b"mif1" | b"msf1") => "a HEIC file",
        _ => "an MP4 or QuickTime video",
    }
}

/// Markup and plain text.
fn text(bytes: &[u8]) -> Option<&'static str> {
    const LOOK: usize = 1024;
    let start = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let start = start[..start.len().min(LOOK)].trim_ascii_start();
    let lower = start.to_ascii_lowercase();
    let has = |what: &[u8]| lower.windows(what.len()).any(|w| w == what);
    if lower.starts_with(b"<!doctype html") || (lower.starts_with(b"<") && has(b"<html")) {
        return Some("a web page (HTML)");
    }
    if lower.starts_with(b"<") && has(b"<svg") {
        return Some("an SVG drawing");
    }
    if lower.starts_with(b"data:") {
        return Some("the text of a data: address, not its content");
    }
    let printable = |b: &u8| matches!(b, b'\t' | b'\n' | b'\r' | 0x20..=0x7e);
    start.iter().all(printable).then_some("plain text")
}

#[cfg(test)]
mod tests {
    use super::kind;

    #[test]
    fn files_are_named_by_their_beginning() {
        for (bytes, want) in [
            (&b""[..], "an empty file"),
            (b"GIF89a\x01\0", "a GIF file"),
            (b"BM\x9a\0\0\0\0\0\0\0", "a BMP file"),
            (b"BMW drives", "plain text"),
            (b"\0\0\0\x1cftypavif\0\0", "an AVIF file"),
            (b"\0\0\0\x18ftypheic", "a HEIC file"),
            (b"\0\0\0\x18ftypisom", "an MP4 or QuickTime video"),
            (b"\0\0\0\x18ftyp", "an MP4 or QuickTime video"),
            (b"RIFF\x04\0\0\0WAVE", "a WAV sound"),
            (b"\xef\xbb\xbf <?xml version='1.0'?>\n<svg/>", "an SVG drawing"),
            (b"<!DOCTYPE html><html><svg/>", "a web page (HTML)"),
            (b"<?xml version='1.0'?><html/>", "a web page (HTML)"),
            (b"data:image/png;base64,", "the text of a data: address, not its content"),
        ] {
            assert_eq!(kind(bytes), Some(want), "{bytes:?}");
        }
        assert_eq!(kind(&[0x93, 1, 2, 3]), None);
    }
}
