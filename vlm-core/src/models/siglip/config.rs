//! Configuration.

use crate::Result;
use crate::models::Limits;
use crate::models::clip::ClipTextConfig;
use crate::models::config::{MAX_TOKENS, wrong};
use crate::nn::{Activation, EncoderConfig};
use serde::{Deserialize, Serialize};

/// `vision_config` of SigLIP models, with transformers' defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct SiglipVisionConfig {
    pub model_type: String,
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub num_channels: usize,
    pub image_size: usize,
    pub patch_size: usize,
    pub hidden_act: Activation,
    pub layer_norm_eps: f64,
    pub vision_use_head: bool,
    /// SigLIP 2: entries of the table of positions, a square.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_patches: Option<usize>,
    pub initializer_range: f64,
}

impl Default for SiglipVisionConfig {
    fn default() -> Self {
        SiglipVisionConfig {
            model_type: "siglip_vision_model".to_owned(),
            hidden_size: 768,
            intermediate_size: 3072,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            num_channels: 3,
            image_size: 224,
            patch_size: 16,
            hidden_act: Activation::GeluTanh,
            layer_norm_eps: 1e-6,
            vision_use_head: true,
            num_patches: None,
            initializer_range: 0.02,
        }
    }
}

impl SiglipVisionConfig {
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
                ("patch_size", self.patch_size, self.image_size.min(1 << 10)),
            ],
        )?;
        let heads = ("num_attention_heads", self.num_attention_heads);
        Limits::multiple(S, ("hidden_size", self.hidden_size), heads)?;
        Limits::positive(S, "layer_norm_eps", self.layer_norm_eps)?;
        Limits::sizes(S, &[("the number of patches of a picture", self.patches_per_side().pow(2), MAX_TOKENS)])
    }

    /// Patches along a side of a picture.
    pub fn patches_per_side(&self) -> usize {
        self.image_size / self.patch_size
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

/// `text_config` of SigLIP models, with transformers' defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct SiglipTextConfig {
    pub model_type: String,
    pub vocab_size: usize,
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub max_position_embeddings: usize,
    pub hidden_act: Activation,
    pub layer_norm_eps: f64,
    pub initializer_range: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub projection_size: Option<usize>,
}

impl Default for SiglipTextConfig {
    fn default() -> Self {
        SiglipTextConfig {
            model_type: "siglip_text_model".to_owned(),
            vocab_size: 32000,
            hidden_size: 768,
            intermediate_size: 3072,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            max_position_embeddings: 64,
            hidden_act: Activation::GeluTanh,
            layer_norm_eps: 1e-6,
            initializer_range: 0.02,
            projection_size: None,
        }
    }
}

impl SiglipTextConfig {
    /// The same sizes as the tower that CLIP and SigLIP share has them.
    pub fn tower(&self) -> ClipTextConfig {
        ClipTextConfig {
            model_type: self.model_type.clone(),
            vocab_size: self.vocab_size,
            hidden_size: self.hidden_size,
            intermediate_size: self.intermediate_size,
            projection_dim: self.projection_size.unwrap_or(self.hidden_size),
            num_hidden_layers: self.num_hidden_layers,
            num_attention_heads: self.num_attention_heads,
            max_position_embeddings: self.max_position_embeddings,
            hidden_act: self.hidden_act,
            layer_norm_eps: self.layer_norm_eps,
            initializer_range: self.initializer_range,
            eos_token_id: 1,
        }
    }
}

/// `config.json` of SigLIP and SigLIP 2 models, with transformers' defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct SiglipConfig {
    pub architectures: Vec<String>,
    pub model_type: String,
    pub text_config: SiglipTextConfig,
    pub vision_config: SiglipVisionConfig,
    #[serde(alias = "dtype")]
    pub torch_dtype: String,
}

impl Default for SiglipConfig {
    fn default() -> Self {
        SiglipConfig {
            architectures: vec!["SiglipModel".to_owned()],
            model_type: "siglip".to_owned(),
            text_config: SiglipTextConfig::default(),
            vision_config: SiglipVisionConfig::default(),
            torch_dtype: "float32".to_owned(),
        }
    }
}

impl SiglipConfig {
    /// SigLIP 2: the entries of its table of positions. `None` for SigLIP.
    pub fn naflex(&self) -> Option<usize> {
        (self.model_type == "siglip2").then(|| self.vision_config.num_patches.unwrap_or(256))
    }

    /// Checks the values.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) naming the field.
    pub fn check(&self) -> Result<()> {
        self.text_config.tower().check()?;
        self.vision_config.check()?;
        if !self.vision_config.vision_use_head {
            return Err(wrong(
                "vision_config",
                "vision_use_head is false: there is nothing to compare texts with".to_owned(),
            ));
        }
        let (text, vision) = (self.text_config.tower().projection_dim, self.vision_config.hidden_size);
        if text != vision {
            return Err(wrong("config", format!("texts have {text} values, pictures {vision}")));
        }
        match self.naflex() {
            Some(n) if n == 0 || n > 1 << 20 || n.isqrt().pow(2) != n => {
                Err(wrong("vision_config", format!("num_patches is {n}, expected a square")))
            }
            _ => Ok(()),
        }
    }
}
