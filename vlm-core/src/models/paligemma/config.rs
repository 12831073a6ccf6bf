//! Configuration.

use crate::Result;
use crate::models::Limits;
use crate::models::config::{section, section_of};
use crate::models::siglip::SiglipVisionConfig;
use crate::models::text::TextConfig;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

/// `config.json` of PaliGemma models, with transformers' defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct PaliGemmaConfig {
    pub architectures: Vec<String>,
    pub model_type: String,
    pub vision_config: SiglipVisionConfig,
    #[serde(deserialize_with = "gemma")]
    pub text_config: TextConfig,
    #[serde(alias = "image_token_id")]
    pub image_token_index: i64,
    pub projection_dim: usize,
    #[serde(alias = "dtype")]
    pub torch_dtype: String,
}

impl Default for PaliGemmaConfig {
    fn default() -> Self {
        PaliGemmaConfig {
            architectures: vec!["PaliGemmaForConditionalGeneration".to_owned()],
            model_type: "paligemma".to_owned(),
            // What transformers takes where a file has no section at all; a section that is there gets the defaults of its
            // model type.
            vision_config: SiglipVisionConfig {
                hidden_size: 1152,
                intermediate_size: 4096,
                num_hidden_layers: 27,
                num_attention_heads: 16,
                patch_size: 14,
                vision_use_head: false,
                ..SiglipVisionConfig::default()
            },
            text_config: section(&json!({
                "model_type": "gemma", "hidden_size": 2048, "intermediate_size": 16384, "num_hidden_layers": 18,
                "num_attention_heads": 8, "num_key_value_heads": 1, "vocab_size": 257_152,
            }))
            .unwrap_or_default(),
            image_token_index: 256_000,
            projection_dim: 2048,
            torch_dtype: "float32".to_owned(),
        }
    }
}

/// A language model that does not say what it is is Gemma.
fn gemma<'de, D: Deserializer<'de>>(d: D) -> std::result::Result<TextConfig, D::Error> {
    let mut value = Value::deserialize(d)?;
    if let Some(fields) = value.as_object_mut() {
        fields.entry("model_type").or_insert_with(|| json!("gemma"));
    }
    section_of(&value)
}

impl PaliGemmaConfig {
    /// Number of placeholders that a picture has in the text.
    pub fn image_tokens(&self) -> usize {
        self.vision_config.patches_per_side().pow(2)
    }

    /// Checks the values.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) naming the field.
    pub fn check(&self) -> Result<()> {
        self.vision_config.check()?;
        self.text_config.check()?;
        let width = ("projection_dim", self.projection_dim);
        Limits::sizes("paligemma", &[("projection_dim", self.projection_dim, self.text_config.hidden_size)])?;
        Limits::multiple("paligemma", ("text_config.hidden_size", self.text_config.hidden_size), width)
    }
}
