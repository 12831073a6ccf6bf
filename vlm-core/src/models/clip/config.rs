//! Configuration of the vision transformer.

use crate::Result;
use crate::models::Limits;
use crate::models::config::MAX_TOKENS;
use crate::nn::{Activation, EncoderConfig};
use serde::{Deserialize, Serialize};

/// `vision_config` of CLIP models, with transformers' defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct ClipVisionConfig {
    pub model_type: String,
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub projection_dim: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub num_channels: usize,
    pub image_size: usize,
    pub patch_size: usize,
    pub hidden_act: Activation,
    pub layer_norm_eps: f64,
    pub initializer_range: f64,
}

impl Default for ClipVisionConfig {
    fn default() -> Self {
        ClipVisionConfig {
            model_type: "clip_vision_model".to_owned(),
            hidden_size: 768,
            intermediate_size: 3072,
            projection_dim: 512,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            num_channels: 3,
            image_size: 224,
            patch_size: 32,
            hidden_act: Activation::QuickGelu,
            layer_norm_eps: 1e-5,
            initializer_range: 0.02,
        }
    }
}

impl ClipVisionConfig {
    /// The tower of LLaVA 1.5 and LLaVA-NeXT, CLIP's large one for pictures of 336 pixels: what transformers takes where
    /// their files have no `vision_config` at all.
    pub fn large_336() -> Self {
        ClipVisionConfig {
            hidden_size: 1024,
            intermediate_size: 4096,
            num_hidden_layers: 24,
            num_attention_heads: 16,
            image_size: 336,
            patch_size: 14,
            projection_dim: 768,
            ..ClipVisionConfig::default()
        }
    }

    /// Checks the values.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) naming the field.
    pub fn check(&self) -> Result<()> {
        const S: &str = "vision_config";
        Limits::sizes(
            S,
            &[
                ("hidden_size", self.hidden_size, 1 << 16),
                ("intermediate_size", self.intermediate_size, 1 << 20),
                ("num_hidden_layers", self.num_hidden_layers, 1024),
                ("num_attention_heads", self.num_attention_heads, 1024),
                ("num_channels", self.num_channels, 16),
                ("image_size", self.image_size, 1 << 14),
                ("patch_size", self.patch_size, 1 << 10),
            ],
        )?;
        let (hidden, heads) = (("hidden_size", self.hidden_size), ("num_attention_heads", self.num_attention_heads));
        Limits::multiple(S, hidden, heads)?;
        Limits::positive(S, "layer_norm_eps", self.layer_norm_eps)?;
        if self.patch_size > self.image_size {
            return Limits::multiple(S, ("image_size", self.image_size), ("patch_size", self.patch_size));
        }
        Limits::sizes(S, &[("the number of patches of a picture", self.patches(), MAX_TOKENS)])
    }

    /// Number of patches of a picture.
    pub fn patches(&self) -> usize {
        (self.image_size / self.patch_size).pow(2)
    }

    /// The sizes of a layer.
    pub fn layer(&self) -> EncoderConfig {
        EncoderConfig {
            hidden: self.hidden_size,
            heads: self.num_attention_heads,
            intermediate: self.intermediate_size,
            act: self.hidden_act,
            eps: self.layer_norm_eps,
            std: self.initializer_range,
        }
    }
}

/// `text_config` of CLIP models, with transformers' defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct ClipTextConfig {
    pub model_type: String,
    pub vocab_size: usize,
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub projection_dim: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub max_position_embeddings: usize,
    pub hidden_act: Activation,
    pub layer_norm_eps: f64,
    pub initializer_range: f64,
    pub eos_token_id: i64,
}

impl Default for ClipTextConfig {
    fn default() -> Self {
        ClipTextConfig {
            model_type: "clip_text_model".to_owned(),
            vocab_size: 49408,
            hidden_size: 512,
            intermediate_size: 2048,
            projection_dim: 512,
            num_hidden_layers: 12,
            num_attention_heads: 8,
            max_position_embeddings: 77,
            hidden_act: Activation::QuickGelu,
            layer_norm_eps: 1e-5,
            initializer_range: 0.02,
            eos_token_id: 49407,
        }
    }
}

impl ClipTextConfig {
    /// Checks the values.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) naming the field.
    pub fn check(&self) -> Result<()> {
        const S: &str = "text_config";
        Limits::sizes(
            S,
            &[
                ("vocab_size", self.vocab_size, 1 << 22),
                ("hidden_size", self.hidden_size, 1 << 16),
                ("intermediate_size", self.intermediate_size, 1 << 20),
                ("projection_dim", self.projection_dim, 1 << 16),
                ("num_hidden_layers", self.num_hidden_layers, 1024),
                ("num_attention_heads", self.num_attention_heads, 1024),
                ("max_position_embeddings", self.max_position_embeddings, 1 << 20),
            ],
        )?;
        let heads = ("num_attention_heads", self.num_attention_heads);
        Limits::multiple(S, ("hidden_size", self.hidden_size), heads)?;
        Limits::positive(S, "layer_norm_eps", self.layer_norm_eps)
    }

    /// The sizes of a layer.
    pub fn layer(&self) -> EncoderConfig {
        EncoderConfig {
            hidden: self.hidden_size,
            heads: self.num_attention_heads,
            intermediate: self.intermediate_size,
            act: self.hidden_act,
            eps: self.layer_norm_eps,
            std: self.initializer_range,
        }
    }
}

/// `config.json` of CLIP models, with transformers' defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct ClipConfig {
    pub architectures: Vec<String>,
    pub model_type: String,
    pub text_config: ClipTextConfig,
    pub vision_config: ClipVisionConfig,
    pub projection_dim: usize,
    pub logit_scale_init_value: f64,
    #[serde(alias = "dtype")]
    pub torch_dtype: String,
}

impl Default for ClipConfig {
    fn default() -> Self {
        ClipConfig {
            architectures: vec!["CLIPModel".to_owned()],
            model_type: "clip".to_owned(),
            text_config: ClipTextConfig::default(),
            vision_config: ClipVisionConfig::default(),
            projection_dim: 512,
            logit_scale_init_value: 2.6592,
            torch_dtype: "float32".to_owned(),
        }
    }
}

impl ClipConfig {
    /// Checks the values.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) naming the field.
    pub fn check(&self) -> Result<()> {
        self.text_config.check()?;
        self.vision_config.check()?;
        Limits::sizes("config", &[("projection_dim", self.projection_dim, 1 << 16)])
    }
}
