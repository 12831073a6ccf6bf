//! Configuration.

use crate::Result;
use crate::models::Limits;
use crate::models::config::{MAX_TOKENS, section_of, wrong};
use crate::models::text::TextConfig;
use crate::models::tower::FeatureStrategy;
use crate::nn::Activation;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

/// `vision_config` of InternVL models, with transformers' defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct InternVisionConfig {
    pub model_type: String,
    pub hidden_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub attention_bias: bool,
    pub use_qk_norm: bool,
    pub intermediate_size: usize,
    pub hidden_act: Activation,
    pub initializer_range: f64,
    pub norm_type: String,
    pub layer_norm_eps: f64,
    #[serde(deserialize_with = "square", serialize_with = "pair")]
    pub image_size: usize,
    #[serde(deserialize_with = "square", serialize_with = "pair")]
    pub patch_size: usize,
    pub num_channels: usize,
    pub use_absolute_position_embeddings: bool,
    pub layer_scale_init_value: f64,
    pub use_mean_pooling: bool,
}

impl Default for InternVisionConfig {
    fn default() -> Self {
        InternVisionConfig {
            model_type: "internvl_vision".to_owned(),
            hidden_size: 1024,
            num_hidden_layers: 24,
            num_attention_heads: 16,
            attention_bias: false,
            use_qk_norm: false,
            intermediate_size: 4096,
            hidden_act: Activation::Gelu,
            initializer_range: 0.02,
            norm_type: "layer_norm".to_owned(),
            layer_norm_eps: 1e-6,
            image_size: 448,
            patch_size: 14,
            num_channels: 3,
            use_absolute_position_embeddings: true,
            layer_scale_init_value: 0.1,
            use_mean_pooling: true,
        }
    }
}

/// A side, or the two equal sides of a square.
fn square<'de, D: Deserializer<'de>>(d: D) -> std::result::Result<usize, D::Error> {
    let value = Value::deserialize(d)?;
    let side = match value.as_array().map(Vec::as_slice) {
        Some([h, w]) if h == w => h.as_u64(),
        Some(_) => None,
        None => value.as_u64(),
    };
    let side = side.and_then(|s| usize::try_from(s).ok());
    side.ok_or_else(|| serde::de::Error::custom(format!("expected a side or two equal sides, found {value}")))
}

fn pair<S: serde::Serializer>(side: &usize, s: S) -> std::result::Result<S::Ok, S::Error> {
    [*side, *side].serialize(s)
}

/// `config.json` of InternVL models, with transformers' defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct InternVlConfig {
    pub architectures: Vec<String>,
    pub model_type: String,
    pub vision_config: InternVisionConfig,
    #[serde(deserialize_with = "qwen2")]
    pub text_config: TextConfig,
    pub image_token_id: i64,
    pub image_seq_length: usize,
    pub downsample_ratio: f64,
    pub projector_hidden_act: Activation,
    pub vision_feature_layer: i64,
    pub vision_feature_select_strategy: FeatureStrategy,
    pub tie_word_embeddings: bool,
    #[serde(alias = "dtype")]
    pub torch_dtype: String,
}

impl Default for InternVlConfig {
    fn default() -> Self {
        InternVlConfig {
            architectures: vec!["InternVLForConditionalGeneration".to_owned()],
            model_type: "internvl".to_owned(),
            vision_config: InternVisionConfig::default(),
            text_config: serde_json::from_value(json!({"model_type": "qwen2"})).unwrap_or_default(),
            image_token_id: 151_667,
            image_seq_length: 256,
            downsample_ratio: 0.5,
            projector_hidden_act: Activation::Gelu,
            vision_feature_layer: -1,
            vision_feature_select_strategy: FeatureStrategy::Default,
            tie_word_embeddings: true,
            torch_dtype: "float32".to_owned(),
        }
    }
}

/// A language model that does not say what it is is Qwen2.
fn qwen2<'de, D: Deserializer<'de>>(d: D) -> std::result::Result<TextConfig, D::Error> {
    let mut value = Value::deserialize(d)?;
    if let Some(fields) = value.as_object_mut() {
        fields.entry("model_type").or_insert_with(|| json!("qwen2"));
    }
    section_of(&value)
}

impl InternVlConfig {
    /// How many tokens along a side are joined.
    pub fn joined(&self) -> usize {
        (1.0 / self.downsample_ratio).round() as usize
    }

    /// Tokens of a tile in the text.
    pub fn tokens_per_tile(&self) -> usize {
        (self.vision_config.image_size / self.vision_config.patch_size / self.joined().max(1)).pow(2)
    }

    /// The number of layers that run before the features are taken; `None` for all and the last norm.
    pub fn feature_layers(&self) -> Option<usize> {
        let n = self.vision_config.num_hidden_layers as i64;
        match self.vision_feature_layer {
            -1 => None,
            layer if layer < 0 => Some((n + 1 + layer) as usize),
            layer => Some(layer as usize),
        }
    }

    /// Checks the values.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) naming the field.
    pub fn check(&self) -> Result<()> {
        const S: &str = "vision_config";
        let v = &self.vision_config;
        Limits::sizes(
            S,
            &[
                ("hidden_size", v.hidden_size, 1 << 16),
                ("intermediate_size", v.intermediate_size, 1 << 20),
                ("num_hidden_layers", v.num_hidden_layers, 1024),
                ("num_attention_heads", v.num_attention_heads, 1024),
                ("num_channels", v.num_channels, 16),
                ("image_size", v.image_size, 1 << 14),
                ("patch_size", v.patch_size, v.image_size.min(1 << 10)),
            ],
        )?;
        Limits::multiple(S, ("hidden_size", v.hidden_size), ("num_attention_heads", v.num_attention_heads))?;
        Limits::positive(S, "layer_norm_eps", v.layer_norm_eps)?;
        let patches = (v.image_size / v.patch_size).pow(2);
        Limits::sizes(S, &[("the number of patches of a picture", patches, MAX_TOKENS)])?;
        if !["layer_norm", "rms_norm"].contains(&v.norm_type.as_str()) {
            return Err(wrong(S, format!("norm_type is {:?}, expected layer_norm or rms_norm", v.norm_type)));
        }
        self.text_config.check()?;
        let (ratio, n) = (self.downsample_ratio, v.num_hidden_layers as i64);
        if !(ratio > 0.0 && ratio <= 1.0) || (1.0 / ratio).fract() != 0.0 {
            return Err(wrong("config", format!("downsample_ratio is {ratio}, expected one over a whole number")));
        }
        if !(-n - 1..=n).contains(&self.vision_feature_layer) {
            let message =
                format!("vision_feature_layer {} is outside of the tower's {n} layers", self.vision_feature_layer);
            return Err(wrong("config", message));
        }
        if self.vision_feature_select_strategy == FeatureStrategy::Full {
            return Err(wrong(
                "config",
                "vision_feature_select_strategy \"full\" leaves no square of patches".to_owned(),
            ));
        }
        Limits::multiple(
            "config",
            ("the patches along a side", v.image_size / v.patch_size),
            ("joined tokens", self.joined()),
        )
    }
}
