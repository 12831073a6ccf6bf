//! F35: the eight orientations, in every format, and EXIF blocks that are broken.

use crate::catalogue::{Row, judge, row};
use crate::{decode, jpeg, png, webp};
use std::fmt::Write;
use vlm_core::vision::Picture;
use vlm_core::{Error, ErrorKind, Result};

/// An EXIF block with one entry; numbers with their low byte first or last.
fn block(little: bool, entries: u16, tag: u16, kind: u16, value: u16) -> Vec<u8> {
    let two = |n: u16| if little { n.to_le_bytes() } else { n.to_be_bytes() };
    let four = |n: u32| if little { n.to_le_bytes() } else { n.to_be_bytes() };
    let start: &[u8] = if little { b"II*\0" } else { b"MM\0*" };
    [start, &four(8), &two(entries), &two(tag), &two(kind), &four(1), &two(value), &[0, 0], &four(0)].concat()
}

fn orientation(value: u16) -> Vec<u8> {
    block(value.is_multiple_of(2), 1, 0x112, 3, value)
}

/// The three formats with such a block: a picture without it, and with it.
fn formats(exif: &[u8]) -> [(&'static str, Vec<u8>, Vec<u8>); 3] {
    let plain = jpeg::encoded(23, 17);
    let with = jpeg::with_segment(&plain, 0xe1, &[b"Exif\0\0", exif].concat());
    let rows: Vec<u8> = (0..6u8).flat_map(|i| if i % 3 == 0 { vec![0, i, i, i] } else { vec![i, i, i] }).collect();
    let chunks = [png::ihdr(3, 2, 8, png::RGB), png::idat(&rows), png::iend()];
    let [start, data, end] = chunks.clone();
    // Behind the picture, where it may stand as well.
    let png_with = png::file(&[start, data, (b"eXIf", exif.to_vec()), end]);
    let lossless = webp::part(b"VP8L", &webp::lossless(3, 2));
    let webp_with = webp::file(&[webp::extended(8, 3, 2), lossless.clone(), webp::part(b"EXIF", exif)]);
    [("JPEG", plain, with), ("PNG", png::file(&chunks), png_with), ("WebP", webp::file(&[lossless]), webp_with)]
}

/// Where the pixel at `(x, y)` of the upright picture is in the file's `width` by `height` pixels.
fn source(orientation: u16, (x, y): (usize, usize), (w, h): (usize, usize)) -> (usize, usize) {
    match orientation {
        2 => (w - 1 - x, y),
        3 => (w - 1 - x, h - 1 - y),
        4 => (x, h - 1 - y),
        5 => (y, x),
        6 => (y, h - 1 - x),
        7 => (w - 1 - y, h - 1 - x),
        8 => (w - 1 - y, x),
        _ => (x, y),
    }
}

fn turned(plain: &Picture, orientation: u16) -> Result<Picture> {
    let (w, h) = (plain.width(), plain.height());
    let (new_w, new_h) = if orientation >= 5 { (h, w) } else { (w, h) };
    let places = (0..new_w * new_h).map(|i| source(orientation, (i % new_w, i / new_w), (w, h)));
    let rgb: Vec<u8> = places.flat_map(|(x, y)| plain.rgb()[3 * (y * w + x)..][..3].to_vec()).collect();
    Picture::from_rgb(new_w, new_h, rgb)
}

/// All formats with this block must give the picture turned like `expected`.
fn exif(what: String, block: Vec<u8>, expected: u16) -> Row {
    row(
        "F35",
        what,
        move || formats(&block),
        move |all| {
            let mut seen = String::new();
            for (format, plain, with) in all {
                let (plain, with) = (Picture::decode(&plain)?, Picture::decode(&with)?);
                if with != turned(&plain, expected)? {
                    let message = format!("{format}: not turned as orientation {expected}");
                    return Err(Error::new(ErrorKind::Image, "test", message));
                }
                let _ = write!(seen, "{format} {} x {}, ", with.width(), with.height());
            }
            Ok(seen)
        },
    )
}

#[test]
fn pictures_are_turned_as_exif_says_and_broken_exif_is_not_looked_at() {
    let mut rows: Vec<Row> = (1..=8)
        .map(|o| {
            let sides = if o >= 5 { "PNG 2 x 3, WebP 2 x 3" } else { "PNG 3 x 2, WebP 3 x 2" };
            exif(format!("orientation {o}"), orientation(o), o).works(&[sides])
        })
        .collect();
    rows.push(exif(
        "orientation 6 behind the name that JPEG puts before it".to_owned(),
        [b"Exif\0\0", &orientation(6)[..]].concat(),
        6,
    ));
    let whole = orientation(6);
    for (what, broken) in [
        ("orientation 0", orientation(0)),
        ("orientation 9", orientation(9)),
        ("orientation 65535", orientation(65535)),
        ("an orientation that is no number", block(true, 1, 0x112, 2, 6)),
        ("another entry", block(true, 1, 0x10f, 3, 6)),
        ("more entries than there are", block(true, 65535, 0x10f, 3, 6)),
        ("a list of entries beyond the end", [&b"II*\0\xff\xff\xff\xff"[..], &whole[8..]].concat()),
        ("half a block", whole[..9].to_vec()),
        ("nothing", Vec::new()),
        ("no EXIF", b"not what it says".to_vec()),
    ] {
        rows.push(exif(what.to_owned(), broken, 1));
    }
    // What the file says of itself, before it is turned.
    rows.push(
        row(
            "F35",
            "sides are those of the file",
            || formats(&orientation(6)),
            |all| {
                let sides: Vec<_> = all.iter().map(|(_, _, b)| Picture::dimensions(b)).collect::<Result<_>>()?;
                Ok(format!("{sides:?}"))
            },
        )
        .works(&["[(23, 17), (3, 2), (3, 2)]"]),
    );
    rows.push(
        decode("F35", "an EXIF block longer than a segment", || {
            jpeg::with_segment(
                &jpeg::encoded(23, 17),
                0xe1,
                &[&b"Exif\0\0"[..], &orientation(6), &[0; 60_000]].concat(),
            )
        })
        .works(&["17 x 23"]),
    );
    judge(rows);
}
