//! Rows F1 to F40 of the bad-input catalogue: bytes that claim to be pictures. What random damage does, and cutting at every
//! byte, is in `vision_hostile.rs`.
#![cfg(feature = "image-formats")]

#[path = "../catalogue/mod.rs"]
mod catalogue;
#[path = "../common/mod.rs"]
mod common;
mod exif;
mod families;
mod jpeg;
mod png;
mod webp;

use catalogue::{MIB, Row, judge, row};
use png::{GREY, GREY_ALPHA, PALETTE, RGB, RGBA, chunk, iend, ihdr};
use vlm_core::ErrorKind::Image;
use vlm_core::data::ImageRef;
use vlm_core::vision::{Picture, PictureLimits};

/// What a server might grant to strangers.
const GRANTED: u64 = 40_000_000;

/// A picture's sides and its first pixels.
fn shown(picture: &Picture) -> String {
    let pixels: Vec<&[u8]> = picture.rgb().chunks(3).take(4).collect();
    format!("{} x {} {pixels:?}", picture.width(), picture.height())
}

/// Decodes bytes as they are.
fn decode(number: &'static str, what: &str, make: impl FnOnce() -> Vec<u8> + 'static) -> Row {
    row(number, what, make, |bytes| Picture::decode(&bytes).map(|p| shown(&p)))
}

/// Refused as something that is no picture of ours, by its name.
fn foreign(number: &'static str, bytes: &'static [u8], name: &str) -> Row {
    let name = format!("this is {name}");
    decode(number, &name.clone(), move || bytes.to_vec())
        .fails(Image, &[&name, "expected a JPEG, PNG or WebP file", "convert"])
        .memory(MIB)
}

const WHOLE: &str = "expected the whole of a JPEG, PNG or WebP file";

#[test]
fn other_formats_are_named() {
    judge(vec![
        foreign("F1", b"", "an empty file"),
        foreign("F2", b"A picture of a cat.\nIt sleeps.\n", "plain text"),
        foreign("F3", b"<!DOCTYPE html>\n<html><body>404</body></html>", "a web page (HTML)"),
        foreign("F4", b"<?xml version='1.0'?>\n<svg><image href='file:///etc/passwd'/></svg>", "an SVG drawing"),
        foreign("F5", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "a PDF file"),
        foreign("F5", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n", "a PostScript file (PS or EPS)"),
        foreign("F5", b"\xc5\xd0\xd3\xc6\x1e\0\0\0", "a PostScript file (PS or EPS)"),
        foreign("F36", b"GIF89a\xff\xff\xff\xff\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\x01\0\x01\0\0\x02", "a GIF file"),
        foreign("F36", b"GIF87a", "a GIF file"),
        foreign("F36", b"GIF89a\x01\0\x01\0\0\0\0;", "a GIF file"),
        row("F36", "a GIF of 10,000 frames", frames_of_gif, |b| Picture::decode(&b).map(|p| shown(&p)))
            .fails(Image, &["this is a GIF file"])
            .memory(MIB),
        foreign("F38", b"BM\x36\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\xff\xff\xff\x7f\x01\0\0\x80", "a BMP file"),
        // A list of entries that points to itself, tiles, several pages: all not looked at.
        foreign("F39", b"II*\0\x08\0\0\0\x01\0\0\x01\x03\0\x01\0\0\0\x01\0\0\0\x08\0\0\0", "a TIFF file"),
        foreign("F39", b"MM\0*\0\0\0\x08\xff\xff", "a TIFF file"),
        foreign("F39", b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf", "an AVIF file"),
        foreign("F39", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "a HEIC file"),
        foreign("F39", b"\0\0\x01\0\x01\0\x10\x10\0\0\x01\0\x20\0", "a Windows icon (ICO)"),
        foreign("F39", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", "a git-lfs pointer"),
        decode("F39", "bytes of no kind", || vec![0x93, 1, 2, 3])
            .fails(Image, &["[93 01 02 03] are no known picture", WHOLE]),
    ]);
}

fn frames_of_gif() -> Vec<u8> {
    let frame = b",\0\0\0\0\x01\0\x01\0\0\x02\x02L\x01\0";
    [&b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff"[..], &frame.repeat(10_000), b";"].concat()
}

/// A PNG of 4 by 3 pixels whose data is `rows`.
fn small(rows: &[u8]) -> Vec<u8> {
    png::file(&[ihdr(4, 3, 8, RGB), png::idat(rows), iend()])
}

#[test]
fn damaged_pngs_are_refused_and_harmless_damage_is_not() {
    let rows = |n: usize| [&[0][..], &[9; 12]].concat().repeat(n);
    judge(vec![
        decode("F6", "the signature alone", || png::SIGNATURE.to_vec()).fails(Image, &["a PNG that is cut off", WHOLE]),
        decode("F7", "half of the file", || {
            let whole = png::varied(60, 40);
            whole[..whole.len() / 2].to_vec()
        })
        .fails(Image, &["a PNG that is damaged or cut off", WHOLE]),
        decode("F8", "fewer rows than the header says", move || small(&rows(2)))
            .fails(Image, &["a PNG that is damaged or cut off", WHOLE]),
        decode("F9", "more rows than the header says", move || small(&rows(9))).works(&["4 x 3 [[9, 9, 9]"]),
        decode("F10", "data that is not compressed", || {
            png::file(&[ihdr(4, 3, 8, RGB), (b"IDAT", vec![9; 60]), iend()])
        })
        .fails(Image, &["a PNG that is damaged or cut off", WHOLE]),
        decode("F10", "compressed data with a flipped bit", move || {
            let mut data = png::zlib(&rows(3));
            data[4] ^= 0x40;
            png::file(&[ihdr(4, 3, 8, RGB), (b"IDAT", data), iend()])
        })
        .fails(Image, &["a PNG that is damaged or cut off", WHOLE]),
        decode("F11", "a wrong checksum of the header", || {
            let mut bytes = png::varied(4, 3);
            bytes[29] ^= 1;
            bytes
        })
        .fails(Image, &["a PNG that is damaged or cut off", "CRC", WHOLE]),
        decode("F12", "a wrong checksum of the end", || {
            let mut bytes = png::varied(4, 3);
            *bytes.last_mut().unwrap() ^= 1;
            bytes
        })
        .works(&["4 x 3 [[0, 0, 0], [7, 0, 0]"]),
        decode("F13", "a filter that there is not", || small(&[&[5][..], &[9; 12]].concat().repeat(3)))
            .fails(Image, &["a PNG that is damaged or cut off", WHOLE]),
        decode("F14", "width 0", || png::file(&[ihdr(0, 3, 8, RGB), png::idat(&[]), iend()]))
            .fails(Image, &["0 x 3 pixels are no picture"]),
        decode("F14", "height 0", || png::file(&[ihdr(3, 0, 8, RGB), png::idat(&[]), iend()]))
            .fails(Image, &["3 x 0 pixels are no picture"]),
        decode("F14", "no header first", || png::file(&[png::idat(&[0; 9]), ihdr(3, 3, 8, RGB), iend()]))
            .fails(Image, &["does not begin with its header", WHOLE]),
    ]);
}

/// Refused by what the header claims, before anything of that size is reserved.
fn bomb(number: &'static str, what: &str, parts: &[&str], make: impl FnOnce() -> Vec<u8> + 'static) -> Row {
    decode(number, what, make).fails(Image, &[parts, &["make the picture smaller"]].concat()).memory(MIB)
}

/// A PNG of zeros.
fn zeros(width: u32, height: u32, depth: u8) -> Vec<u8> {
    let row = 1 + (width as usize * usize::from(depth)).div_ceil(8);
    png::file(&[ihdr(width, height, depth, GREY), (b"IDAT", png::zlib_zeros(row * height as usize)), iend()])
}

#[test]
fn small_files_of_large_pictures_cost_nothing() {
    let header = |w, h| move || png::file(&[ihdr(w, h, 8, RGB), png::idat(&[0; 9]), iend()]);
    judge(vec![
        bomb("F15", "65535 x 65535", &["65535 x 65535 pixels are more than 178956970"], header(65535, 65535)),
        bomb("F16", "2^31 x 1", &["2147483648 x 1 pixels are more than"], header(1 << 31, 1)),
        bomb("F16", "2^32 - 1 squared", &["4294967295 x 4294967295 pixels"], header(u32::MAX, u32::MAX)),
        row(
            "F17",
            "12000 x 12000 where 40 million are granted",
            || zeros(12000, 12000, 1),
            |bytes| Picture::decode_within(&bytes, GRANTED).map(|p| shown(&p)),
        )
        .fails(Image, &["12000 x 12000 pixels are more than 40000000", "make the picture smaller"])
        .memory(MIB),
        row(
            "F17",
            "20 x 10 where 199 are granted",
            || png::varied(20, 10),
            |bytes| Picture::decode_within(&bytes, 199).map(|p| shown(&p)),
        )
        .fails(Image, &["20 x 10 pixels are more than 199"]),
        row(
            "F17",
            "20 x 10 where 200 are granted",
            || png::varied(20, 10),
            |bytes| Picture::decode_within(&bytes, 200).map(|p| shown(&p)),
        )
        .works(&["20 x 10"]),
        // Allowed without a grant, as Pillow allows it: one byte a pixel from the file, three of the picture, twice that
        // while a list of them becomes shared.
        decode("F17", "12000 x 12000 from a file of one's own", || zeros(12000, 12000, 1))
            .works(&["12000 x 12000 [[0, 0, 0]"])
            .memory(1024 * MIB)
            .seconds(60),
        bomb("F18", "30000 x 30000 grey", &["30000 x 30000 pixels are more than"], || zeros(30000, 30000, 1)),
        bomb("F19", "60000 x 60000 of one bit", &["60000 x 60000 pixels are more than"], || zeros(60000, 60000, 1)),
        bomb("F32", "a JPEG that claims 65500 x 65500", &["65500 x 65500 pixels are more than"], || {
            jpeg::with_sides(&jpeg::encoded(61, 47), 65500, 65500)
        }),
        bomb("F37", "a lossless WebP of 16383 x 16383", &["16383 x 16383 pixels are more than"], || {
            webp::file(&[webp::part(b"VP8L", &webp::lossless_header(16383, 16383))])
        }),
    ]);
}

#[test]
fn what_else_a_png_holds_is_stepped_over() {
    let with = |extra: Vec<(&'static [u8; 4], Vec<u8>)>| {
        let mut chunks = vec![ihdr(1, 1, 8, RGB)];
        chunks.extend(extra);
        chunks.extend([png::idat(&[0, 1, 2, 3]), iend()]);
        png::file(&chunks)
    };
    let packed = |start: &[u8]| [start, &png::zlib_zeros(200 << 20)].concat();
    judge(vec![
        decode("F22", "a colour profile that unpacks to 200 MiB", move || with(vec![(b"iCCP", packed(b"p\0\0"))]))
            .works(&["1 x 1 [[1, 2, 3]]"])
            .memory(MIB),
        decode("F23", "texts that unpack to 200 MiB", move || {
            let text = packed(b"k\0\0");
            let international = [&b"k\0\x01\0\0\0"[..], &text[3..]].concat();
            with(vec![(b"zTXt", text), (b"iTXt", international)])
        })
        .works(&["1 x 1 [[1, 2, 3]]"])
        .memory(MIB),
        decode("F23", "a text of 100 MiB", move || {
            with(vec![(b"tEXt", [&b"k\0"[..], &vec![b'x'; 100 << 20]].concat())])
        })
        .works(&["1 x 1 [[1, 2, 3]]"])
        .memory(MIB),
        decode("F24", "an animation of 10,000 frames", frames_of_png).works(&["1 x 1 [[1, 2, 3]]"]).memory(MIB),
        decode("F34", "something after the end", || [png::varied(4, 3), b"PK\x03\x04 and more".to_vec()].concat())
            .works(&["4 x 3 [[0, 0, 0], [7, 0, 0]"]),
    ]);
}

fn frames_of_png() -> Vec<u8> {
    let control = |n: u32| {
        [&n.to_be_bytes()[..], &1u32.to_be_bytes(), &1u32.to_be_bytes(), &[0; 8], &[0, 1, 0, 10, 0, 0]].concat()
    };
    let mut out = png::file(&[
        ihdr(1, 1, 8, RGB),
        (b"acTL", [&10_000u32.to_be_bytes()[..], &[0; 4]].concat()),
        (b"fcTL", control(0)),
        png::idat(&[0, 1, 2, 3]),
    ]);
    let other = png::zlib(&[0, 9, 9, 9]);
    for i in 1..10_000u32 {
        out.extend(chunk(b"fcTL", &control(2 * i - 1)));
        out.extend(chunk(b"fdAT", &[&(2 * i).to_be_bytes()[..], &other].concat()));
    }
    out.extend(chunk(b"IEND", &[]));
    out
}

#[test]
fn colours_of_every_kind_become_eight_bits_over_white() {
    let palette = |entry: u8, alpha: Vec<u8>| {
        png::file(&[
            ihdr(1, 1, 8, PALETTE),
            (b"PLTE", vec![1, 2, 3, 40, 50, 60]),
            (b"tRNS", alpha),
            png::idat(&[0, entry]),
            iend(),
        ])
    };
    judge(vec![
        decode("F25", "16 bits of colour lose their low byte", || {
            png::plain(1, 1, 16, RGB, &[0x12, 0xff, 0xff, 0, 0, 0xff])
        })
        .works(&["1 x 1 [[18, 255, 0]]"]),
        decode("F25", "16 bits of grey are scaled", || png::plain(1, 1, 16, GREY, &(257u16 * 100).to_be_bytes()))
            .works(&["1 x 1 [[100, 100, 100]]"]),
        decode("F25", "16 bits half transparent", || png::plain(1, 1, 16, RGBA, &[0, 0, 0xff, 0xff, 0, 0, 0x80, 0]))
            .works(&["1 x 1 [[127, 255, 127]]"]),
        decode("F26", "a palette", move || palette(1, vec![255, 255])).works(&["1 x 1 [[40, 50, 60]]"]),
        decode("F26", "a palette whose colour is transparent", move || palette(1, vec![255, 0]))
            .works(&["1 x 1 [[255, 255, 255]]"]),
        decode("F26", "a palette without that entry", move || palette(9, vec![255])).works(&["1 x 1 [[0, 0, 0]]"]),
        decode("F26", "a palette that is not there", || {
            png::file(&[ihdr(1, 1, 8, PALETTE), png::idat(&[0, 1]), iend()])
        })
        .fails(Image, &["a PNG that is damaged or cut off", WHOLE]),
        decode("F27", "transparency", || png::plain(1, 1, 8, RGBA, &[0, 255, 0, 0x80]))
            .works(&["1 x 1 [[127, 255, 127]]"]),
        decode("F28", "transparent grey", || png::plain(1, 1, 8, GREY_ALPHA, &[9, 0]))
            .works(&["1 x 1 [[255, 255, 255]]"]),
        decode("F28", "16 bits of transparent grey", || png::plain(1, 1, 16, GREY_ALPHA, &[9, 9, 0, 0]))
            .works(&["1 x 1 [[255, 255, 255]]"]),
        decode("F29", "four inks", || cmyk(None)).works(&["35 x 19 [[124, 248, 0], [169, 243, 0]"]),
        decode("F29", "four inks as brightness and two colours", || cmyk(Some(2)))
            .works(&["35 x 19 [[255, 81, 0], [255, 34, 0]"]),
    ]);
}

/// The JPEG of four inks that the parity tests compare with libjpeg, with another colour transform in Adobe's marker.
fn cmyk(transform: Option<u8>) -> Vec<u8> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/jpeg/cmyk.jpg");
    let mut bytes = std::fs::read(path).unwrap();
    let at = bytes.windows(5).position(|w| w == b"Adobe").unwrap();
    if let Some(transform) = transform {
        bytes[at + 11] = transform;
    }
    bytes
}

#[test]
fn jpegs_that_waste_time_or_claim_nonsense_are_refused() {
    judge(vec![
        decode("F30", "ten scans", || jpeg::progressive(64, 64, 9)).works(&["64 x 64 [[128, 128, 128]"]),
        decode("F30", "1000 scans", || jpeg::progressive(64, 64, 999))
            .fails(Image, &["more than 500 scans", "waste time"])
            .memory(MIB),
        decode("F30", "400 scans of 4000 x 4000", || jpeg::progressive(4000, 4000, 399))
            .fails(Image, &["a JPEG of 4000 x 4000 pixels whose scans go over more than", "waste time"]),
        decode("F31", "half of the file", || {
            let whole = jpeg::encoded(61, 47);
            whole[..whole.len() / 2].to_vec()
        })
        .fails(Image, &["a JPEG that is cut off", WHOLE]),
        decode("F33", "height 0", || jpeg::with_sides(&jpeg::encoded(61, 47), 61, 0))
            .fails(Image, &["a JPEG of 61 x 0 pixels", WHOLE]),
        decode("F33", "a header and nothing else", || jpeg::header_only(8000, 8000))
            .fails(Image, &["a JPEG that is cut off", WHOLE])
            .memory(200 * MIB),
        decode("F34", "something after the end", || [jpeg::encoded(61, 47), b"PK\x03\x04 and more".to_vec()].concat())
            .works(&["61 x 47"]),
        decode("F34", "a web page in a comment", || {
            jpeg::with_segment(&jpeg::encoded(61, 47), 0xfe, b"<html><script>alert(1)</script></html>")
        })
        .works(&["61 x 47"]),
    ]);
}

#[test]
fn webps_that_lie_are_refused_before_anything_is_reserved() {
    let lossless = |w, h| webp::part(b"VP8L", &webp::lossless(w, h));
    judge(vec![
        decode("F37", "a whole file", move || webp::file(&[lossless(3, 2)])).works(&["3 x 2 [[0, 0, 7], [40, 0, 7]"]),
        decode("F37", "half of it", move || {
            let whole = webp::file(&[lossless(30, 20)]);
            whole[..whole.len() / 2].to_vec()
        })
        .fails(Image, &["a WebP that is cut off: it claims", WHOLE]),
        decode("F37", "a container that claims 4 GiB", move || {
            let mut bytes = webp::file(&[lossless(3, 2)]);
            bytes[4..8].fill(0xff);
            bytes
        })
        .fails(Image, &["a WebP that is cut off: it claims 4294967303 bytes", WHOLE])
        .memory(MIB),
        decode("F37", "a container that claims less", move || {
            let mut bytes = webp::file(&[lossless(3, 2)]);
            bytes[4..8].copy_from_slice(&12u32.to_le_bytes());
            bytes
        })
        .fails(Image, &["\"VP8L\" claims", WHOLE]),
        decode("F34", "something after the end", move || {
            [webp::file(&[lossless(3, 2)]), b"EXIF\xff\xff\xff\xff".to_vec()].concat()
        })
        .works(&["3 x 2"]),
        decode("F37", "a part that claims 4 GiB", move || {
            let exif = webp::claiming(b"EXIF", u32::MAX, &[0; 8]);
            webp::file(&[webp::extended(8, 3, 2), lossless(3, 2), exif])
        })
        .fails(Image, &["part \"EXIF\" claims 4294967295 bytes", WHOLE])
        .memory(MIB),
        decode("F37", "no picture", || webp::file(&[webp::extended(0, 3, 2)]))
            .fails(Image, &["a WebP without a picture", WHOLE]),
        decode("F37", "a picture of 16383 x 16383 on a canvas of 3 x 2", || {
            webp::file(&[webp::extended(0, 3, 2), webp::part(b"VP8 ", &webp::lossy_header(16383, 16383))])
        })
        .fails(Image, &["claims 3 x 2 pixels for a picture of 16383 x 16383", WHOLE])
        .memory(MIB),
        decode("F37", "an animation: its first frame", move || {
            let frames = vec![webp::animated(3, 2, &lossless(3, 2)); 1000];
            webp::file(&[vec![webp::extended(2, 3, 2), webp::animation()], frames].concat())
        })
        .works(&["3 x 2 [[0, 0, 7], [40, 0, 7]"])
        .memory(MIB),
        decode("F37", "a frame of 16383 x 16383 that claims 3 x 2", || {
            let frame = webp::animated(3, 2, &webp::part(b"VP8 ", &webp::lossy_header(16383, 16383)));
            webp::file(&[webp::extended(2, 3, 2), webp::animation(), frame])
        })
        .fails(Image, &["claims 3 x 2 pixels for a picture of 16383 x 16383", WHOLE])
        .memory(MIB),
        decode("F37", "a frame without a picture", || {
            webp::file(&[webp::extended(2, 3, 2), webp::animation(), webp::animated(3, 2, &[])])
        })
        .fails(Image, &["a WebP whose part ANMF is broken", WHOLE]),
        decode("F37", "pixels that are not there", || webp::file(&[webp::part(b"VP8L", &webp::lossless_header(3, 2))]))
            .fails(Image, &["a WebP that is damaged or cut off", WHOLE]),
    ]);
}

#[test]
fn many_pictures_together_have_a_bound() {
    let limits = PictureLimits { pixels: GRANTED, total_pixels: GRANTED };
    let load = move |images: Vec<ImageRef>| limits.load(&images).map(|p| format!("{} pictures", p.len()));
    let many = |n: usize, width: u32, height: u32| {
        move || -> Vec<ImageRef> { vec![ImageRef::Bytes(zeros(width, height, 1).into()); n] }
    };
    judge(vec![
        row("F40", "20 pictures of 2 million pixels where 40 million are granted", many(20, 2000, 1000), load)
            .works(&["20 pictures"])
            .memory(200 * MIB),
        row("F40", "20 pictures of 3 million pixels", many(20, 2000, 1500), load)
            .fails(
                Image,
                &["14 pictures together have 42000000 pixels, more than 40000000", "picture: 13", "fewer pictures"],
            )
            .memory(MIB),
        row(
            "F40",
            "one of them no picture",
            move || {
                let mut all = many(3, 20, 10)();
                all[1] = ImageRef::Bytes((*b"GIF89a").into());
                all
            },
            load,
        )
        .fails(Image, &["this is a GIF file", "picture: 1"]),
        row(
            "F40",
            "one of them too large by itself",
            || vec![ImageRef::Bytes(png::file(&[ihdr(1 << 20, 1 << 20, 8, RGB)]).into())],
            load,
        )
        .fails(Image, &["1048576 x 1048576 pixels are more than 40000000", "picture: 0"])
        .memory(MIB),
    ]);
}
