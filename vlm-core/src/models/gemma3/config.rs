//! Configuration.

use crate::Result;
use crate::models::Limits;
use crate::models::config::{section_of, wrong};
use crate::models::siglip::SiglipVisionConfig;
use crate::models::text::TextConfig;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

/// `config.json` of Gemma 3 models that see, with transformers' defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Gemma3Config {
    pub architectures: Vec<String>,
    pub model_type: String,
    pub vision_config: SiglipVisionConfig,
    #[serde(deserialize_with = "gemma3")]
    pub text_config: TextConfig,
    pub mm_tokens_per_image: usize,
    #[serde(alias = "boi_token_id")]
    pub boi_token_index: i64,
    #[serde(alias = "eoi_token_id")]
    pub eoi_token_index: i64,
    #[serde(alias = "image_token_id")]
    pub image_token_index: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eos_token_id: Option<Value>,
    #[serde(alias = "dtype")]
    pub torch_dtype: String,
}

impl Default for Gemma3Config {
    fn default() -> Self {
        Gemma3Config {
            architectures: vec!["Gemma3ForConditionalGeneration".to_owned()],
            model_type: "gemma3".to_owned(),
            vision_config: SiglipVisionConfig { vision_use_head: false, ..SiglipVisionConfig::default() },
            text_config: serde_json::from_value(json!({"model_type": "gemma3_text"})).unwrap_or_default(),
            mm_tokens_per_image: 256,
            boi_token_index: 255_999,
            eoi_token_index: 256_000,
            image_token_index: 262_144,
            eos_token_id: None,
            torch_dtype: "float32".to_owned(),
        }
    }
}

/// A language model that does not say what it is is Gemma 3's.
fn gemma3<'de, D: Deserializer<'de>>(d: D) -> std::result::Result<TextConfig, D::Error> {
    let mut value = Value::deserialize(d)?;
    if let Some(fields) = value.as_object_mut() {
        fields.entry("model_type").or_insert_with(|| json!("gemma3_text"));
    }
    section_of(&value)
}

impl Gemma3Config {
    /// Tokens along a side of a picture, after pooling.
    pub fn tokens_per_side(&self) -> usize {
        self.mm_tokens_per_image.isqrt()
    }

    /// Checks the values.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) naming the field.
    pub fn check(&self) -> Result<()> {
        self.vision_config.check()?;
        self.text_config.check()?;
        let (n, side) = (self.mm_tokens_per_image, self.vision_config.patches_per_side());
        Limits::sizes("gemma3", &[("mm_tokens_per_image", n, side * side)])?;
        if self.tokens_per_side().pow(2) != n {
            return Err(wrong("gemma3", format!("mm_tokens_per_image {n} is no square")));
        }
        let per_side = ("the root of mm_tokens_per_image", self.tokens_per_side());
        Limits::multiple("gemma3", ("the patches along a side", side), per_side)
    }
}
