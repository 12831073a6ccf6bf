//! The whole model.

use super::{Generation, QwenVision, QwenVlConfig, positions};
use crate::Result;
use crate::models::text::TextModel;
use crate::models::{Base, Features, ImageTextModel, Images, Model, VlmBatch};
use crate::nn::{Builder, ModuleNames, Positions};

/// `Qwen2VLForConditionalGeneration`, `Qwen2_5_VLForConditionalGeneration` and `Qwen3VLForConditionalGeneration`.
#[derive(Debug)]
pub struct QwenVl {
    base: Base,
    config: QwenVlConfig,
    vision: QwenVision,
    text: TextModel,
}

impl QwenVl {
    /// Builds the model at the root of `b`, with the names of the published weights.
    ///
    /// # Errors
    /// Those of the configuration and of the source.
    pub fn new(b: &Builder, config: QwenVlConfig) -> Result<Self> {
        config.check()?;
        let m = b.at("model");
        let (visual, text) = if config.vision.generation == Generation::Three {
            (m.at("visual"), m.at("language_model"))
        } else {
            (b.at("visual"), m)
        };
        let vision = QwenVision::new(&visual, &config.vision)?;
        let text = TextModel::with_parts(&text, &b.at("lm_head"), &config.text)?;
        Ok(QwenVl { base: Base::new(b, &config.json)?, config, vision, text })
    }
}

impl Model for QwenVl {
    fn base(&self) -> &Base {
        &self.base
    }

    fn module_names(&self) -> ModuleNames {
        if self.config.vision.generation == Generation::Three {
            return ModuleNames::default();
        }
        ModuleNames::new([("visual", "model.visual"), ("model", "model.language_model"), ("lm_head", "lm_head")])
    }
}

impl ImageTextModel for QwenVl {
    fn language_model(&self) -> &TextModel {
        &self.text
    }

    fn features(&self, images: &Images) -> Result<Features> {
        let grid = images.need("image_grid_thw", &images.grid)?;
        let (tokens, deepstack) = self.vision.forward(&images.pixel_values.to_dtype(self.dtype())?, grid)?;
        Ok(Features { tokens, deepstack })
    }

    fn placeholder(&self) -> i64 {
        self.config.image_token_id
    }

    fn positions(&self, batch: &VlmBatch, cached: usize, deltas: &[i64]) -> Result<(Positions, Vec<i64>)> {
        positions::of_batch(&self.config, batch, cached, deltas)
    }
}
