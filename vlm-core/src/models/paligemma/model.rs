//! The whole model.

use super::PaliGemmaConfig;
use crate::models::siglip::SiglipVision;
use crate::models::text::TextModel;
use crate::models::{Base, Features, ImageTextModel, Images, Model, VlmBatch};
use crate::nn::{Builder, Linear, ModuleNames, Positions, show};
use crate::{Result, Tensor};
use std::sync::Arc;

/// `PaliGemmaForConditionalGeneration`.
#[derive(Debug)]
pub struct PaliGemma {
    base: Base,
    config: PaliGemmaConfig,
    vision: SiglipVision,
    projector: Arc<Linear>,
    text: TextModel,
}

impl PaliGemma {
    /// Builds the model at the root of `b`, with the names of the published weights.
    ///
    /// # Errors
    /// Those of the configuration and of the source.
    pub fn new(b: &Builder, config: PaliGemmaConfig) -> Result<Self> {
        config.check()?;
        let vision = SiglipVision::new(&b.at("vision_tower").at("vision_model"), &config.vision_config)?;
        let (from, std) = (config.vision_config.hidden_size, config.text_config.initializer_range);
        let linear = b.at("multi_modal_projector").at("linear");
        let projector = Linear::new(&linear, from, config.projection_dim, true, std)?;
        let text = TextModel::new(&b.at("language_model"), &config.text_config)?;
        Ok(PaliGemma { base: Base::new(b, &config)?, config, vision, projector, text })
    }
}

impl Model for PaliGemma {
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

impl ImageTextModel for PaliGemma {
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

    /// They count from 1.
    fn positions(&self, batch: &VlmBatch, cached: usize, _deltas: &[i64]) -> Result<(Positions, Vec<i64>)> {
        let counted = batch.positions(cached);
        let rows: Vec<Vec<i64>> = counted.axes()[0].iter().map(|row| row.iter().map(|p| p + 1).collect()).collect();
        if let [row] = rows.as_slice() {
            show(|| "position_ids".to_owned(), &Tensor::from_slice(row, [1, row.len()], self.device())?);
        }
        Ok((Positions::new(rows), Vec::new()))
    }

    /// The prompt, token type 0, sees itself both ways.
    fn groups(&self, batch: &VlmBatch, cached: usize) -> Option<Vec<Vec<Option<usize>>>> {
        if cached > 0 {
            return None;
        }
        let prompt = |kind: &i64| (*kind == 0).then_some(0);
        Some(match &batch.token_type_ids {
            Some(rows) => rows.iter().map(|row| row.iter().map(prompt).collect()).collect(),
            None => batch.input_ids.iter().map(|row| vec![Some(0); row.len()]).collect(),
        })
    }
}
