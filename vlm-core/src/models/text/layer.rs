//! One layer of the language model.

use super::TextConfig;
use crate::nn::{AttentionConfig, Builder, GatedMlp, KvCache, QkNorm, RmsNorm, SelfAttention};
use crate::tensor::{AttentionOptions, RopeTables};
use crate::{Result, Tensor};

/// Attention and a gated feed-forward block, each with a norm before and, in Gemma 2 and 3, one after.
#[derive(Debug)]
pub(super) struct Layer {
    input_norm: RmsNorm,
    attention: SelfAttention,
    /// After attention where there are four norms, else before the feed-forward block.
    post_attention_norm: RmsNorm,
    feed_forward: Option<(RmsNorm, RmsNorm)>,
    mlp: GatedMlp,
}

impl Layer {
    pub(super) fn new(b: &Builder, c: &TextConfig) -> Result<Self> {
        let (d, std, offset) = (c.hidden_size, c.initializer_range, f64::from(u8::from(c.is_gemma())));
        let attention = AttentionConfig {
            hidden: d,
            heads: c.num_attention_heads,
            kv_heads: c.kv_heads(),
            head_dim: c.head_dim(),
            qkv_bias: c.qkv_bias(),
            out_bias: c.out_bias(),
            out_name: "o_proj",
            cap: c.attention_cap(),
            qk_norm: c.qk_norm().then_some(QkNorm { eps: c.rms_norm_eps, offset, whole: false }),
            std,
        };
        let norm = |name: &str| RmsNorm::new(&b.at(name), d, c.rms_norm_eps, offset);
        Ok(Layer {
            input_norm: norm("input_layernorm")?,
            attention: SelfAttention::new(&b.at("self_attn"), attention)?,
            post_attention_norm: norm("post_attention_layernorm")?,
            feed_forward: if c.four_norms() {
                Some((norm("pre_feedforward_layernorm")?, norm("post_feedforward_layernorm")?))
            } else {
                None
            },
            mlp: GatedMlp::new(&b.at("mlp"), d, c.intermediate_size, c.activation(), c.mlp_bias, std)?,
        })
    }

    pub(super) fn forward(
        &self,
        x: &Tensor,
        rope: &RopeTables,
        options: &AttentionOptions,
        cache: Option<(&mut KvCache, usize)>,
    ) -> Result<Tensor> {
        let seen = self.attention.forward(&self.input_norm.forward(x)?, Some(rope), options, cache)?;
        let Some((before, after)) = &self.feed_forward else {
            let x = (x + seen)?;
            return &x + self.mlp.forward(&self.post_attention_norm.forward(&x)?)?;
        };
        let x = (x + self.post_attention_norm.forward(&seen)?)?;
        &x + after.forward(&self.mlp.forward(&before.forward(&x)?)?)?
    }
}
