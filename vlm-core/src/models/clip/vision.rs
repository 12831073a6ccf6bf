//! The vision transformer.

use super::ClipVisionConfig;
use crate::nn::{Builder, EncoderLayer, Init, LayerNorm, Param, PatchEmbedding, show};
use crate::tensor::AttentionOptions;
use crate::{Error, ErrorKind, Result, Tensor};

/// Patches and a class token through pre-norm transformer layers.
#[derive(Debug)]
pub struct ClipVision {
    config: ClipVisionConfig,
    class: Param,
    patches: PatchEmbedding,
    positions: Param,
    pre_norm: LayerNorm,
    layers: Vec<EncoderLayer>,
    post_norm: LayerNorm,
}

impl ClipVision {
    /// Builds the transformer at the builder's path, which Hugging Face calls `vision_model`.
    ///
    /// # Errors
    /// Those of the configuration and of the source.
    pub fn new(b: &Builder, c: &ClipVisionConfig) -> Result<Self> {
        c.check()?;
        let (d, std) = (c.hidden_size, c.initializer_range);
        let e = b.at("embeddings");
        let layer = c.layer();
        let layers = (0..c.num_hidden_layers).map(|i| EncoderLayer::new(&b.at("encoder").at("layers").at(i), &layer));
        Ok(ClipVision {
            class: e.parameter("class_embedding", [d], Init::Normal { std })?,
            patches: PatchEmbedding::new(&e.at("patch_embedding"), c.num_channels, c.patch_size, d, false, std)?,
            positions: e.at("position_embedding").parameter("weight", [c.patches() + 1, d], Init::Normal { std })?,
            // The name is misspelt in the published weights.
            pre_norm: LayerNorm::new(&b.at("pre_layrnorm"), d, c.layer_norm_eps)?,
            layers: layers.collect::<Result<_>>()?,
            post_norm: LayerNorm::new(&b.at("post_layernorm"), d, c.layer_norm_eps)?,
            config: c.clone(),
        })
    }

    /// The hidden states after `layers` layers, `[n, 1 + patches, hidden]`, for pictures `[n, channels, size, size]`.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] for pictures of another size.
    pub fn hidden_states(&self, pixels: &Tensor, layers: usize) -> Result<Tensor> {
        Ok(self.hidden_states_at(pixels, &[layers])?.swap_remove(0))
    }

    /// As above, after each of several numbers of layers; more than there are count as all.
    ///
    /// # Errors
    /// As above.
    pub fn hidden_states_at(&self, pixels: &Tensor, at: &[usize]) -> Result<Vec<Tensor>> {
        let c = &self.config;
        let [n, channels, h, w] = pixels.dims()?;
        if (channels, h, w) != (c.num_channels, c.image_size, c.image_size) {
            let message = format!(
                "expected pictures of [n, {}, {2}, {2}], found {1}",
                c.num_channels,
                pixels.shape(),
                c.image_size
            );
            return Err(
                Error::new(ErrorKind::Shape, "vision tower", message).hint("prepare them with the model's processor")
            );
        }
        let patches = self.patches.forward(pixels)?;
        let class = self.class.tensor()?.broadcast_to([n, 1, c.hidden_size])?;
        let x = (Tensor::cat(&[class, patches], 1)? + self.positions.tensor()?)?;
        let mut x = self.pre_norm.forward(&x)?;
        let last = at.iter().copied().max().unwrap_or(0);
        let mut states = vec![x.clone()];
        for (i, layer) in self.layers.iter().take(last).enumerate() {
            x = layer.forward(&x, &AttentionOptions::default())?;
            show(|| format!("vision_layer_{i}"), &x);
            states.push(x.clone());
        }
        Ok(at.iter().map(|&i| states[i.min(states.len() - 1)].clone()).collect())
    }

    /// The class token after the last norm, `[n, hidden]`.
    ///
    /// # Errors
    /// As [`ClipVision::hidden_states`].
    pub fn pooled(&self, pixels: &Tensor) -> Result<Tensor> {
        let hidden = self.hidden_states(pixels, self.layers.len())?;
        show(|| "vision_last_hidden".to_owned(), &hidden);
        self.post_norm.forward(&hidden.select(1, 0)?)
    }
}
