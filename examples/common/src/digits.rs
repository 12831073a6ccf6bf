//! Handwritten digits: 1,797 pictures of 8 x 8 pixels (Alpaydin and Kaynak 1998, CC BY 4.0; see `examples/data`).

use anyhow::{Context, Result};
use vlm_core::Device;
use vlm_core::vision::{Picture, Resample, resize};
use vlm_core::weights::WeightFiles;

/// One picture and what it shows.
#[derive(Clone, Debug)]
pub struct Digit {
    /// The picture, enlarged.
    pub picture: Picture,
    /// 0 to 9.
    pub value: usize,
}

/// The pictures, split as usual: writers of the test part are not those of the training part.
#[derive(Clone, Debug)]
pub struct Digits {
    /// The first 1,437.
    pub train: Vec<Digit>,
    /// The last 360.
    pub test: Vec<Digit>,
}

/// The file, compiled in so that the program runs from any folder.
const FILE: &[u8] = include_bytes!("../../data/digits.safetensors");
const TRAIN: usize = 1437;

impl Digits {
    /// Reads the pictures and enlarges them to `side` pixels.
    ///
    /// # Errors
    /// If the file is damaged.
    pub fn load(side: usize) -> Result<Self> {
        let dir = std::env::temp_dir().join(format!("vlm-digits-{}.safetensors", std::process::id()));
        std::fs::write(&dir, FILE).context("unpacking the digits")?;
        let files = WeightFiles::open(&dir);
        let loaded = files.and_then(|f| {
            Ok((
                f.tensor("images", &Device::reference())?.to_vec::<u8>()?,
                f.tensor("labels", &Device::reference())?.to_vec::<i64>()?,
            ))
        });
        let _ = std::fs::remove_file(&dir);
        let (pixels, labels) = loaded?;
        let digit = |(grey, label): (&[u8], &i64)| -> Result<Digit> {
            // Ink is 0 to 16 on white paper; shown as white on black, as the pictures were scanned.
            let grey: Vec<u8> = grey.iter().map(|&v| (f32::from(v) * 15.9375) as u8).collect();
            let picture = resize(&Picture::from_grey(8, 8, &grey)?, side, side, Resample::Bicubic)?;
            Ok(Digit { picture, value: *label as usize })
        };
        let mut train: Vec<Digit> = pixels.chunks(64).zip(&labels).map(digit).collect::<Result<_>>()?;
        let test = train.split_off(TRAIN);
        Ok(Digits { train, test })
    }
}
