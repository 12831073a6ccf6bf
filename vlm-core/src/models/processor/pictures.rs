//! Pictures on the host.

use crate::models::Images;
use crate::{DType, Device, Result, Tensor};

/// Pictures as a family's processor made them, before they go to a device. The lists are those of [`Images`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pictures {
    /// The values, contiguous.
    pub data: Vec<f32>,
    /// Their sizes, as [`Images::pixel_values`] says.
    pub shape: Vec<usize>,
    /// Tiles of each picture.
    pub tiles: Vec<usize>,
    /// Rows and columns of tiles of each picture, (0, 0) where there is only the whole (Idefics3).
    pub tile_grid: Vec<[usize; 2]>,
    /// Frames, rows and columns of patches of each picture.
    pub grid: Vec<[usize; 3]>,
    /// Height and width of each picture before resizing.
    pub sizes: Vec<[usize; 2]>,
    /// Pictures of each row of the batch.
    pub per_row: Vec<usize>,
}

impl Pictures {
    /// The pictures on a device.
    ///
    /// # Errors
    /// Those of the device.
    pub fn to_images(&self, dtype: DType, device: &Device) -> Result<Images> {
        Ok(Images {
            pixel_values: Tensor::from_slice(&self.data, self.shape.as_slice(), device)?.to_dtype(dtype)?,
            tiles: self.tiles.clone(),
            grid: self.grid.clone(),
            sizes: self.sizes.clone(),
            per_row: self.per_row.clone(),
        })
    }
}
