//! The vision tower.

use super::InternVisionConfig;
use crate::nn::{
    AttentionConfig, Builder, Init, LayerNorm, Mlp, Param, PatchEmbedding, QkNorm, RmsNorm, SelfAttention, show,
};
use crate::tensor::AttentionOptions;
use crate::{Error, ErrorKind, Result, Tensor};

/// Either norm, by `norm_type`.
#[derive(Debug)]
enum Norm {
    Layer(LayerNorm),
    Rms(RmsNorm),
}

impl Norm {
    fn new(b: &Builder, c: &InternVisionConfig) -> Result<Self> {
        Ok(if c.norm_type == "rms_norm" {
            Norm::Rms(RmsNorm::new(b, c.hidden_size, c.layer_norm_eps, 0.0)?)
        } else {
            Norm::Layer(LayerNorm::new(b, c.hidden_size, c.layer_norm_eps)?)
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Norm::Layer(norm) => norm.forward(x),
            Norm::Rms(norm) => norm.forward(x),
        }
    }
}

/// A pre-norm layer whose two results are scaled before they are added (Touvron et al. 2021).
#[derive(Debug)]
struct Layer {
    before: Norm,
    attention: SelfAttention,
    after: Norm,
    mlp: Mlp,
    lambda_1: Param,
    lambda_2: Param,
}

impl Layer {
    fn new(b: &Builder, c: &InternVisionConfig) -> Result<Self> {
        let (d, std, scale) = (c.hidden_size, c.initializer_range, Init::Constant(c.layer_scale_init_value));
        let attention = AttentionConfig {
            hidden: d,
            heads: c.num_attention_heads,
            kv_heads: c.num_attention_heads,
            head_dim: d / c.num_attention_heads,
            qkv_bias: c.attention_bias,
            out_bias: true,
            out_name: "projection_layer",
            cap: None,
            qk_norm: c.use_qk_norm.then_some(QkNorm { eps: 1e-6, offset: 0.0, whole: true }),
            std,
        };
        Ok(Layer {
            before: Norm::new(&b.at("layernorm_before"), c)?,
            attention: SelfAttention::new(&b.at("attention"), attention)?,
            after: Norm::new(&b.at("layernorm_after"), c)?,
            mlp: Mlp::new(&b.at("mlp"), d, c.intermediate_size, c.hidden_act, std)?,
            lambda_1: b.parameter("lambda_1", [d], scale)?,
            lambda_2: b.parameter("lambda_2", [d], scale)?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let seen = self.attention.forward(&self.before.forward(x)?, None, &AttentionOptions::default(), None)?;
        let x = (x + (seen * self.lambda_1.tensor()?)?)?;
        &x + (self.mlp.forward(&self.after.forward(&x)?)? * self.lambda_2.tensor()?)?
    }
}

/// Patches and a class token through pre-norm layers with scaled residuals.
#[derive(Debug)]
pub struct InternVision {
    config: InternVisionConfig,
    class: Param,
    patches: PatchEmbedding,
    positions: Option<Param>,
    layers: Vec<Layer>,
    norm: Option<LayerNorm>,
}

impl InternVision {
    /// Builds the tower at the builder's path, which Hugging Face calls `vision_tower`.
    ///
    /// # Errors
    /// Those of the source.
    pub fn new(b: &Builder, c: &InternVisionConfig) -> Result<Self> {
        let (d, std, e) = (c.hidden_size, c.initializer_range, b.at("embeddings"));
        let (patches, zero) = ((c.image_size / c.patch_size).pow(2), Init::Constant(0.0));
        let positions = |()| e.parameter("position_embeddings", [1, patches + 1, d], zero);
        let projection = e.at("patch_embeddings").at("projection");
        let layer = |i: usize| Layer::new(&b.at("encoder").at("layer").at(i), c);
        Ok(InternVision {
            class: e.parameter("cls_token", [1, 1, d], zero)?,
            patches: PatchEmbedding::new(&projection, c.num_channels, c.patch_size, d, true, std)?,
            positions: c.use_absolute_position_embeddings.then_some(()).map(positions).transpose()?,
            layers: (0..c.num_hidden_layers).map(layer).collect::<Result<_>>()?,
            norm: if c.use_mean_pooling {
                None
            } else {
                Some(LayerNorm::new(&b.at("layernorm"), d, c.layer_norm_eps)?)
            },
            config: c.clone(),
        })
    }

    /// The hidden states after `layers` layers, or after all and the last norm, `[n, 1 + patches, hidden]`, for pictures
    /// `[n, channels, size, size]`.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] for pictures of another size.
    pub fn hidden_states(&self, pixels: &Tensor, layers: Option<usize>) -> Result<Tensor> {
        let (c, [n, channels, h, w]) = (&self.config, pixels.dims()?);
        if (channels, h, w) != (c.num_channels, c.image_size, c.image_size) {
            let message =
                format!("expected tiles of [n, {}, {2}, {2}], found {1}", c.num_channels, pixels.shape(), c.image_size);
            return Err(
                Error::new(ErrorKind::Shape, "vision tower", message).hint("prepare them with the model's processor")
            );
        }
        let class = self.class.tensor()?.broadcast_to([n, 1, c.hidden_size])?;
        let mut x = Tensor::cat(&[class, self.patches.forward(pixels)?], 1)?;
        if let Some(positions) = &self.positions {
            x = (x + positions.tensor()?)?;
        }
        for (i, layer) in self.layers.iter().take(layers.unwrap_or(usize::MAX)).enumerate() {
            x = layer.forward(&x)?;
            show(|| format!("vision_layer_{i}"), &x);
        }
        match (&self.norm, layers) {
            (Some(norm), None) => norm.forward(&x),
            _ => Ok(x),
        }
    }
}
