//! The whole model.

use super::{LlavaConfig, Projector};
use crate::models::text::TextModel;
use crate::models::tower::Tower;
use crate::models::{Base, Features, ImageTextModel, Images, Model};
use crate::nn::{Builder, ModuleNames, show};
use crate::{Result, Tensor};

/// `LlavaForConditionalGeneration`.
#[derive(Debug)]
pub struct Llava {
    base: Base,
    config: LlavaConfig,
    vision: Tower,
    layers: Vec<usize>,
    projector: Projector,
    text: TextModel,
}

impl Llava {
    /// Builds the model at the root of `b`, with the names of the published weights.
    ///
    /// # Errors
    /// Those of the configuration and of the source.
    pub fn new(b: &Builder, config: LlavaConfig) -> Result<Self> {
        config.check()?;
        let vision = Tower::new(&b.at("vision_tower").at("vision_model"), &config.vision_config)?;
        let layers = config.vision_config.feature_layers(&config.vision_feature_layer)?;
        let widths = (config.vision_config.hidden_size() * layers.len(), config.text_config.hidden_size);
        let (act, std) = (config.projector_hidden_act, config.text_config.initializer_range);
        let p = b.at("multi_modal_projector");
        let projector = Projector::new(&p, widths, act, config.multimodal_projector_bias, std)?;
        let mut text_config = config.text_config.clone();
        text_config.tie_word_embeddings |= config.tie_word_embeddings;
        let text = TextModel::new(&b.at("language_model"), &text_config)?;
        Ok(Llava { base: Base::new(b, &config)?, config, vision, layers, projector, text })
    }

    /// The configuration.
    pub fn llava_config(&self) -> &LlavaConfig {
        &self.config
    }

    /// What the vision tower gives to the projector, `[pictures, tokens, hidden]`.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) for pictures of another size.
    pub fn vision_features(&self, pixels: &Tensor) -> Result<Tensor> {
        let strategy = self.config.vision_feature_select_strategy;
        self.vision.features(&pixels.to_dtype(self.dtype())?, &self.layers, strategy)
    }
}

impl Model for Llava {
    fn base(&self) -> &Base {
        &self.base
    }

    fn module_names(&self) -> ModuleNames {
        ModuleNames::new([
            ("vision_tower.vision_model", "model.vision_tower"),
            ("multi_modal_projector", "model.multi_modal_projector"),
            ("language_model.model", "model.language_model"),
            ("language_model.lm_head", "lm_head"),
        ])
    }

    fn takes_part(&self, name: &str) -> bool {
        name.strip_prefix("vision_tower.vision_model.").is_none_or(|inside| Tower::reaches(inside, &self.layers))
    }
}

impl ImageTextModel for Llava {
    fn language_model(&self) -> &TextModel {
        &self.text
    }

    fn features(&self, images: &Images) -> Result<Features> {
        let features = self.vision_features(&images.pixel_values)?;
        show(|| "vision_features".to_owned(), &features);
        let tokens = self.projector.forward(&features)?;
        show(|| "projector_output".to_owned(), &tokens);
        Ok(tokens.flatten(0, 1)?.into())
    }

    fn placeholder(&self) -> i64 {
        self.config.image_token_index
    }
}
