//! Pictures as vision towers read them.

use crate::{Error, ErrorKind, Result, Tensor};

/// Pictures of a batch as a family's processor made them, one after the other in the order of their placeholders.
///
/// What else a family must know of its pictures stands beside the values; lists that it does not need are empty.
#[derive(Clone, Debug)]
pub struct Images {
    /// The values. CLIP, SigLIP, LLaVA, PaliGemma, Gemma 3: `[pictures, 3, height, width]`. Families that cut pictures into
    /// tiles: `[tiles of all pictures, 3, height, width]`. Qwen: `[patches, 3 · frames · side · side]`. SigLIP 2:
    /// `[pictures, patches, side · side · 3]`.
    pub pixel_values: Tensor,
    /// Tiles of each picture.
    pub tiles: Vec<usize>,
    /// Frames, rows and columns of patches of each picture (`image_grid_thw`; SigLIP 2: `spatial_shapes`, one frame).
    pub grid: Vec<[usize; 3]>,
    /// Height and width of each picture before resizing.
    pub sizes: Vec<[usize; 2]>,
    /// Pictures of each row of the batch.
    pub per_row: Vec<usize>,
}

impl Images {
    /// Pictures without anything beside their values.
    pub fn new(pixel_values: Tensor) -> Self {
        Images { pixel_values, tiles: Vec::new(), grid: Vec::new(), sizes: Vec::new(), per_row: Vec::new() }
    }

    /// The number of pictures, by what `of` tells of each (`grid`, `sizes` or `tiles`).
    ///
    /// # Errors
    /// [`ErrorKind::Data`] naming `what` if it is empty: the pictures come from another family's processor.
    pub fn need<'a, T>(&self, what: &str, of: &'a [T]) -> Result<&'a [T]> {
        if !of.is_empty() {
            return Ok(of);
        }
        let message = format!("the pictures {} come without {what}", self.pixel_values.shape());
        Err(Error::new(ErrorKind::Data, "pictures", message).hint("prepare them with the model's own processor"))
    }
}

impl From<Tensor> for Images {
    fn from(pixel_values: Tensor) -> Self {
        Images::new(pixel_values)
    }
}
