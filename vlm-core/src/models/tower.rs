//! Vision towers by the `model_type` of `vision_config`: the LLaVA families take CLIP's or SigLIP's.

use super::clip::{ClipVision, ClipVisionConfig};
use super::config::wrong;
use super::siglip::{SiglipVision, SiglipVisionConfig};
use crate::nn::Builder;
use crate::{Result, Tensor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// Which tokens of the vision tower reach the projector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FeatureStrategy {
    /// Without the first, which is CLIP's class token.
    #[default]
    Default,
    /// All.
    Full,
}

/// `vision_feature_layer`: one entry of the tower's hidden states, counted from the end if negative, or several joined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum FeatureLayers {
    /// One.
    One(i64),
    /// Several, joined along the width.
    Many(Vec<i64>),
}

impl FeatureLayers {
    /// The numbers, whether one or several.
    pub fn all(&self) -> &[i64] {
        match self {
            FeatureLayers::One(layer) => std::slice::from_ref(layer),
            FeatureLayers::Many(layers) => layers,
        }
    }
}

/// `vision_config` of either kind.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum TowerConfig {
    /// `clip_vision_model`.
    Clip(ClipVisionConfig),
    /// `siglip_vision_model`.
    Siglip(SiglipVisionConfig),
}

impl<'de> Deserialize<'de> for TowerConfig {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        use serde::de::Error;
        let value = Value::deserialize(d)?;
        let kind = value.get("model_type").and_then(Value::as_str).unwrap_or("clip_vision_model").to_owned();
        let failed = |e: serde_json::Error| D::Error::custom(format!("vision_config: {e}"));
        match kind.as_str() {
            "clip_vision_model" => serde_json::from_value(value).map(TowerConfig::Clip).map_err(failed),
            "siglip_vision_model" => serde_json::from_value(value).map(TowerConfig::Siglip).map_err(failed),
            _ => Err(D::Error::custom(format!(
                "unknown vision tower {kind:?}, known are clip_vision_model and siglip_vision_model"
            ))),
        }
    }
}

impl TowerConfig {
    /// Checks the values.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) naming the field.
    pub fn check(&self) -> Result<()> {
        match self {
            TowerConfig::Clip(c) => c.check(),
            TowerConfig::Siglip(c) => c.check(),
        }
    }

    /// Width of the tower.
    pub fn hidden_size(&self) -> usize {
        match self {
            TowerConfig::Clip(c) => c.hidden_size,
            TowerConfig::Siglip(c) => c.hidden_size,
        }
    }

    /// Side of a picture in pixels.
    pub fn image_size(&self) -> usize {
        match self {
            TowerConfig::Clip(c) => c.image_size,
            TowerConfig::Siglip(c) => c.image_size,
        }
    }

    /// Patches along a side of a picture.
    pub fn patches_per_side(&self) -> usize {
        match self {
            TowerConfig::Clip(c) => c.image_size / c.patch_size,
            TowerConfig::Siglip(c) => c.patches_per_side(),
        }
    }

    /// Tokens before the patches: CLIP's class token.
    pub fn class_tokens(&self) -> usize {
        usize::from(matches!(self, TowerConfig::Clip(_)))
    }

    /// Tokens of a picture that `strategy` leaves.
    pub fn tokens(&self, strategy: FeatureStrategy) -> usize {
        let all = self.patches_per_side().pow(2) + self.class_tokens();
        all - usize::from(strategy == FeatureStrategy::Default)
    }

    fn layers(&self) -> usize {
        match self {
            TowerConfig::Clip(c) => c.num_hidden_layers,
            TowerConfig::Siglip(c) => c.num_hidden_layers,
        }
    }

    /// How many layers run before each of these features is taken.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) for layers that the tower lacks, or none.
    pub fn feature_layers(&self, layers: &FeatureLayers) -> Result<Vec<usize>> {
        let n = self.layers() as i64;
        if layers.all().is_empty() {
            return Err(wrong("vision_feature_layer", "the list is empty, expected a layer".to_owned()));
        }
        let at = |&layer: &i64| {
            if !(-n - 1..=n).contains(&layer) {
                let message = format!("vision_feature_layer {layer} is outside of the tower's {n} layers");
                return Err(wrong("vision_feature_layer", message));
            }
            Ok(if layer < 0 { n + 1 + layer } else { layer } as usize)
        };
        layers.all().iter().map(at).collect()
    }
}

/// A vision tower of either kind.
#[derive(Debug)]
pub enum Tower {
    /// CLIP's.
    Clip(ClipVision),
    /// SigLIP's.
    Siglip(SiglipVision),
}

impl Tower {
    /// Builds the tower at the builder's path, which Hugging Face calls `vision_model`.
    ///
    /// # Errors
    /// Those of the configuration and of the source.
    pub fn new(b: &Builder, c: &TowerConfig) -> Result<Self> {
        Ok(match c {
            TowerConfig::Clip(c) => Tower::Clip(ClipVision::new(b, c)?),
            TowerConfig::Siglip(c) => Tower::Siglip(SiglipVision::new(b, c)?),
        })
    }

    /// Whether the features after `layers` depend on what is called `name` inside of the tower: neither on later layers nor
    /// on what follows the last one.
    pub fn reaches(name: &str, layers: &[usize]) -> bool {
        if name.starts_with("post_layernorm.") || name.starts_with("head.") {
            return false;
        }
        let layer = name.strip_prefix("encoder.layers.").and_then(|rest| rest.split('.').next()?.parse::<usize>().ok());
        layer.is_none_or(|layer| layers.iter().any(|&used| layer < used))
    }

    /// The hidden states after so many layers, joined along the width, tokens chosen by `strategy`: `[n, tokens, width]`
    /// for pictures `[n, channels, size, size]`.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) for pictures of another size.
    pub fn features(&self, pixels: &Tensor, layers: &[usize], strategy: FeatureStrategy) -> Result<Tensor> {
        let states = match self {
            Tower::Clip(t) => t.hidden_states_at(pixels, layers)?,
            Tower::Siglip(t) => t.hidden_states_at(pixels, layers)?,
        };
        let joined = match states.as_slice() {
            [one] => one.clone(),
            more => Tensor::cat(more, -1)?,
        };
        match strategy {
            FeatureStrategy::Full => Ok(joined),
            FeatureStrategy::Default => joined.narrow(1, 1, joined.size(1)? - 1),
        }
    }
}
