//! The whole model.

use super::Idefics3Config;
use crate::Result;
use crate::models::siglip::SiglipVision;
use crate::models::text::TextModel;
use crate::models::{Base, Features, ImageTextModel, Images, Model};
use crate::nn::{Builder, Linear, pixel_shuffle, show};
use std::sync::Arc;

/// `Idefics3ForConditionalGeneration` and `SmolVLMForConditionalGeneration`.
#[derive(Debug)]
pub struct Idefics3 {
    base: Base,
    config: Idefics3Config,
    vision: SiglipVision,
    projection: Arc<Linear>,
    text: TextModel,
}

impl Idefics3 {
    /// Builds the model at the root of `b`, with the names of the published weights.
    ///
    /// # Errors
    /// Those of the configuration and of the source.
    pub fn new(b: &Builder, config: Idefics3Config) -> Result<Self> {
        config.check()?;
        let m = b.at("model");
        let vision = SiglipVision::bucketed(&m.at("vision_model"), &config.vision_config)?;
        let (from, to) =
            (config.vision_config.hidden_size * config.scale_factor.pow(2), config.text_config.hidden_size);
        let proj = m.at("connector").at("modality_projection").at("proj");
        let projection = Linear::new(&proj, from, to, false, config.text_config.initializer_range)?;
        let mut text_config = config.text_config.clone();
        text_config.tie_word_embeddings |= config.tie_word_embeddings;
        let text = TextModel::with_parts(&m.at("text_model"), &b.at("lm_head"), &text_config)?;
        Ok(Idefics3 { base: Base::new(b, &config)?, config, vision, projection, text })
    }
}

impl Model for Idefics3 {
    fn base(&self) -> &Base {
        &self.base
    }
}

impl ImageTextModel for Idefics3 {
    fn language_model(&self) -> &TextModel {
        &self.text
    }

    fn features(&self, images: &Images) -> Result<Features> {
        let features = self.vision.last_hidden_state(&images.pixel_values.to_dtype(self.dtype())?)?;
        show(|| "vision_features".to_owned(), &features);
        let tokens = self.projection.forward(&pixel_shuffle(&features, self.config.scale_factor)?)?;
        show(|| "projector_output".to_owned(), &tokens);
        Ok(tokens.flatten(0, 1)?.into())
    }

    fn placeholder(&self) -> i64 {
        self.config.image_token_id
    }
}
