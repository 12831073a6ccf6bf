//! Configuration.

use crate::Result;
use crate::models::clip::ClipVisionConfig;
use crate::models::config::wrong;
use crate::models::text::TextConfig;
use crate::models::tower::{FeatureLayers, FeatureStrategy, TowerConfig};
use crate::nn::Activation;
use serde::{Deserialize, Serialize};

/// `config.json` of LLaVA models, with transformers' defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct LlavaConfig {
    pub architectures: Vec<String>,
    pub model_type: String,
    pub vision_config: TowerConfig,
    pub text_config: TextConfig,
    #[serde(alias = "image_token_id")]
    pub image_token_index: i64,
    pub projector_hidden_act: Activation,
    pub vision_feature_layer: FeatureLayers,
    pub vision_feature_select_strategy: FeatureStrategy,
    pub multimodal_projector_bias: bool,
    pub image_seq_length: usize,
    pub tie_word_embeddings: bool,
    #[serde(alias = "dtype")]
    pub torch_dtype: String,
}

impl Default for LlavaConfig {
    fn default() -> Self {
        LlavaConfig {
            architectures: vec!["LlavaForConditionalGeneration".to_owned()],
            model_type: "llava".to_owned(),
            vision_config: TowerConfig::Clip(ClipVisionConfig::large_336()),
            text_config: TextConfig::default(),
            image_token_index: 32000,
            projector_hidden_act: Activation::Gelu,
            vision_feature_layer: FeatureLayers::One(-2),
            vision_feature_select_strategy: FeatureStrategy::Default,
            multimodal_projector_bias: true,
            image_seq_length: 576,
            tie_word_embeddings: false,
            torch_dtype: "float32".to_owned(),
        }
    }
}

impl LlavaConfig {
    /// Number of placeholders that a picture has in the text.
    pub fn image_tokens(&self) -> usize {
        self.vision_config.tokens(self.vision_feature_select_strategy)
    }

    /// Checks the values.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) naming the field.
    pub fn check(&self) -> Result<()> {
        self.vision_config.check()?;
        self.text_config.check()?;
        self.vision_config.feature_layers(&self.vision_feature_layer)?;
        if !(0..self.text_config.vocab_size as i64).contains(&self.image_token_index) {
            let (token, v) = (self.image_token_index, self.text_config.vocab_size);
            return Err(wrong("llava", format!("image_token_index {token} is outside of the vocabulary of {v}")));
        }
        Ok(())
    }
}
