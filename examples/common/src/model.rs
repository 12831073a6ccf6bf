//! The small model, and how it learns from digits.

use crate::digits::Digit;
use crate::prompt::{IMAGE, Question, Talk, talk};
use anyhow::{Context, Result};
use vlm_core::models::clip::ClipVisionConfig;
use vlm_core::models::llava::{Llava, LlavaConfig};
use vlm_core::models::text::TextConfig;
use vlm_core::models::tower::{FeatureLayers, TowerConfig};
use vlm_core::models::{Model, VisionLanguageModel, VlmBatch};
use vlm_core::nn::{Activation, Builder, Initializer, LossSum};
use vlm_core::text::Tokenizer;
use vlm_core::train::Task;
use vlm_core::vision::{ImageProcessor, Picture};
use vlm_core::{DType, Device, Tensor};

/// Side of the pictures that the model sees.
pub const SIDE: usize = 16;

/// The configuration: LLaVA's shape, small enough to learn in a minute.
///
/// # Errors
/// If the tokenizer has no token for pictures.
pub fn config(tokenizer: &Tokenizer) -> Result<LlavaConfig> {
    let id = |t: Option<u32>, what: &str| t.map(i64::from).with_context(|| format!("the tokenizer has no {what}"));
    let vision_config = ClipVisionConfig {
        hidden_size: 64,
        intermediate_size: 192,
        projection_dim: 64,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        image_size: SIDE,
        patch_size: 4,
        hidden_act: Activation::QuickGelu,
        initializer_range: 0.08,
        ..ClipVisionConfig::default()
    };
    let text_config = TextConfig {
        vocab_size: tokenizer.vocab_size(),
        hidden_size: 96,
        intermediate_size: 256,
        num_hidden_layers: 3,
        num_attention_heads: 4,
        num_key_value_heads: Some(2),
        max_position_embeddings: 256,
        initializer_range: 0.06,
        bos_token_id: Some(id(tokenizer.bos_id(), "<s>")?),
        eos_token_id: Some(id(tokenizer.eos_id(), "</s>")?.into()),
        pad_token_id: Some(id(tokenizer.pad_id(), "<pad>")?),
        ..TextConfig::default()
    };
    Ok(LlavaConfig {
        image_token_index: id(tokenizer.token_to_id(IMAGE), IMAGE)?,
        // All layers: there are none to spare.
        vision_feature_layer: FeatureLayers::One(-1),
        image_seq_length: vision_config.patches(),
        vision_config: TowerConfig::Clip(vision_config),
        text_config,
        ..LlavaConfig::default()
    })
}

/// A fresh model, all of it trained but the tower's last norm, which LLaVA does not use.
///
/// # Errors
/// Those of the device.
pub fn build(config: LlavaConfig, seed: u64, dtype: DType, device: &Device) -> Result<Llava> {
    let model = Llava::new(&Builder::new(Initializer { seed }, dtype, device), config)?;
    model.modules().set_trainable(|name| !name.contains("post_layernorm"))?;
    Ok(model)
}

/// How pictures become numbers.
pub fn processor() -> ImageProcessor {
    let mut processor = ImageProcessor::clip(SIDE);
    processor.normalise = Some(([0.5; 3], [0.5; 3]));
    processor
}

/// Pictures as the model takes them.
///
/// # Errors
/// Those of the processor and the device.
pub fn pixels(pictures: &[&Picture], device: &Device) -> Result<Tensor> {
    let pictures: Vec<Picture> = pictures.iter().map(|p| (*p).clone()).collect();
    let values = processor().process(&pictures)?;
    Ok(Tensor::from_slice(&values.data, values.shape, device)?)
}

/// Digits with one kind of question.
#[derive(Debug)]
pub struct DigitTask<'a> {
    model: &'a Llava,
    pixels: Tensor,
    talks: Vec<Talk>,
    question: Question,
}

impl<'a> DigitTask<'a> {
    /// Prepares all pictures and texts.
    ///
    /// # Errors
    /// Those of processor and tokenizer.
    pub fn new(model: &'a Llava, tokenizer: &Tokenizer, digits: &[Digit], question: Question) -> Result<Self> {
        let image_tokens = model.llava_config().image_tokens();
        let all = |length| -> Result<Vec<Talk>> {
            digits.iter().map(|d| talk(tokenizer, question, d.value, image_tokens, length)).collect()
        };
        let longest =
            all(256)?.iter().map(|t| t.labels.iter().rposition(|&l| l >= 0).unwrap_or(0) + 1).max().unwrap_or(1);
        let pictures: Vec<&Picture> = digits.iter().map(|d| &d.picture).collect();
        Ok(DigitTask { model, pixels: pixels(&pictures, model.device())?, talks: all(longest)?, question })
    }
}

impl Task for DigitTask<'_> {
    fn len(&self) -> usize {
        self.talks.len()
    }

    fn loss(&self, rows: &[usize]) -> vlm_core::Result<LossSum> {
        let indices: Vec<i64> = rows.iter().map(|&r| r as i64).collect();
        let indices = Tensor::from_slice(&indices, rows.len(), self.model.device())?;
        self.model.loss(&VlmBatch {
            input_ids: rows.iter().map(|&r| self.talks[r].ids.clone()).collect(),
            images: Some(self.pixels.index_select(0, &indices)?.into()),
            labels: Some(rows.iter().map(|&r| self.talks[r].labels.clone()).collect()),
            // Padding is on the right, where no token looks: it needs no mask.
            ..VlmBatch::default()
        })
    }

    fn row_name(&self, row: usize) -> String {
        format!("digit {row}")
    }

    fn digest(&self) -> String {
        format!("{} digits, {:?}", self.talks.len(), self.question.text())
    }
}
