//! Configuration.

use crate::Result;
use crate::models::clip::ClipVisionConfig;
use crate::models::config::wrong;
use crate::models::text::TextConfig;
use crate::nn::Activation;
use serde::{Deserialize, Serialize};

/// Which tokens of the vision transformer reach the projector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FeatureStrategy {
    /// Patches without the class token.
    #[default]
    Default,
    /// All.
    Full,
}

/// `config.json` of LLaVA models, with transformers' defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct LlavaConfig {
    pub architectures: Vec<String>,
    pub model_type: String,
    pub vision_config: ClipVisionConfig,
    pub text_config: TextConfig,
    #[serde(alias = "image_token_id")]
    pub image_token_index: i64,
    pub projector_hidden_act: Activation,
    pub vision_feature_layer: i64,
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
            vision_config: ClipVisionConfig::default(),
            text_config: TextConfig::default(),
            image_token_index: 32000,
            projector_hidden_act: Activation::Gelu,
            vision_feature_layer: -2,
            vision_feature_select_strategy: FeatureStrategy::Default,
            multimodal_projector_bias: true,
            image_seq_length: 576,
            tie_word_embeddings: false,
            torch_dtype: "float32".to_owned(),
        }
    }
}

impl LlavaConfig {
    /// Number of vision layers that run before the features are taken.
    pub fn vision_layers(&self) -> usize {
        let n = self.vision_config.num_hidden_layers as i64;
        let at =
            if self.vision_feature_layer < 0 { n + 1 + self.vision_feature_layer } else { self.vision_feature_layer };
        at.clamp(0, n) as usize
    }

    /// Number of placeholders that a picture has in the text.
    pub fn image_tokens(&self) -> usize {
        let class = usize::from(self.vision_feature_select_strategy == FeatureStrategy::Full);
        self.vision_config.patches() + class
    }

    /// Checks the values.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) naming the field.
    pub fn check(&self) -> Result<()> {
        self.vision_config.check()?;
        self.text_config.check()?;
        let n = self.vision_config.num_hidden_layers as i64;
        if !(-n - 1..=n).contains(&self.vision_feature_layer) {
            let message =
                format!("vision_feature_layer {} is outside of the tower's {n} layers", self.vision_feature_layer);
            return Err(wrong("llava", message));
        }
        if !(0..self.text_config.vocab_size as i64).contains(&self.image_token_index) {
            let (token, v) = (self.image_token_index, self.text_config.vocab_size);
            return Err(wrong("llava", format!("image_token_index {token} is outside of the vocabulary of {v}")));
        }
        Ok(())
    }
}
