//! The whole model.

use super::projector::Projector;
use super::{FeatureStrategy, LlavaConfig};
use crate::models::clip::ClipVision;
use crate::models::llama::Llama;
use crate::models::{Model, VisionLanguageModel, VlmBatch};
use crate::nn::{Builder, KvCache, LossSum, ModuleNames, Modules, causal_lm_loss};
use crate::{DType, Device, Error, ErrorKind, Result, Tensor};
use std::sync::Arc;

/// `LlavaForConditionalGeneration`.
#[derive(Debug)]
pub struct Llava {
    config: LlavaConfig,
    vision: ClipVision,
    projector: Projector,
    text: Llama,
    modules: Arc<Modules>,
    dtype: DType,
    device: Device,
}

impl Llava {
    /// Builds the model at the root of `b`, with the names of the published weights.
    ///
    /// # Errors
    /// Those of the configuration and of the source.
    pub fn new(b: &Builder, config: LlavaConfig) -> Result<Self> {
        config.check()?;
        let vision = ClipVision::new(&b.at("vision_tower").at("vision_model"), &config.vision_config)?;
        let projector = Projector::new(&b.at("multi_modal_projector"), &config)?;
        let mut text_config = config.text_config.clone();
        text_config.tie_word_embeddings |= config.tie_word_embeddings;
        let text = Llama::new(&b.at("language_model"), &text_config)?;
        let (modules, dtype, device) = (b.modules().clone(), b.dtype(), b.device().clone());
        Ok(Llava { config, vision, projector, text, modules, dtype, device })
    }

    /// The configuration.
    pub fn llava_config(&self) -> &LlavaConfig {
        &self.config
    }

    /// The language model.
    pub fn language_model(&self) -> &Llama {
        &self.text
    }

    /// What the vision tower gives to the projector, `[pictures, tokens, hidden]`.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] for pictures of another size.
    pub fn vision_features(&self, pixels: &Tensor) -> Result<Tensor> {
        let states = self.vision.hidden_states(&pixels.to_dtype(self.dtype)?, self.config.vision_layers())?;
        match self.config.vision_feature_select_strategy {
            FeatureStrategy::Full => Ok(states),
            FeatureStrategy::Default => states.narrow(1, 1, states.size(1)? - 1),
        }
    }

    /// Token embeddings with picture features in the place of placeholders, `[b, s, hidden]`.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] if placeholders and features differ in number.
    pub fn inputs_embeds(&self, batch: &VlmBatch) -> Result<Tensor> {
        let (b, s) = (batch.input_ids.len(), batch.input_ids[0].len());
        let ids: Vec<i64> = batch.input_ids.iter().flatten().copied().collect();
        let embeds = self.text.embed(&Tensor::from_slice(&ids, [b, s], &self.device)?)?;
        let places = ids.iter().filter(|&&id| id == self.config.image_token_index).count();
        let features = match &batch.pixel_values {
            Some(pixels) => Some(self.image_features(pixels)?),
            None => None,
        };
        let found = features.as_ref().map_or(0, |f| f.shape()[0]);
        if places != found {
            let message = format!("the text has {places} picture placeholders, the pictures give {found} tokens");
            return Err(Error::new(ErrorKind::Data, "llava", message).hint(
                "expand each picture's placeholder with the processor; check that text was not cut inside of it",
            ));
        }
        let Some(features) = features else { return Ok(embeds) };
        // One table of both, and for each place the row that belongs there.
        let d = embeds.shape()[2];
        let table = Tensor::cat(&[embeds.reshape([b * s, d])?, features], 0)?;
        let mut next = (b * s) as i64;
        let rows: Vec<i64> = ids
            .iter()
            .enumerate()
            .map(|(i, &id)| {
                if id != self.config.image_token_index {
                    return i as i64;
                }
                next += 1;
                next - 1
            })
            .collect();
        table.index_select(0, &Tensor::from_slice(&rows, b * s, &self.device)?)?.reshape([b, s, d])
    }
}

impl Model for Llava {
    fn modules(&self) -> &Arc<Modules> {
        &self.modules
    }

    fn config(&self) -> serde_json::Value {
        serde_json::to_value(&self.config).unwrap_or_else(|_| unreachable!("a config of plain fields serialises"))
    }

    fn module_names(&self) -> ModuleNames {
        ModuleNames::new([
            ("vision_tower.vision_model", "model.vision_tower"),
            ("multi_modal_projector", "model.multi_modal_projector"),
            ("language_model.model", "model.language_model"),
            ("language_model.lm_head", "lm_head"),
        ])
    }

    fn dtype(&self) -> DType {
        self.dtype
    }

    fn device(&self) -> &Device {
        &self.device
    }
}

impl VisionLanguageModel for Llava {
    fn image_features(&self, pixel_values: &Tensor) -> Result<Tensor> {
        self.projector.forward(&self.vision_features(pixel_values)?)?.flatten(0, 1)
    }

    fn hidden_states(&self, batch: &VlmBatch, cache: Option<&mut KvCache>) -> Result<Tensor> {
        let cached = cache.as_ref().map_or(0, |c| c.len());
        batch.size(cached)?;
        let embeds = self.inputs_embeds(batch)?;
        self.text.forward(&embeds, &batch.positions(cached), batch.attention_mask.as_deref(), cache)
    }

    fn logits(&self, hidden: &Tensor) -> Result<Tensor> {
        self.text.head().forward(hidden)
    }

    fn loss(&self, batch: &VlmBatch) -> Result<LossSum> {
        let Some(labels) = &batch.labels else {
            return Err(Error::new(ErrorKind::Data, "loss", "the batch has no labels"));
        };
        causal_lm_loss(&self.hidden_states(batch, None)?, self.text.head(), labels)
    }

    fn new_cache(&self, tokens: usize) -> Result<KvCache> {
        let max = self.config.text_config.max_position_embeddings;
        if tokens > max {
            let message = format!("{tokens} tokens are more than max_position_embeddings {max}");
            return Err(Error::new(ErrorKind::Config, "kv cache", message));
        }
        Ok(KvCache::new(self.config.text_config.num_hidden_layers, tokens))
    }

    fn image_token_id(&self) -> i64 {
        self.config.image_token_index
    }
}
