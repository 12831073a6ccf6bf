//! Both towers.

use super::{ClipConfig, ClipText, ClipVision, pick};
use crate::models::{Base, DualEncoder, Images, Model, compare};
use crate::nn::{Builder, Init, Linear, Param, show};
use crate::{Result, Tensor};
use std::sync::Arc;

/// `CLIPModel`.
#[derive(Debug)]
pub struct Clip {
    base: Base,
    config: ClipConfig,
    text: ClipText,
    vision: ClipVision,
    visual_projection: Arc<Linear>,
    text_projection: Arc<Linear>,
    scale: Param,
}

impl Clip {
    /// Builds the model at the root of `b`, with the names of the published weights.
    ///
    /// # Errors
    /// Those of the configuration and of the source.
    pub fn new(b: &Builder, config: ClipConfig) -> Result<Self> {
        config.check()?;
        let (width, v, t) = (config.projection_dim, &config.vision_config, &config.text_config);
        let project = |name: &str, from: usize| Linear::new(&b.at(name), from, width, false, (from as f64).powf(-0.5));
        Ok(Clip {
            text: ClipText::new(&b.at("text_model"), t)?,
            vision: ClipVision::new(&b.at("vision_model"), v)?,
            visual_projection: project("visual_projection", v.hidden_size)?,
            text_projection: project("text_projection", t.hidden_size)?,
            scale: b.parameter("logit_scale", (), Init::Constant(config.logit_scale_init_value))?,
            base: Base::new(b, &config)?,
            config,
        })
    }
}

impl Model for Clip {
    fn base(&self) -> &Base {
        &self.base
    }
}

impl DualEncoder for Clip {
    fn image_embeds(&self, images: &Images) -> Result<Tensor> {
        let pooled = self.vision.pooled(&images.pixel_values.to_dtype(self.dtype())?)?;
        let projected = self.visual_projection.forward(&pooled)?;
        show(|| "vision_pooled".to_owned(), &projected);
        compare::unit(&projected)
    }

    fn text_embeds(&self, input_ids: &[Vec<i64>], mask: Option<&[Vec<bool>]>) -> Result<Tensor> {
        let hidden = self.text.forward(input_ids, mask, true)?;
        // Old files have 2 where the end token's id belongs: then it is the largest id of a row.
        let eos = self.config.text_config.eos_token_id;
        let at = |row: &Vec<i64>| {
            let largest = row.iter().copied().max().unwrap_or(0);
            let wanted = if eos == 2 { largest } else { eos };
            row.iter().position(|id| *id == wanted).unwrap_or(0)
        };
        let pooled = pick(&hidden, &input_ids.iter().map(at).collect::<Vec<_>>())?;
        let projected = self.text_projection.forward(&pooled)?;
        show(|| "text_pooled".to_owned(), &projected);
        compare::unit(&projected)
    }

    fn logits_per_image(&self, image_embeds: &Tensor, text_embeds: &Tensor) -> Result<Tensor> {
        compare::scaled(image_embeds, text_embeds, &self.scale.tensor()?)
    }

    fn probabilities(&self, logits_per_image: &Tensor) -> Result<Tensor> {
        logits_per_image.softmax(-1)
    }

    fn loss(&self, logits_per_image: &Tensor) -> Result<Tensor> {
        compare::contrastive(logits_per_image)
    }
}
