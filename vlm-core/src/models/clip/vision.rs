//! The vision transformer.

use super::ClipVisionConfig;
use crate::nn::{AttentionConfig, Builder, Init, LayerNorm, Mlp, Param, PatchEmbedding, SelfAttention};
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
    layers: Vec<Layer>,
    post_norm: LayerNorm,
}

#[derive(Debug)]
struct Layer {
    norm1: LayerNorm,
    attention: SelfAttention,
    norm2: LayerNorm,
    mlp: Mlp,
}

impl Layer {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let options = AttentionOptions::default();
        let x = (x + self.attention.forward(&self.norm1.forward(x)?, None, &options, None)?)?;
        &x + self.mlp.forward(&self.norm2.forward(&x)?)?
    }
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
        let layer = |i: usize| -> Result<Layer> {
            let b = b.at("encoder").at("layers").at(i);
            let attention = AttentionConfig {
                hidden: d,
                heads: c.num_attention_heads,
                kv_heads: c.num_attention_heads,
                head_dim: d / c.num_attention_heads,
                qkv_bias: true,
                out_bias: true,
                out_name: "out_proj",
                std,
            };
            Ok(Layer {
                norm1: LayerNorm::new(&b.at("layer_norm1"), d, c.layer_norm_eps)?,
                attention: SelfAttention::new(&b.at("self_attn"), attention)?,
                norm2: LayerNorm::new(&b.at("layer_norm2"), d, c.layer_norm_eps)?,
                mlp: Mlp::new(&b.at("mlp"), d, c.intermediate_size, c.hidden_act, std)?,
            })
        };
        Ok(ClipVision {
            class: e.parameter("class_embedding", [d], Init::Normal { std })?,
            patches: PatchEmbedding::new(&e.at("patch_embedding"), c.num_channels, c.patch_size, d, false, std)?,
            positions: e.at("position_embedding").parameter("weight", [c.patches() + 1, d], Init::Normal { std })?,
            // The name is misspelt in the published weights.
            pre_norm: LayerNorm::new(&b.at("pre_layrnorm"), d, c.layer_norm_eps)?,
            layers: (0..c.num_hidden_layers).map(layer).collect::<Result<_>>()?,
            post_norm: LayerNorm::new(&b.at("post_layernorm"), d, c.layer_norm_eps)?,
            config: c.clone(),
        })
    }

    /// The hidden states after `layers` layers, `[n, 1 + patches, hidden]`, for pictures `[n, channels, size, size]`.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] for pictures of another size.
    pub fn hidden_states(&self, pixels: &Tensor, layers: usize) -> Result<Tensor> {
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
        for layer in &self.layers[..layers.min(self.layers.len())] {
            x = layer.forward(&x)?;
        }
        Ok(x)
    }

    /// The class token after the last norm, `[n, hidden]`.
    ///
    /// # Errors
    /// As [`ClipVision::hidden_states`].
    pub fn pooled(&self, pixels: &Tensor) -> Result<Tensor> {
        self.post_norm.forward(&self.hidden_states(pixels, self.layers.len())?.select(1, 0)?)
    }
}
