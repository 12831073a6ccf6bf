//! The vision tower.

use crate::models::siglip::SiglipVisionConfig;
use crate::nn::{Builder, EncoderLayer, Init, LayerNorm, Linear, Param, resize_bilinear_antialiased};
use crate::tensor::AttentionOptions;
use crate::{DType, Error, ErrorKind, Result, Tensor};
use std::sync::Arc;

/// Rows of patches, filled up to one length, with a square table of positions resized to each picture's shape.
#[derive(Debug)]
pub struct NaflexVision {
    patches: Arc<Linear>,
    positions: Param,
    /// Rows and columns of the table.
    side: usize,
    layers: Vec<EncoderLayer>,
    post_norm: LayerNorm,
}

impl NaflexVision {
    /// Builds the tower at the builder's path, which Hugging Face calls `vision_model`, with a table of `positions`.
    ///
    /// # Errors
    /// Those of the source.
    pub fn new(b: &Builder, c: &SiglipVisionConfig, positions: usize) -> Result<Self> {
        let (d, std, e, layer) = (c.hidden_size, c.initializer_range, b.at("embeddings"), c.layer());
        let values = c.num_channels * c.patch_size * c.patch_size;
        let layers = (0..c.num_hidden_layers).map(|i| EncoderLayer::new(&b.at("encoder").at("layers").at(i), &layer));
        Ok(NaflexVision {
            patches: Linear::new(&e.at("patch_embedding"), values, d, true, std)?,
            positions: e.at("position_embedding").parameter("weight", [positions, d], Init::Normal { std })?,
            side: positions.isqrt(),
            layers: layers.collect::<Result<_>>()?,
            post_norm: LayerNorm::new(&b.at("post_layernorm"), d, c.layer_norm_eps)?,
        })
    }

    /// The hidden states after the last norm, `[pictures, patches, hidden]`, and the mask of what is no padding
    /// `[pictures, 1, 1, patches]`, for patches `[pictures, patches, side · side · 3]` and the rows and columns of each
    /// picture (behind one frame).
    ///
    /// # Errors
    /// [`ErrorKind::Data`] if a picture has more patches than there is room for.
    pub fn forward(&self, pixels: &Tensor, grid: &[[usize; 3]]) -> Result<(Tensor, Tensor)> {
        let [n, room, _] = pixels.dims()?;
        if grid.len() != n || grid.iter().any(|[_, h, w]| h * w == 0 || h * w > room) {
            let message = format!("{} does not hold pictures of these rows and columns: {grid:?}", pixels.shape());
            return Err(
                Error::new(ErrorKind::Data, "vision tower", message).hint("prepare them with the model's processor")
            );
        }
        let table = self.positions.tensor()?.to_dtype(DType::F32)?;
        let d = table.size(1)?;
        let table = table.reshape([self.side, self.side, d])?;
        let (mut places, mut mask) = (Vec::with_capacity(n), Vec::with_capacity(n * room));
        for [_, h, w] in grid {
            let own = resize_bilinear_antialiased(&table, *h, *w)?.reshape([h * w, d])?;
            mask.extend((0..room).map(|i| i < h * w));
            // Padding gets the first position.
            let rest = own.narrow(0, 0, 1)?.broadcast_to([room - h * w, d])?;
            places.push(if room > h * w { Tensor::cat(&[own, rest], 0)? } else { own });
        }
        let mut x = self.patches.forward(pixels)?;
        x = (&x + Tensor::stack(&places, 0)?.to_dtype(x.dtype())?)?;
        let mask = Tensor::from_slice(&mask, [n, 1, 1, room], x.device())?;
        let options = AttentionOptions { mask: Some(mask.clone()), ..AttentionOptions::default() };
        for layer in &self.layers {
            x = layer.forward(&x, &options)?;
        }
        Ok((self.post_norm.forward(&x)?, mask))
    }
}
