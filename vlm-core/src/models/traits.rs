//! What all models can do.

use super::text::TextModel;
use super::{Images, ModelPart, VlmBatch};
use crate::nn::{Builder, KvCache, LossSum, ModuleNames, Modules, Positions};
use crate::{DType, Device, Error, ErrorKind, Result, Tensor};
use std::fmt;
use std::sync::Arc;

/// What every model has: parameters, the configuration they were built from, and where it computes.
#[derive(Clone, Debug)]
pub struct Base {
    config: serde_json::Value,
    modules: Arc<Modules>,
    dtype: DType,
    device: Device,
}

impl Base {
    /// Of a model that was built with `b` from `config`.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for a configuration that cannot be written as JSON.
    pub fn new(b: &Builder, config: &impl serde::Serialize) -> Result<Self> {
        let config = serde_json::to_value(config);
        let config = config.map_err(|e| Error::new(ErrorKind::Config, "config.json", e.to_string()))?;
        Ok(Base { config, modules: b.modules().clone(), dtype: b.dtype(), device: b.device().clone() })
    }
}

/// A model: named parameters and the configuration they were built from.
pub trait Model: Send + Sync {
    /// What every model has.
    fn base(&self) -> &Base;

    /// How module paths correspond to those of the running transformers model, which adapter files use.
    fn module_names(&self) -> ModuleNames {
        ModuleNames::default()
    }

    /// The part that a parameter or module belongs to, by its name.
    fn part(&self, name: &str) -> ModelPart {
        ModelPart::of(name)
    }

    /// Whether the outputs depend on the parameter or module called `name`. Published files hold some that take no part,
    /// such as the layers of a LLaVA's tower after the one whose features are used.
    fn takes_part(&self, name: &str) -> bool {
        let _ = name;
        true
    }

    /// All parameters and named modules.
    fn modules(&self) -> &Arc<Modules> {
        &self.base().modules
    }

    /// `config.json`, as Hugging Face writes it.
    fn config(&self) -> serde_json::Value {
        self.base().config.clone()
    }

    /// The element type of activations.
    fn dtype(&self) -> DType {
        self.base().dtype
    }

    /// The device of parameters and activations.
    fn device(&self) -> &Device {
        &self.base().device
    }
}

/// A model that reads pictures and text and writes text.
///
/// Families that put picture features among the token embeddings of a [`TextModel`](super::text::TextModel) implement
/// [`ImageTextModel`](super::ImageTextModel) and get this for it.
pub trait VisionLanguageModel: Model {
    /// What the language model sees of pictures: `[picture tokens, hidden]`, pictures one after the other.
    ///
    /// # Errors
    /// Those of its operations.
    fn image_features(&self, images: &Images) -> Result<Tensor>;

    /// The hidden states after the last norm, `[b, s, hidden]`. With a cache the batch's tokens follow those in it.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] if picture placeholders and picture features differ in number.
    fn hidden_states(&self, batch: &VlmBatch, cache: Option<&mut KvCache>) -> Result<Tensor>;

    /// Logits `[..., vocabulary]` of hidden states.
    ///
    /// # Errors
    /// Those of its operations.
    fn logits(&self, hidden: &Tensor) -> Result<Tensor>;

    /// The summed next-token loss of `batch.labels`.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] if there are no labels or all are masked.
    fn loss(&self, batch: &VlmBatch) -> Result<LossSum>;

    /// An empty cache for at most `tokens` tokens.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for more than the model's positions.
    fn new_cache(&self, tokens: usize) -> Result<KvCache>;

    /// The id that stands for a piece of a picture in the text.
    fn image_token_id(&self) -> i64;

    /// Keeps only the input of each layer of the language model while training and computes the rest again: memory for time.
    fn set_gradient_checkpointing(&self, on: bool);

    /// The language model, if it alone reads the tokens that follow a prompt: its steps can be recorded, see
    /// [`backend::graphs`](crate::backend::graphs).
    fn decoder(&self) -> Option<&TextModel> {
        None
    }

    /// The positions of a batch of one token for each row behind `cached` ones, for [`VisionLanguageModel::decoder`]; `deltas` are those
    /// of the cache.
    ///
    /// # Errors
    /// Those of the family's rules.
    fn step_positions(&self, batch: &VlmBatch, cached: usize, deltas: &[i64]) -> Result<Positions> {
        let _ = deltas;
        Ok(batch.positions(cached))
    }
}

/// A model with one tower for pictures and one for texts, whose results are compared (CLIP, SigLIP).
pub trait DualEncoder: Model {
    /// The embedding of each picture, `[pictures, width]`, of length 1.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] for pictures of another size.
    fn image_embeds(&self, images: &Images) -> Result<Tensor>;

    /// The embedding of each text, `[texts, width]`, of length 1; `mask` is false for padding.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] for rows of different lengths or more tokens than positions.
    fn text_embeds(&self, input_ids: &[Vec<i64>], mask: Option<&[Vec<bool>]>) -> Result<Tensor>;

    /// How well each picture fits each text, `[pictures, texts]`: cosines, scaled and shifted as the model learnt; in `f32`
    /// for half floats.
    ///
    /// # Errors
    /// Those of its operations.
    fn logits_per_image(&self, image_embeds: &Tensor, text_embeds: &Tensor) -> Result<Tensor>;

    /// Probabilities of logits `[pictures, texts]`: over the texts of each picture, or each by itself (SigLIP).
    ///
    /// # Errors
    /// Those of its operations.
    fn probabilities(&self, logits_per_image: &Tensor) -> Result<Tensor>;

    /// The loss of pairs, picture `i` with text `i`: CLIP's contrastive or SigLIP's sigmoid loss, a scalar.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] unless there are as many pictures as texts.
    fn loss(&self, logits_per_image: &Tensor) -> Result<Tensor>;
}

impl fmt::Debug for dyn VisionLanguageModel + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VisionLanguageModel({} on {})", self.config()["model_type"], self.device())
    }
}

impl fmt::Debug for dyn DualEncoder + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DualEncoder({} on {})", self.config()["model_type"], self.device())
    }
}
