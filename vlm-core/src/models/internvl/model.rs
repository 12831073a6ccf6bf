//! The whole model.

use super::{InternVision, InternVlConfig};
use crate::Result;
use crate::models::text::TextModel;
use crate::models::{Base, Features, ImageTextModel, Images, Model};
use crate::nn::{Activation, Builder, LayerNorm, Linear, ModuleNames, pixel_shuffle, show};
use std::sync::Arc;

/// `InternVLForConditionalGeneration`.
#[derive(Debug)]
pub struct InternVl {
    base: Base,
    config: InternVlConfig,
    vision: InternVision,
    norm: LayerNorm,
    linear_1: Arc<Linear>,
    act: Activation,
    linear_2: Arc<Linear>,
    text: TextModel,
}

impl InternVl {
    /// Builds the model at the root of `b`, with the names of the published weights.
    ///
    /// # Errors
    /// Those of the configuration and of the source.
    pub fn new(b: &Builder, config: InternVlConfig) -> Result<Self> {
        config.check()?;
        let vision = InternVision::new(&b.at("vision_tower"), &config.vision_config)?;
        let (from, to) = (config.vision_config.hidden_size * config.joined().pow(2), config.text_config.hidden_size);
        let (p, std) = (b.at("multi_modal_projector"), config.text_config.initializer_range);
        let norm = LayerNorm::new(&p.at("layer_norm"), from, 1e-5)?;
        let linear_1 = Linear::new(&p.at("linear_1"), from, to, true, std)?;
        let linear_2 = Linear::new(&p.at("linear_2"), to, to, true, std)?;
        let mut text_config = config.text_config.clone();
        text_config.tie_word_embeddings |= config.tie_word_embeddings;
        let text = TextModel::new(&b.at("language_model"), &text_config)?;
        let act = config.projector_hidden_act;
        Ok(InternVl { base: Base::new(b, &config)?, config, vision, norm, linear_1, act, linear_2, text })
    }
}

impl Model for InternVl {
    fn base(&self) -> &Base {
        &self.base
    }

    fn module_names(&self) -> ModuleNames {
        ModuleNames::new([
            ("vision_tower", "model.vision_tower"),
            ("multi_modal_projector", "model.multi_modal_projector"),
            ("language_model.model", "model.language_model"),
            ("language_model.lm_head", "lm_head"),
        ])
    }
}

impl ImageTextModel for InternVl {
    fn language_model(&self) -> &TextModel {
        &self.text
    }

    fn features(&self, images: &Images) -> Result<Features> {
        let pixels = images.pixel_values.to_dtype(self.dtype())?;
        let states = self.vision.hidden_states(&pixels, self.config.feature_layers())?;
        // Without the class token.
        let patches = states.narrow(1, 1, states.size(1)? - 1)?;
        let features = pixel_shuffle(&patches, self.config.joined())?;
        show(|| "vision_features".to_owned(), &features);
        let x = self.act.forward(&self.linear_1.forward(&self.norm.forward(&features)?)?)?;
        let tokens = self.linear_2.forward(&x)?;
        show(|| "projector_output".to_owned(), &tokens);
        Ok(tokens.flatten(0, 1)?.into())
    }

    fn placeholder(&self) -> i64 {
        self.config.image_token_id
    }
}
