//! The whole model.

use super::Gemma3Config;
use super::projector::Projector;
use crate::Result;
use crate::models::siglip::SiglipVision;
use crate::models::text::TextModel;
use crate::models::{Base, Features, ImageTextModel, Images, Model, VlmBatch};
use crate::nn::{Builder, ModuleNames, show};

/// `Gemma3ForConditionalGeneration`.
#[derive(Debug)]
pub struct Gemma3 {
    base: Base,
    config: Gemma3Config,
    vision: SiglipVision,
    projector: Projector,
    text: TextModel,
}

impl Gemma3 {
    /// Builds the model at the root of `b`, with the names of the published weights.
    ///
    /// # Errors
    /// Those of the configuration and of the source.
    pub fn new(b: &Builder, config: Gemma3Config) -> Result<Self> {
        config.check()?;
        let vision = SiglipVision::new(&b.at("vision_tower").at("vision_model"), &config.vision_config)?;
        let projector = Projector::new(&b.at("multi_modal_projector"), &config)?;
        let text = TextModel::new(&b.at("language_model"), &config.text_config)?;
        Ok(Gemma3 { base: Base::new(b, &config)?, config, vision, projector, text })
    }
}

impl Model for Gemma3 {
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
}

impl ImageTextModel for Gemma3 {
    fn language_model(&self) -> &TextModel {
        &self.text
    }

    fn features(&self, images: &Images) -> Result<Features> {
        let features = self.vision.last_hidden_state(&images.pixel_values.to_dtype(self.dtype())?)?;
        show(|| "vision_features".to_owned(), &features);
        let tokens = self.projector.forward(&features)?;
        show(|| "projector_output".to_owned(), &tokens);
        Ok(tokens.flatten(0, 1)?.into())
    }

    fn placeholder(&self) -> i64 {
        self.config.image_token_index
    }

    /// The tokens of one picture, which follow each other, see each other both ways.
    fn groups(&self, batch: &VlmBatch, _cached: usize) -> Option<Vec<Vec<Option<usize>>>> {
        let row = |ids: &Vec<i64>| {
            let (mut picture, mut inside) = (0, false);
            let group = |&id: &i64| {
                let begins = id == self.config.image_token_index && !inside;
                inside = id == self.config.image_token_index;
                picture += usize::from(begins);
                inside.then_some(picture)
            };
            ids.iter().map(group).collect()
        };
        Some(batch.input_ids.iter().map(row).collect())
    }
}
