//! Pictures of noise as a family's vision tower reads them, without a processor.

use anyhow::{Context, Result};
use vlm_core::backend::RandomKey;
use vlm_core::models::{Images, VisionLanguageModel};
use vlm_core::{DType, Tensor};

/// Side of a picture for families that take any.
const SIDE: usize = 448;

/// `n` pictures of the size that the model's tower wants; each one tile.
///
/// # Errors
/// If `config.json` does not say how large pictures or patches are.
pub fn noise(model: &dyn VisionLanguageModel, n: usize, dtype: DType) -> Result<Images> {
    let vision = &model.config()["vision_config"];
    let number = |key: &str| vision[key].as_u64().map(|n| n as usize);
    let random = |shape: &[usize]| Tensor::randn(shape, RandomKey { seed: 2, stream: 0 }, dtype, model.device());
    let kind = model.config()["model_type"].as_str().unwrap_or_default().to_owned();
    if kind.starts_with("qwen") {
        let patch = number("patch_size").or(number("spatial_patch_size")).context("vision_config has no patch_size")?;
        let (merge, frames) = (number("spatial_merge_size").unwrap_or(2), number("temporal_patch_size").unwrap_or(2));
        let side = SIDE / (patch * merge) * merge;
        let pixels = random(&[n * side * side, 3 * frames * patch * patch])?;
        return Ok(Images { grid: vec![[1, side, side]; n], per_row: vec![n], ..Images::new(pixels) });
    }
    // InternVL writes height and width.
    let side = number("image_size").or(vision["image_size"][0].as_u64().map(|n| n as usize));
    let side = side.context("config.json has no vision_config.image_size")?;
    let pixels = random(&[n, 3, side, side])?;
    Ok(Images { tiles: vec![1; n], sizes: vec![[side, side]; n], per_row: vec![n], ..Images::new(pixels) })
}
