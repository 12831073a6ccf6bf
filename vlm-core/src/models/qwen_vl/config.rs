//! Configuration.

use crate::Result;
use crate::models::Limits;
use crate::models::auto::parse;
use crate::models::config::wrong;
use crate::models::text::TextConfig;
use crate::nn::Activation;
use serde_json::{Value, json};

/// Which of the three families.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    /// `qwen2_vl`.
    Two,
    /// `qwen2_5_vl`.
    TwoFive,
    /// `qwen3_vl`.
    Three,
}

/// `vision_config`, the families' different names for the same sizes brought together.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct QwenVisionConfig {
    pub generation: Generation,
    pub depth: usize,
    /// Width of the tower: `embed_dim` of Qwen2-VL, `hidden_size` of the others.
    pub width: usize,
    pub intermediate_size: usize,
    pub num_heads: usize,
    pub in_channels: usize,
    pub patch_size: usize,
    pub temporal_patch_size: usize,
    pub spatial_merge_size: usize,
    /// Width after the merger: `hidden_size` of Qwen2-VL, `out_hidden_size` of the others.
    pub out_hidden_size: usize,
    pub hidden_act: Activation,
    /// Side of an attention window in pixels (Qwen2.5-VL).
    pub window_size: usize,
    /// Blocks that see whole pictures (Qwen2.5-VL); all others see their window.
    pub fullatt_block_indexes: Vec<usize>,
    /// Rows of the table of positions, a square (Qwen3-VL).
    pub num_position_embeddings: usize,
    /// Blocks whose results go to the first layers of the language model (Qwen3-VL).
    pub deepstack_visual_indexes: Vec<usize>,
    pub initializer_range: f64,
}

/// `config.json` of a Qwen-VL model.
#[derive(Clone, Debug, PartialEq)]
pub struct QwenVlConfig {
    /// The vision tower.
    pub vision: QwenVisionConfig,
    /// The language model.
    pub text: TextConfig,
    /// The id of a picture's placeholder.
    pub image_token_id: i64,
    /// The file as it was read.
    pub json: Value,
}

impl QwenVlConfig {
    /// Reads `config.json`; what it leaves out is transformers' default of its `model_type`. Settings of the language model
    /// may stand at the top level or in `text_config`.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) naming the field that does not fit.
    pub fn from_json(config: &Value) -> Result<Self> {
        let model_type = config["model_type"].as_str().unwrap_or_default();
        let generation = match model_type {
            "qwen2_vl" => Generation::Two,
            "qwen2_5_vl" => Generation::TwoFive,
            "qwen3_vl" => Generation::Three,
            other => return Err(wrong("config", format!("model_type {other:?} is no Qwen-VL"))),
        };
        for section in ["text_config", "vision_config"] {
            let found = &config[section];
            if !found.is_null() && !found.is_object() {
                return Err(wrong("config", format!("{section} is {found}, expected an object")));
            }
        }
        let mut text = if config["text_config"].is_object() { config["text_config"].clone() } else { config.clone() };
        let Some(fields) = text.as_object_mut() else { return Err(wrong("config", "not an object".to_owned())) };
        fields.insert("model_type".to_owned(), json!(format!("{model_type}_text")));
        let mut text: TextConfig = parse(&text)?;
        text.tie_word_embeddings |= config["tie_word_embeddings"] == true;
        let image_token_id = config["image_token_id"].as_i64().unwrap_or(151_655);
        let vision = QwenVisionConfig::from_json(&config["vision_config"], generation, &text)?;
        Ok(QwenVlConfig { vision, text, image_token_id, json: config.clone() })
    }

    /// Checks the values.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) naming the field.
    pub fn check(&self) -> Result<()> {
        self.vision.check()?;
        self.text.check()?;
        let (out, hidden) = (self.vision.out_hidden_size, self.text.hidden_size);
        if out != hidden {
            return Err(wrong(
                "vision_config",
                format!("the merger gives {out} values, the language model takes {hidden}"),
            ));
        }
        Ok(())
    }
}

impl QwenVisionConfig {
    fn from_json(c: &Value, generation: Generation, text: &TextConfig) -> Result<Self> {
        const S: &str = "vision_config";
        let number = |names: &[&str], default: usize| -> Result<usize> {
            match names.iter().find_map(|n| c.get(*n).filter(|v| !v.is_null()).map(|v| (n, v))) {
                None => Ok(default),
                Some((name, v)) => {
                    let n = v.as_f64().filter(|n| n.fract() == 0.0 && (0.0..1e15).contains(n));
                    n.map(|n| n as usize).ok_or_else(|| wrong(S, format!("{name} is {v}, expected a number")))
                }
            }
        };
        let list = |name: &str, default: &[usize]| -> Result<Vec<usize>> {
            match &c[name] {
                Value::Null => Ok(default.to_vec()),
                found => parse(found).map_err(|_| wrong(S, format!("{name} is {found}, expected a list of numbers"))),
            }
        };
        let old = generation == Generation::Two;
        let three = generation == Generation::Three;
        let width = if old {
            number(&["embed_dim"], 1280)?
        } else {
            number(&["hidden_size"], if three { 1152 } else { 3584 })?
        };
        let act = match &c["hidden_act"] {
            Value::Null => [Activation::QuickGelu, Activation::Silu, Activation::GeluTanh][generation as usize],
            found => parse(found)?,
        };
        Ok(QwenVisionConfig {
            generation,
            depth: number(&["depth"], if three { 27 } else { 32 })?,
            width,
            intermediate_size: if old {
                number(&["mlp_ratio"], 4)?.saturating_mul(width)
            } else {
                number(&["intermediate_size"], if three { 4304 } else { 3420 })?
            },
            num_heads: number(&["num_heads"], 16)?,
            in_channels: number(&["in_channels", "in_chans"], 3)?,
            patch_size: number(&["patch_size", "spatial_patch_size"], if three { 16 } else { 14 })?,
            temporal_patch_size: number(&["temporal_patch_size"], 2)?,
            spatial_merge_size: number(&["spatial_merge_size"], 2)?,
            out_hidden_size: number(&[if old { "hidden_size" } else { "out_hidden_size" }], text.hidden_size)?,
            hidden_act: act,
            window_size: number(&["window_size"], 112)?,
            fullatt_block_indexes: list("fullatt_block_indexes", &[7, 15, 23, 31])?,
            num_position_embeddings: number(&["num_position_embeddings"], 2304)?,
            deepstack_visual_indexes: if three { list("deepstack_visual_indexes", &[8, 16, 24])? } else { Vec::new() },
            initializer_range: c["initializer_range"].as_f64().unwrap_or(0.02),
        })
    }

    /// What files call the width of the tower.
    fn width_name(&self) -> &'static str {
        if self.generation == Generation::Two { "embed_dim" } else { "hidden_size" }
    }

    /// Values of a patch: channels, frames, rows, columns.
    pub fn patch_values(&self) -> usize {
        self.in_channels * self.temporal_patch_size * self.patch_size * self.patch_size
    }

    fn check(&self) -> Result<()> {
        const S: &str = "vision_config";
        Limits::sizes(
            S,
            &[
                ("depth", self.depth, 1024),
                (self.width_name(), self.width, 1 << 16),
                ("intermediate_size", self.intermediate_size, 1 << 20),
                ("num_heads", self.num_heads, 1024),
                ("in_channels", self.in_channels, 16),
                ("patch_size", self.patch_size, 1 << 10),
                ("temporal_patch_size", self.temporal_patch_size, 64),
                ("spatial_merge_size", self.spatial_merge_size, 64),
                ("window_size", self.window_size, 1 << 16),
                ("num_position_embeddings", self.num_position_embeddings, 1 << 24),
            ],
        )?;
        Limits::multiple(S, (self.width_name(), self.width), ("num_heads", self.num_heads))?;
        // Two axes share a head's pairs of channels.
        Limits::multiple(S, ("the size of a head", self.width / self.num_heads), ("two axes of pairs", 4))?;
        if self.generation == Generation::TwoFive {
            let cell = ("a merged patch", self.patch_size * self.spatial_merge_size);
            Limits::sizes(S, &[("patch_size · spatial_merge_size", cell.1, self.window_size)])?;
        }
        let side = self.num_position_embeddings.isqrt();
        if self.generation == Generation::Three && side * side != self.num_position_embeddings {
            return Err(wrong(S, format!("num_position_embeddings {} is no square", self.num_position_embeddings)));
        }
        match self.deepstack_visual_indexes.iter().find(|i| **i >= self.depth) {
            Some(i) => Err(wrong(S, format!("deepstack_visual_indexes has {i}, but depth is {}", self.depth))),
            None => Ok(()),
        }
    }
}
