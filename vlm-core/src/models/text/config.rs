//! Configuration of language models.

use super::defaults;
use crate::Result;
use crate::models::Limits;
use crate::models::config::{at_path, wrong};
use crate::nn::Activation;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// `config.json` of a causal language model: Llama, Mistral, Qwen2, Qwen3, Gemma, Gemma 2, Gemma 3 and the language models inside
/// of Qwen-VL. What a file leaves out is transformers' default of its `model_type`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, remote = "Self")]
#[allow(missing_docs)]
pub struct TextConfig {
    pub model_type: String,
    pub vocab_size: usize,
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub num_key_value_heads: Option<usize>,
    pub head_dim: Option<usize>,
    pub hidden_act: Activation,
    /// What Gemma calls `hidden_act`, and prefers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden_activation: Option<Activation>,
    pub max_position_embeddings: usize,
    pub rms_norm_eps: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rope_theta: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rope_local_base_freq: Option<f64>,
    pub rope_scaling: Option<Value>,
    /// Where transformers 5 writes `rope_theta` and `rope_scaling`; for Gemma 3 one of each kind of layer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rope_parameters: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partial_rotary_factor: Option<f64>,
    /// Set in PaliGemma's files, whose prompts say themselves who sees whom.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub use_bidirectional_attention: Option<bool>,
    pub attention_bias: bool,
    pub mlp_bias: bool,
    pub sliding_window: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub use_sliding_window: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_window_layers: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer_types: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none", alias = "_sliding_window_pattern")]
    pub sliding_window_pattern: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query_pre_attn_scalar: Option<f64>,
    // Written as null where there is none: a file that leaves them out means Gemma 2's own.
    pub attn_logit_softcapping: Option<f64>,
    pub final_logit_softcapping: Option<f64>,
    pub tie_word_embeddings: bool,
    pub initializer_range: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bos_token_id: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eos_token_id: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pad_token_id: Option<i64>,
}

impl Default for TextConfig {
    fn default() -> Self {
        defaults::llama()
    }
}

impl<'de> Deserialize<'de> for TextConfig {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        use serde::de::Error;
        let mut given = Value::deserialize(d)?;
        let Some(fields) = given.as_object_mut() else {
            return Err(D::Error::custom(format!("found {given}, expected an object")));
        };
        let kind = match fields.get("model_type") {
            None | Some(Value::Null) => "llama".to_owned(),
            Some(Value::String(kind)) => kind.clone(),
            Some(other) => return Err(D::Error::custom(format!("model_type is {other}, expected a name"))),
        };
        let base = defaults::of(&kind).ok_or_else(|| {
            D::Error::custom(format!("unknown language model {kind:?}, known are {}", defaults::KNOWN.join(", ")))
        })?;
        let base = serde_json::to_value(&base).map_err(D::Error::custom)?;
        for (name, value) in base.as_object().into_iter().flatten() {
            // An explicit null takes an optional field away; for any other it means the default.
            if !fields.contains_key(name) || (fields[name].is_null() && !OPTIONAL.contains(&name.as_str())) {
                fields.insert(name.clone(), value.clone());
            }
        }
        let mut track = serde_path_to_error::Track::new();
        let inner = serde_path_to_error::Deserializer::new(given, &mut track);
        TextConfig::deserialize(inner)
            .map_err(|e| D::Error::custom(at_path(&serde_path_to_error::Error::new(track.path(), e))))
    }
}

/// Fields for which null is a value.
const OPTIONAL: [&str; 6] = [
    "sliding_window",
    "rope_scaling",
    "head_dim",
    "num_key_value_heads",
    "attn_logit_softcapping",
    "final_logit_softcapping",
];

impl Serialize for TextConfig {
    fn serialize<S: Serializer>(&self, s: S) -> std::result::Result<S::Ok, S::Error> {
        TextConfig::serialize(self, s)
    }
}

impl TextConfig {
    fn is(&self, families: &[&str]) -> bool {
        families.iter().any(|f| self.model_type == *f || self.model_type == format!("{f}_text"))
    }

    /// Number of key and value heads.
    pub fn kv_heads(&self) -> usize {
        self.num_key_value_heads.unwrap_or(self.num_attention_heads)
    }

    /// Size of a head.
    pub fn head_dim(&self) -> usize {
        self.head_dim.unwrap_or(self.hidden_size / self.num_attention_heads.max(1))
    }

    /// The activation of the feed-forward blocks. The first Gemma's files say `gelu` and mean its approximation; the later
    /// ones look at `hidden_activation` alone.
    pub fn activation(&self) -> Activation {
        if self.is(&["gemma2", "gemma3"]) {
            return self.hidden_activation.unwrap_or(Activation::GeluTanh);
        }
        match self.hidden_act {
            Activation::Gelu if self.is(&["gemma"]) => Activation::GeluTanh,
            act => act,
        }
    }

    /// Whether query, key and value projections have biases: always in Qwen2, by `attention_bias` elsewhere.
    pub fn qkv_bias(&self) -> bool {
        self.is(&["qwen2", "qwen2_vl", "qwen2_5_vl"]) || self.attention_bias
    }

    /// Whether the output projection of attention has a bias.
    pub fn out_bias(&self) -> bool {
        !self.is(&["qwen2", "qwen2_vl", "qwen2_5_vl"]) && self.attention_bias
    }

    /// Whether queries and keys are normalised head by head (Qwen3, Gemma 3).
    pub fn qk_norm(&self) -> bool {
        self.is(&["qwen3", "qwen3_vl", "gemma3"])
    }

    /// Gemma's habits: norms store `weight - 1`, embeddings are scaled by the root of their width.
    pub fn is_gemma(&self) -> bool {
        self.is(&["gemma", "gemma2", "gemma3"])
    }

    /// Whether attention and feed-forward are normalised before and after (Gemma 2 and 3).
    pub fn four_norms(&self) -> bool {
        self.is(&["gemma2", "gemma3"])
    }

    /// Whether tokens that see each other both ways do so within the window only (Gemma 3), or wherever they are.
    pub fn window_bounds_groups(&self) -> bool {
        self.is(&["gemma3"])
    }

    /// What attention scores are kept within, smoothly (Gemma 2).
    pub fn attention_cap(&self) -> Option<f64> {
        self.attn_logit_softcapping.filter(|_| self.is(&["gemma2"]))
    }

    /// What logits are kept within, smoothly (Gemma 2).
    pub fn logit_cap(&self) -> Option<f64> {
        self.final_logit_softcapping.filter(|_| self.is(&["gemma2"]))
    }

    /// The factor of attention scores.
    pub fn attention_scale(&self) -> Option<f64> {
        self.query_pre_attn_scalar.filter(|_| self.is(&["gemma2", "gemma3"])).map(|s| s.powf(-0.5))
    }

    /// How many of the last tokens layer `i` sees; `None` for all.
    pub fn window(&self, i: usize) -> Option<usize> {
        if self.is(&["mistral"]) {
            return self.sliding_window;
        }
        if self.is(&["llama", "gemma", "qwen3_vl"]) {
            return None;
        }
        // Gemma says which layers look at a window, Qwen also whether any does.
        let pattern = match (self.is(&["gemma2"]), self.is(&["gemma3"])) {
            (true, _) => Some(2),
            (_, true) => Some(self.sliding_window_pattern.unwrap_or(6).max(1)),
            _ => None,
        };
        let sliding = match (&self.layer_types, pattern) {
            _ if pattern.is_none() && self.use_sliding_window != Some(true) => false,
            (Some(types), _) => types.get(i).is_some_and(|t| t == "sliding_attention"),
            (None, Some(pattern)) => !(i + 1).is_multiple_of(pattern),
            (None, None) => i >= self.max_window_layers.unwrap_or(0),
        };
        self.sliding_window.filter(|_| sliding)
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
                ("sliding_window", self.sliding_window.unwrap_or(1), 1 << 26),
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
        Limits::positive(S, "query_pre_attn_scalar", self.query_pre_attn_scalar.unwrap_or(1.0))?;
        for (name, cap) in [
            ("attn_logit_softcapping", self.attn_logit_softcapping),
            ("final_logit_softcapping", self.final_logit_softcapping),
        ] {
            match cap {
                Some(cap) if self.is(&["gemma2"]) => Limits::positive(S, name, cap)?,
                Some(cap) => {
                    let message = format!("{name} is {cap}: only gemma2 keeps logits within bounds");
                    return Err(wrong(S, message));
                }
                None => {}
            }
        }
        if self.use_bidirectional_attention == Some(true) && self.is(&["gemma3"]) {
            let message =
                "use_bidirectional_attention is true: a language model that reads text both ways is not supported";
            return Err(wrong(S, message.to_owned()));
        }
        let known = ["full_attention", "sliding_attention"];
        if let Some(other) = self.layer_types.iter().flatten().find(|t| !known.contains(&t.as_str())) {
            return Err(wrong(S, format!("layer_types has {other:?}, expected {}", known.join(" or "))));
        }
        if self.layer_types.as_ref().is_some_and(|types| types.len() != self.num_hidden_layers) {
            let (types, layers) = (self.layer_types.as_ref().map_or(0, Vec::len), self.num_hidden_layers);
            return Err(wrong(S, format!("layer_types has {types} entries, num_hidden_layers is {layers}")));
        }
        (0..self.num_hidden_layers).try_for_each(|i| super::rope::of_layer(self, i).map(|_| ()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_file_leaves_out_is_the_default_of_its_type() {
        let of = |v: Value| serde_json::from_value::<TextConfig>(v).unwrap();
        assert_eq!(of(json!({})), TextConfig::default());
        assert_eq!(of(json!({"model_type": "mistral"})).window(0), Some(4096));
        assert_eq!(of(json!({"model_type": "mistral", "sliding_window": null})).window(0), None);
        let gemma = of(json!({"model_type": "gemma3_text", "hidden_size": 64, "head_dim": null}));
        assert_eq!((gemma.hidden_size, gemma.window(4), gemma.window(5)), (64, Some(4096), None));
        let e = serde_json::from_value::<TextConfig>(json!({"model_type": "mamba"})).unwrap_err().to_string();
        assert!(e.contains("mamba") && e.contains("qwen2"), "{e}");
        let capless = of(json!({"model_type": "gemma2", "attn_logit_softcapping": null}));
        assert_eq!((capless.attention_cap(), capless.logit_cap()), (None, Some(30.0)));
        assert_eq!((capless.window(0), capless.window(1)), (Some(4096), None));
        for config in [gemma, capless] {
            let written = serde_json::to_value(&config).unwrap();
            assert_eq!(serde_json::from_value::<TextConfig>(written).unwrap(), config);
        }
    }

    #[test]
    fn activations_are_those_that_transformers_takes() {
        let of = |v: Value| serde_json::from_value::<TextConfig>(v).unwrap().activation();
        assert_eq!(of(json!({"model_type": "gemma", "hidden_act": "gelu"})), Activation::GeluTanh);
        assert_eq!(
            of(json!({"model_type": "gemma", "hidden_act": "silu", "hidden_activation": "gelu"})),
            Activation::Silu
        );
        assert_eq!(of(json!({"model_type": "gemma2", "hidden_act": "gelu"})), Activation::GeluTanh);
        assert_eq!(of(json!({"model_type": "llama", "hidden_act": "gelu"})), Activation::Gelu);
    }

    #[test]
    fn what_would_change_numbers_unseen_is_refused() {
        let fails = |v: Value| serde_json::from_value::<TextConfig>(v).unwrap().check().unwrap_err().to_string();
        assert!(fails(json!({"partial_rotary_factor": 0.5})).contains("partial_rotary_factor is 0.5"));
        assert!(fails(json!({"rope_scaling": {"type": "longrope"}})).contains("longrope"));
        assert!(
            fails(json!({"rope_scaling": {"type": "yarn", "factor": "x"}})).contains("rope_scaling.factor is \"x\"")
        );
        assert!(fails(json!({"final_logit_softcapping": 30.0})).contains("final_logit_softcapping is 30"));
        let both = json!({"model_type": "gemma3_text", "use_bidirectional_attention": true});
        assert!(fails(both).contains("use_bidirectional_attention is true"));
        let chunked = json!({"num_hidden_layers": 1, "layer_types": ["chunked_attention"]});
        assert!(fails(chunked).contains("chunked_attention"));
        assert!(fails(json!({"layer_types": ["full_attention"]})).contains("1 entries, num_hidden_layers is 32"));
    }
}
