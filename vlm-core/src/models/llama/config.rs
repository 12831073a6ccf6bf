//! Configuration of the language model.

use crate::Result;
use crate::models::Limits;
use crate::models::config::wrong;
use crate::nn::Activation;
use serde::{Deserialize, Serialize};

/// `config.json` of Llama models, with transformers' defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct LlamaConfig {
    pub model_type: String,
    pub vocab_size: usize,
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_key_value_heads: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head_dim: Option<usize>,
    pub hidden_act: Activation,
    pub max_position_embeddings: usize,
    pub rms_norm_eps: f64,
    pub rope_theta: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rope_scaling: Option<serde_json::Value>,
    /// Where transformers 5 writes `rope_theta`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rope_parameters: Option<serde_json::Value>,
    pub attention_bias: bool,
    pub mlp_bias: bool,
    pub tie_word_embeddings: bool,
    pub initializer_range: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bos_token_id: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eos_token_id: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pad_token_id: Option<i64>,
}

impl Default for LlamaConfig {
    fn default() -> Self {
        LlamaConfig {
            model_type: "llama".to_owned(),
            vocab_size: 32000,
            hidden_size: 4096,
            intermediate_size: 11008,
            num_hidden_layers: 32,
            num_attention_heads: 32,
            num_key_value_heads: None,
            head_dim: None,
            hidden_act: Activation::Silu,
            max_position_embeddings: 2048,
            rms_norm_eps: 1e-6,
            rope_theta: 10000.0,
            rope_scaling: None,
            rope_parameters: None,
            attention_bias: false,
            mlp_bias: false,
            tie_word_embeddings: false,
            initializer_range: 0.02,
            bos_token_id: Some(1),
            eos_token_id: Some(2.into()),
            pad_token_id: None,
        }
    }
}

impl LlamaConfig {
    /// Number of key and value heads.
    pub fn kv_heads(&self) -> usize {
        self.num_key_value_heads.unwrap_or(self.num_attention_heads)
    }

    /// Size of a head.
    pub fn head_dim(&self) -> usize {
        self.head_dim.unwrap_or(self.hidden_size / self.num_attention_heads.max(1))
    }

    /// The base of the rotary frequencies, wherever the file has it.
    pub fn theta(&self) -> f64 {
        let nested =
            self.rope_parameters.as_ref().and_then(|p| p.get("rope_theta")).and_then(serde_json::Value::as_f64);
        nested.unwrap_or(self.rope_theta)
    }

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
                ("num_hidden_layers", self.num_hidden_layers, 1024),
                ("num_attention_heads", self.num_attention_heads, 1024),
                ("num_key_value_heads", self.kv_heads(), 1024),
                ("head_dim", self.head_dim(), 4096),
                ("max_position_embeddings", self.max_position_embeddings, 1 << 26),
            ],
        )?;
        if self.head_dim.is_none() {
            let hidden = ("hidden_size", self.hidden_size);
            Limits::multiple(S, hidden, ("num_attention_heads", self.num_attention_heads))?;
        }
        let heads = ("num_attention_heads", self.num_attention_heads);
        Limits::multiple(S, heads, ("num_key_value_heads", self.kv_heads()))?;
        Limits::multiple(S, ("head_dim", self.head_dim()), ("a pair of channels", 2))?;
        Limits::positive(S, "rms_norm_eps", self.rms_norm_eps)?;
        Limits::positive(S, "rope_theta", self.theta())?;
        let kind = |v: &serde_json::Value| {
            v.get("rope_type").or_else(|| v.get("type")).and_then(|t| t.as_str()).unwrap_or("default").to_owned()
        };
        match self.rope_scaling.as_ref().or(self.rope_parameters.as_ref()).map(kind).as_deref() {
            None | Some("default") => Ok(()),
            Some(other) => Err(wrong(S, format!("rope scaling {other:?} is not supported, only \"default\" is"))),
        }
    }
}
