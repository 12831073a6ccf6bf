//! A processor that is accepted takes a picture to finite numbers of the shape it names, or says why not.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vlm_core::vision::{ImageProcessor, Picture, QwenImageProcessor};

fuzz_target!(|bytes: &[u8]| {
    let Ok(config) = serde_json::from_slice::<serde_json::Value>(bytes) else { return };
    if let Ok(mut qwen) = QwenImageProcessor::from_config(&config) {
        qwen.pixels = qwen.pixels.map(|_| (1, 1 << 12));
        let picture = Picture::from_grey(28, 28, &[9; 28 * 28]).expect("784 pixels");
        if let Ok(patches) = qwen.process(&[picture]) {
            assert_eq!(patches.data.len(), patches.shape[0] * patches.shape[1]);
            assert_eq!(patches.grid.iter().map(|g| g[1] * g[2]).sum::<usize>(), patches.shape[0]);
        }
    }
    let Ok(mut processor) = ImageProcessor::from_config(&config) else { return };
    // Large sides are allowed but slow.
    if processor.crop.is_none_or(|(h, w)| h * w > 1 << 16) {
        processor.crop = Some((8, 8));
    }
    let picture = Picture::from_grey(5, 3, &[0, 9, 255, 7, 80, 3, 2, 1, 0, 255, 254, 1, 2, 3, 4]).expect("15 pixels");
    let Ok(values) = processor.process(&[picture]) else { return };
    assert_eq!(values.data.len(), values.shape.iter().product::<usize>());
    assert!(values.data.iter().all(|v| v.is_finite()));
});
