//! What is accepted is a whole picture within the bound, of the sides that its header says, and can be processed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vlm_core::vision::{ImageProcessor, Picture};

const MAX_PIXELS: u64 = 1 << 20;

fuzz_target!(|bytes: &[u8]| {
    let sides = Picture::dimensions(bytes);
    let Ok(picture) = Picture::decode_within(bytes, MAX_PIXELS) else { return };
    // What the header says is what comes out, turned or not.
    let (width, height) = sides.expect("the header of a whole picture");
    let found = (picture.width() as u64, picture.height() as u64);
    assert!(found == (width, height) || found == (height, width));
    let pixels = picture.width() * picture.height();
    assert!((1..=MAX_PIXELS as usize).contains(&pixels));
    assert_eq!(picture.rgb().len(), 3 * pixels);
    let values = ImageProcessor::clip(16).process(&[picture]).expect("any picture has a middle");
    assert!(values.data.iter().all(|v| v.is_finite()));
});
