//! What transformers 5.23 assumes where `config.json` says nothing, by `model_type`.

use super::TextConfig;
use crate::nn::Activation;
use serde_json::json;

/// The types there are defaults for.
pub(super) const KNOWN: [&str; 10] = [
    "llama",
    "mistral",
    "qwen2",
    "qwen2_vl_text",
    "qwen2_5_vl_text",
    "qwen3",
    "qwen3_vl_text",
    "gemma",
    "gemma2",
    "gemma3_text",
];

/// The defaults of a model type.
pub(super) fn of(model_type: &str) -> Option<TextConfig> {
    let base = match model_type {
        "llama" => llama(),
        "mistral" => TextConfig {
            intermediate_size: 14336,
            num_key_value_heads: Some(8),
            max_position_embeddings: 1 << 17,
            sliding_window: Some(4096),
            ..llama()
        },
        "qwen2" => qwen2(),
        "qwen2_vl" | "qwen2_vl_text" | "qwen2_5_vl" | "qwen2_5_vl_text" => TextConfig {
            vocab_size: 152_064,
            hidden_size: 8192,
            intermediate_size: 29568,
            num_hidden_layers: 80,
            num_attention_heads: 64,
            num_key_value_heads: Some(8),
            rms_norm_eps: 1e-5,
            rope_theta: Some(1e6),
            max_window_layers: Some(80),
            bos_token_id: Some(151_643),
            eos_token_id: Some(json!(151_645)),
            ..qwen2()
        },
        "qwen3" => TextConfig { head_dim: Some(128), ..qwen2() },
        "qwen3_vl" | "qwen3_vl_text" => TextConfig {
            head_dim: Some(128),
            max_position_embeddings: 128_000,
            rope_theta: Some(500_000.0),
            use_sliding_window: None,
            max_window_layers: None,
            sliding_window: None,
            ..qwen2()
        },
        "gemma" => TextConfig {
            vocab_size: 256_000,
            hidden_size: 3072,
            intermediate_size: 24576,
            num_hidden_layers: 28,
            num_attention_heads: 16,
            num_key_value_heads: Some(16),
            head_dim: Some(256),
            hidden_act: Activation::GeluTanh,
            max_position_embeddings: 8192,
            ..gemma()
        },
        "gemma2" => TextConfig {
            vocab_size: 256_000,
            hidden_size: 2304,
            intermediate_size: 9216,
            num_hidden_layers: 26,
            num_attention_heads: 8,
            num_key_value_heads: Some(4),
            head_dim: Some(256),
            hidden_activation: Some(Activation::GeluTanh),
            max_position_embeddings: 8192,
            sliding_window: Some(4096),
            query_pre_attn_scalar: Some(256.0),
            attn_logit_softcapping: Some(50.0),
            final_logit_softcapping: Some(30.0),
            ..gemma()
        },
        "gemma3_text" => TextConfig {
            vocab_size: 262_208,
            hidden_size: 2304,
            intermediate_size: 9216,
            num_hidden_layers: 26,
            num_attention_heads: 8,
            num_key_value_heads: Some(4),
            head_dim: Some(256),
            hidden_activation: Some(Activation::GeluTanh),
            max_position_embeddings: 131_072,
            rope_theta: Some(1e6),
            rope_local_base_freq: Some(10_000.0),
            sliding_window: Some(4096),
            query_pre_attn_scalar: Some(256.0),
            ..gemma()
        },
        _ => return None,
    };
    Some(TextConfig { model_type: model_type.to_owned(), ..base })
}

pub(super) fn llama() -> TextConfig {
    TextConfig {
        model_type: "llama".to_owned(),
        vocab_size: 32000,
        hidden_size: 4096,
        intermediate_size: 11008,
        num_hidden_layers: 32,
        num_attention_heads: 32,
        num_key_value_heads: None,
        head_dim: None,
        hidden_act: Activation::Silu,
        hidden_activation: None,
        max_position_embeddings: 2048,
        rms_norm_eps: 1e-6,
        rope_theta: Some(10_000.0),
        rope_local_base_freq: None,
        rope_scaling: None,
        rope_parameters: None,
        partial_rotary_factor: None,
        use_bidirectional_attention: None,
        attention_bias: false,
        mlp_bias: false,
        sliding_window: None,
        use_sliding_window: None,
        max_window_layers: None,
        layer_types: None,
        sliding_window_pattern: None,
        query_pre_attn_scalar: None,
        attn_logit_softcapping: None,
        final_logit_softcapping: None,
        tie_word_embeddings: false,
        initializer_range: 0.02,
        bos_token_id: Some(1),
        eos_token_id: Some(json!(2)),
        pad_token_id: None,
    }
}

fn qwen2() -> TextConfig {
    TextConfig {
        vocab_size: 151_936,
        intermediate_size: 22016,
        num_key_value_heads: Some(32),
        max_position_embeddings: 32768,
        sliding_window: Some(4096),
        use_sliding_window: Some(false),
        max_window_layers: Some(28),
        bos_token_id: None,
        eos_token_id: None,
        ..llama()
    }
}

fn gemma() -> TextConfig {
    TextConfig {
        tie_word_embeddings: true,
        bos_token_id: Some(2),
        eos_token_id: Some(json!(1)),
        pad_token_id: Some(0),
        ..llama()
    }
}
