//! Both towers.

use super::{PoolingHead, SiglipConfig, SiglipVision};
use crate::models::clip::{ClipText, pick};
use crate::models::siglip2::NaflexVision;
use crate::models::{Base, DualEncoder, Images, Model, compare};
use crate::nn::{Builder, Init, Linear, Param, show};
use crate::{Result, Tensor};
use std::sync::Arc;

#[derive(Debug)]
enum Vision {
    /// Squares of one size.
    Square(SiglipVision),
    /// Pictures of their own shape (SigLIP 2).
    Naflex(NaflexVision),
}

/// `SiglipModel` and `Siglip2Model`.
#[derive(Debug)]
pub struct Siglip {
    base: Base,
    text: ClipText,
    text_head: Arc<Linear>,
    vision: Vision,
    head: PoolingHead,
    scale: Param,
    bias: Param,
}

impl Siglip {
    /// Builds the model at the root of `b`, with the names of the published weights.
    ///
    /// # Errors
    /// Those of the configuration and of the source.
    pub fn new(b: &Builder, config: SiglipConfig) -> Result<Self> {
        config.check()?;
        let (t, v, m) = (config.text_config.tower(), &config.vision_config, b.at("vision_model"));
        let text = ClipText::new(&b.at("text_model"), &t)?;
        let vision = match config.naflex() {
            Some(positions) => Vision::Naflex(NaflexVision::new(&m, v, positions)?),
            None => Vision::Square(SiglipVision::new(&m, v)?),
        };
        Ok(Siglip {
            text,
            text_head: Linear::new(
                &b.at("text_model").at("head"),
                t.hidden_size,
                t.projection_dim,
                true,
                t.initializer_range,
            )?,
            vision,
            head: PoolingHead::new(&m.at("head"), v)?,
            scale: b.parameter("logit_scale", [1], Init::Constant(10f64.ln()))?,
            bias: b.parameter("logit_bias", [1], Init::Constant(-10.0))?,
            base: Base::new(b, &config)?,
        })
    }
}

impl Model for Siglip {
    fn base(&self) -> &Base {
        &self.base
    }
}

impl DualEncoder for Siglip {
    fn image_embeds(&self, images: &Images) -> Result<Tensor> {
        let pixels = images.pixel_values.to_dtype(self.dtype())?;
        let (hidden, mask) = match &self.vision {
            Vision::Square(tower) => (tower.last_hidden_state(&pixels)?, None),
            Vision::Naflex(tower) => {
                let (hidden, mask) = tower.forward(&pixels, images.need("spatial_shapes", &images.grid)?)?;
                (hidden, Some(mask))
            }
        };
        show(|| "vision_last_hidden".to_owned(), &hidden);
        let pooled = self.head.forward(&hidden, mask)?;
        show(|| "vision_pooled".to_owned(), &pooled);
        compare::unit(&pooled)
    }

    /// Padding is read like any other token, as the models were trained.
    fn text_embeds(&self, input_ids: &[Vec<i64>], _mask: Option<&[Vec<bool>]>) -> Result<Tensor> {
        let hidden = self.text.forward(input_ids, None, false)?;
        let last: Vec<usize> = input_ids.iter().map(|row| row.len() - 1).collect();
        let pooled = self.text_head.forward(&pick(&hidden, &last)?)?;
        show(|| "text_pooled".to_owned(), &pooled);
        compare::unit(&pooled)
    }

    fn logits_per_image(&self, image_embeds: &Tensor, text_embeds: &Tensor) -> Result<Tensor> {
        let logits = compare::scaled(image_embeds, text_embeds, &self.scale.tensor()?)?;
        let bias = self.bias.tensor()?.to_dtype(logits.dtype())?;
        logits + bias
    }

    fn probabilities(&self, logits_per_image: &Tensor) -> Result<Tensor> {
        logits_per_image.sigmoid()
    }

    fn loss(&self, logits_per_image: &Tensor) -> Result<Tensor> {
        compare::sigmoid(logits_per_image)
    }
}
