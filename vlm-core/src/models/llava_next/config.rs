//! Configuration.

use crate::Result;
use crate::models::auto::parse;
use crate::models::clip::ClipVisionConfig;
use crate::models::config::wrong;
use crate::models::siglip::SiglipVisionConfig;
use crate::models::text::TextConfig;
use crate::models::tower::{FeatureLayers, FeatureStrategy, TowerConfig};
use crate::nn::Activation;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// `config.json` of LLaVA-NeXT and LLaVA-OneVision models. Read it with [`LlavaNextConfig::from_json`], which knows the
/// defaults of both.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct LlavaNextConfig {
    pub architectures: Vec<String>,
    pub model_type: String,
    pub vision_config: TowerConfig,
    pub text_config: TextConfig,
    #[serde(alias = "image_token_id")]
    pub image_token_index: i64,
    pub image_grid_pinpoints: Vec<[usize; 2]>,
    pub projector_hidden_act: Activation,
    pub vision_feature_layer: FeatureLayers,
    pub vision_feature_select_strategy: FeatureStrategy,
    pub multimodal_projector_bias: bool,
    /// OneVision: `anyres_max_9` shrinks grids of more than nine times the patches of a tile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vision_aspect_ratio: Option<String>,
    pub tie_word_embeddings: bool,
    #[serde(alias = "dtype")]
    pub torch_dtype: String,
}

impl LlavaNextConfig {
    /// LLaVA-NeXT's defaults in transformers.
    pub fn next() -> Self {
        LlavaNextConfig {
            architectures: vec!["LlavaNextForConditionalGeneration".to_owned()],
            model_type: "llava_next".to_owned(),
            vision_config: TowerConfig::Clip(ClipVisionConfig::large_336()),
            text_config: TextConfig::default(),
            image_token_index: 32000,
            image_grid_pinpoints: vec![[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]],
            projector_hidden_act: Activation::Gelu,
            vision_feature_layer: FeatureLayers::One(-2),
            vision_feature_select_strategy: FeatureStrategy::Default,
            multimodal_projector_bias: true,
            vision_aspect_ratio: None,
            tie_word_embeddings: false,
            torch_dtype: "float32".to_owned(),
        }
    }

    /// LLaVA-OneVision's defaults in transformers.
    pub fn onevision() -> Self {
        let vision = SiglipVisionConfig {
            hidden_size: 1152,
            intermediate_size: 4304,
            num_hidden_layers: 26,
            num_attention_heads: 16,
            image_size: 384,
            patch_size: 14,
            vision_use_head: false,
            ..SiglipVisionConfig::default()
        };
        let sides = || (1..=6).map(|i| 384 * i);
        LlavaNextConfig {
            architectures: vec!["LlavaOnevisionForConditionalGeneration".to_owned()],
            model_type: "llava_onevision".to_owned(),
            vision_config: TowerConfig::Siglip(vision),
            text_config: serde_json::from_value(json!({"model_type": "qwen2"})).unwrap_or_default(),
            image_token_index: 151_646,
            image_grid_pinpoints: sides().flat_map(|h| sides().map(move |w| [h, w])).collect(),
            vision_feature_layer: FeatureLayers::One(-1),
            vision_feature_select_strategy: FeatureStrategy::Full,
            vision_aspect_ratio: Some("anyres_max_9".to_owned()),
            ..LlavaNextConfig::next()
        }
    }

    /// Reads `config.json`; what it leaves out is the default of its `model_type`.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) naming the field that does not fit.
    pub fn from_json(config: &Value) -> Result<Self> {
        let is_onevision = config["model_type"] == "llava_onevision";
        let (base, text) = if is_onevision { (Self::onevision(), "qwen2") } else { (Self::next(), "llama") };
        let mut all = serde_json::to_value(&base).map_err(|e| wrong("config", e.to_string()))?;
        for (name, value) in config.as_object().into_iter().flatten().filter(|(_, v)| !v.is_null()) {
            let name = match name.as_str() {
                "image_token_id" => "image_token_index",
                "dtype" => "torch_dtype",
                other => other,
            };
            all[name] = value.clone();
        }
        if let Some(fields) = all["text_config"].as_object_mut() {
            fields.entry("model_type").or_insert_with(|| json!(text));
        }
        parse(&all)
    }

    /// Most patches of a grid, in multiples of those of a tile; `None` for no bound.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if `vision_aspect_ratio` does not end in a number.
    pub fn most_patches(&self) -> Result<Option<usize>> {
        let Some(text) = &self.vision_aspect_ratio else { return Ok(None) };
        let number = text.strip_prefix("anyres_max_").and_then(|n| n.parse().ok()).filter(|n| *n > 0);
        number.map(Some).ok_or_else(|| wrong("vision_aspect_ratio", format!("{text:?}, expected \"anyres_max_9\"")))
    }

    /// Checks the values.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) naming the field.
    pub fn check(&self) -> Result<()> {
        self.vision_config.check()?;
        self.text_config.check()?;
        self.vision_config.feature_layers(&self.vision_feature_layer)?;
        self.most_patches()?;
        let (tokens, patches) = (
            self.vision_config.tokens(self.vision_feature_select_strategy),
            self.vision_config.patches_per_side().pow(2),
        );
        if tokens != patches {
            let message = format!("vision_feature_select_strategy leaves {tokens} of {patches} patches, no square");
            return Err(wrong("config", message));
        }
        let side = self.vision_config.image_size();
        crate::vision::anyres_pinpoints(&json!(self.image_grid_pinpoints), side).map(|_| ())
    }
}
