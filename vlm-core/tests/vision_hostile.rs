//! Bytes that claim to be pictures, cut at every byte and damaged at random. Case by case they are in `bad_pictures`.
#![cfg(feature = "image-formats")]

use std::sync::Arc;
use vlm_core::ErrorKind;
use vlm_core::data::{ImageRef, Sample};
use vlm_core::vision::Picture;

fn png(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let image = image::RgbImage::from_fn(width, height, |x, y| image::Rgb([x as u8, y as u8, 7]));
    image.write_to(&mut std::io::Cursor::new(&mut bytes), image::ImageFormat::Png).unwrap();
    bytes
}

#[test]
fn cut_damaged_and_foreign_bytes_are_errors() {
    let whole = png(20, 10);
    assert_eq!(Picture::decode(&whole).unwrap().width(), 20);
    for len in 0..whole.len() {
        // A PNG without its last chunk may still be whole.
        if let Err(e) = Picture::decode(&whole[..len]) {
            assert_eq!(e.kind(), ErrorKind::Image, "{len}: {e}");
            assert!(e.to_string().contains("JPEG, PNG or WebP"), "{e}");
        } else {
            assert!(len + 12 >= whole.len(), "{len} of {} bytes passed", whole.len());
        }
    }
}

#[test]
fn a_jpeg_that_ends_early_is_refused_and_what_follows_its_end_is_not_looked_at() {
    let image = image::RgbImage::from_fn(61, 47, |x, y| image::Rgb([(x * 4) as u8, (y * 5) as u8, (x * y) as u8]));
    let mut whole = Vec::new();
    image.write_to(&mut std::io::Cursor::new(&mut whole), image::ImageFormat::Jpeg).unwrap();
    let picture = Picture::decode(&whole).unwrap();
    for len in 0..whole.len() {
        let e = Picture::decode(&whole[..len]).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Image, "{len}: {e}");
    }
    let e = Picture::decode(&whole[..whole.len() / 2]).unwrap_err().to_string();
    assert!(e.contains("cut off"), "{e}");
    // A preview inside a segment has an end mark, which is not the picture's.
    let mut preview = vec![0xff, 0xd8, 0xff, 0xe5, 0, 4, 0xff, 0xd9];
    preview.extend(&whole[2..whole.len() - 2]);
    assert!(Picture::decode(&preview).unwrap_err().to_string().contains("cut off"));
    whole.extend(b"PK and more");
    assert_eq!(Picture::decode(&whole).unwrap(), picture);
}

#[test]
fn damaged_bytes_are_an_error_or_a_picture() {
    let picture = image::RgbImage::from_fn(23, 19, |x, y| image::Rgb([(x * 9) as u8, (y * 11) as u8, (x * y) as u8]));
    for format in [image::ImageFormat::Png, image::ImageFormat::Jpeg, image::ImageFormat::WebP] {
        let mut whole = Vec::new();
        picture.write_to(&mut std::io::Cursor::new(&mut whole), format).unwrap();
        let mut seed = 12345u32;
        for _ in 0..400 {
            let mut bytes = whole.clone();
            for _ in 0..3 {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let at = (seed >> 8) as usize % bytes.len();
                bytes[at] = seed as u8;
            }
            match Picture::decode_within(&bytes, 1 << 20) {
                Ok(p) => assert!(p.width() * p.height() <= 1 << 20),
                Err(e) => assert_eq!(e.kind(), ErrorKind::Image, "{format:?}: {e}"),
            }
        }
    }
}

#[test]
fn references_to_pictures_are_opened_and_failures_name_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.png");
    std::fs::write(&path, png(3, 2)).unwrap();
    let from_file = Picture::load(&ImageRef::Path(path.clone())).unwrap();
    assert_eq!(Picture::load(&ImageRef::Bytes(png(3, 2).into())).unwrap(), from_file);
    let raw = ImageRef::Raw { width: 3, height: 2, rgb: Arc::from(from_file.rgb()) };
    assert_eq!(Picture::load(&raw).unwrap(), from_file);
    let e = Picture::load(&ImageRef::Path(dir.path().join("b.png"))).unwrap_err().to_string();
    assert!(e.contains("b.png"), "{e}");
    std::fs::write(&path, b"no picture").unwrap();
    let e = Picture::load(&ImageRef::Path(path)).unwrap_err().to_string();
    assert!(e.contains("a.png") && e.contains("no known picture"), "{e}");
    let e = Picture::load(&ImageRef::Raw { width: 3, height: 3, rgb: Arc::from([0u8; 4]) }).unwrap_err().to_string();
    assert!(e.contains("need 27 bytes, found 4"), "{e}");
    let images = vec![ImageRef::Bytes(png(3, 2).into()), ImageRef::Bytes(Arc::from(*b"RIFF"))];
    let row = Sample { id: "data.jsonl:12".to_owned(), messages: Vec::new(), images };
    let e = row.pictures().unwrap_err().to_string();
    assert!(e.contains("row: data.jsonl:12") && e.contains("picture: 1"), "{e}");
    assert_eq!(Sample { images: row.images[..1].to_vec(), ..row }.pictures().unwrap(), [from_file]);
}
