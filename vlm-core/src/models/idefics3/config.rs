//! Configuration.

use crate::Result;
use crate::models::Limits;
use crate::models::config::section_of;
use crate::models::siglip::SiglipVisionConfig;
use crate::models::text::TextConfig;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

/// `config.json` of Idefics3 and SmolVLM models, with transformers' defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Idefics3Config {
    pub architectures: Vec<String>,
    pub model_type: String,
    #[serde(deserialize_with = "vision")]
    pub vision_config: SiglipVisionConfig,
    pub text_config: TextConfig,
    pub image_token_id: i64,
    pub scale_factor: usize,
    pub tie_word_embeddings: bool,
    #[serde(alias = "dtype")]
    pub torch_dtype: String,
}

fn tower() -> SiglipVisionConfig {
    SiglipVisionConfig {
        model_type: "idefics3_vision".to_owned(),
        hidden_size: 1152,
        num_attention_heads: 16,
        patch_size: 32,
        vision_use_head: false,
        ..SiglipVisionConfig::default()
    }
}

impl Default for Idefics3Config {
    fn default() -> Self {
        Idefics3Config {
            architectures: vec!["Idefics3ForConditionalGeneration".to_owned()],
            model_type: "idefics3".to_owned(),
            vision_config: tower(),
            text_config: TextConfig { rms_norm_eps: 1e-5, ..TextConfig::default() },
            image_token_id: 128_257,
            scale_factor: 2,
            tie_word_embeddings: false,
            torch_dtype: "float32".to_owned(),
        }
    }
}

/// What a file leaves out is this tower's default, not SigLIP's.
fn vision<'de, D: Deserializer<'de>>(d: D) -> std::result::Result<SiglipVisionConfig, D::Error> {
    use serde::de::Error;
    let given = Value::deserialize(d)?;
    let mut all = serde_json::to_value(tower()).map_err(D::Error::custom)?;
    let Some(fields) = given.as_object() else {
        return Err(D::Error::custom(format!("found {given}, expected an object")));
    };
    for (name, value) in fields.iter().filter(|(_, v)| !v.is_null()) {
        all[name] = value.clone();
    }
    all["vision_use_head"] = json!(false);
    section_of(&all)
}

impl Idefics3Config {
    /// Tokens of a tile in the text.
    pub fn tokens_per_tile(&self) -> usize {
        (self.vision_config.patches_per_side() / self.scale_factor.max(1)).pow(2)
    }

    /// Checks the values.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) naming the field.
    pub fn check(&self) -> Result<()> {
        self.vision_config.check()?;
        self.text_config.check()?;
        let side = self.vision_config.patches_per_side();
        Limits::sizes("config", &[("scale_factor", self.scale_factor, side)])?;
        Limits::multiple("config", ("the patches along a side", side), ("scale_factor", self.scale_factor))
    }
}
