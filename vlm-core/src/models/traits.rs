//! What all models can do.

use super::VlmBatch;
use crate::nn::{KvCache, LossSum, ModuleNames, Modules};
use crate::{DType, Device, Result, Tensor};
use std::sync::Arc;

/// A model: named parameters and the configuration they were built from.
pub trait Model: Send + Sync {
    /// All parameters and named modules.
    fn modules(&self) -> &Arc<Modules>;

    /// `config.json`, as Hugging Face writes it.
    fn config(&self) -> serde_json::Value;

    /// How module paths correspond to those of the running transformers model, which adapter files use.
    fn module_names(&self) -> ModuleNames {
        ModuleNames::default()
    }

    /// The element type of activations.
    fn dtype(&self) -> DType;

    /// The device of parameters and activations.
    fn device(&self) -> &Device;
}

/// A model that reads pictures and text and writes text.
pub trait VisionLanguageModel: Model {
    /// What the language model sees of pictures: `[picture tokens, hidden]`, pictures one after the other.
    ///
    /// # Errors
    /// Those of its operations.
    fn image_features(&self, pixel_values: &Tensor) -> Result<Tensor>;

    /// The hidden states after the last norm, `[b, s, hidden]`. With a cache the batch's tokens follow those in it.
    ///
    /// # Errors
    /// [`ErrorKind::Data`](crate::ErrorKind::Data) if picture placeholders and picture features differ in number.
    fn hidden_states(&self, batch: &VlmBatch, cache: Option<&mut KvCache>) -> Result<Tensor>;

    /// Logits `[..., vocabulary]` of hidden states.
    ///
    /// # Errors
    /// Those of its operations.
    fn logits(&self, hidden: &Tensor) -> Result<Tensor>;

    /// The summed next-token loss of `batch.labels`.
    ///
    /// # Errors
    /// [`ErrorKind::Data`](crate::ErrorKind::Data) if there are no labels or all are masked.
    fn loss(&self, batch: &VlmBatch) -> Result<LossSum>;

    /// An empty cache for at most `tokens` tokens.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) for more than the model's positions.
    fn new_cache(&self, tokens: usize) -> Result<KvCache>;

    /// The id that stands for a piece of a picture in the text.
    fn image_token_id(&self) -> i64;
}
