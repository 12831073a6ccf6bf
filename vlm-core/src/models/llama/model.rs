//! The language model.

use super::LlamaConfig;
use crate::autograd::checkpoint;
use crate::nn::{AttentionConfig, Builder, Embedding, GatedMlp, KvCache, Linear, RmsNorm, Rope, SelfAttention};
use crate::tensor::{AttentionOptions, RopeTables};
use crate::{Error, ErrorKind, Result, Tensor};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Token embedding, pre-norm layers of attention and gated feed-forward, last norm, output layer.
#[derive(Debug)]
pub struct Llama {
    config: LlamaConfig,
    embed: Embedding,
    layers: Vec<Arc<Layer>>,
    norm: RmsNorm,
    head: Arc<Linear>,
    rope: Rope,
    checkpointing: AtomicBool,
}

#[derive(Debug)]
struct Layer {
    input_norm: RmsNorm,
    attention: SelfAttention,
    post_norm: RmsNorm,
    mlp: GatedMlp,
}

impl Layer {
    fn forward(
        &self,
        x: &Tensor,
        rope: &RopeTables,
        options: &AttentionOptions,
        cache: Option<(&mut KvCache, usize)>,
    ) -> Result<Tensor> {
        let x = (x + self.attention.forward(&self.input_norm.forward(x)?, Some(rope), options, cache)?)?;
        &x + self.mlp.forward(&self.post_norm.forward(&x)?)?
    }
}

impl Llama {
    /// Builds `model.*` and `lm_head` below the builder's path.
    ///
    /// # Errors
    /// Those of the configuration and of the source.
    pub fn new(b: &Builder, c: &LlamaConfig) -> Result<Self> {
        c.check()?;
        let (d, std, m) = (c.hidden_size, c.initializer_range, b.at("model"));
        let embed = Embedding::new(&m.at("embed_tokens"), c.vocab_size, d, std)?;
        let layer = |i: usize| -> Result<Arc<Layer>> {
            let b = m.at("layers").at(i);
            let attention = AttentionConfig {
                hidden: d,
                heads: c.num_attention_heads,
                kv_heads: c.kv_heads(),
                head_dim: c.head_dim(),
                qkv_bias: c.attention_bias,
                out_bias: c.attention_bias,
                out_name: "o_proj",
                std,
            };
            Ok(Arc::new(Layer {
                input_norm: RmsNorm::new(&b.at("input_layernorm"), d, c.rms_norm_eps, 0.0)?,
                attention: SelfAttention::new(&b.at("self_attn"), attention)?,
                post_norm: RmsNorm::new(&b.at("post_attention_layernorm"), d, c.rms_norm_eps, 0.0)?,
                mlp: GatedMlp::new(&b.at("mlp"), d, c.intermediate_size, c.hidden_act, c.mlp_bias, std)?,
            }))
        };
        let layers = (0..c.num_hidden_layers).map(layer).collect::<Result<_>>()?;
        let norm = RmsNorm::new(&m.at("norm"), d, c.rms_norm_eps, 0.0)?;
        let head = if c.tie_word_embeddings {
            Linear::from_parts(&b.at("lm_head"), embed.weight().clone(), None)
        } else {
            Linear::new(&b.at("lm_head"), d, c.vocab_size, false, std)?
        };
        let rope = Rope::new(c.head_dim(), c.theta());
        Ok(Llama { config: c.clone(), embed, layers, norm, head, rope, checkpointing: AtomicBool::new(false) })
    }

    /// The configuration.
    pub fn config(&self) -> &LlamaConfig {
        &self.config
    }

    /// The output layer.
    pub fn head(&self) -> &Arc<Linear> {
        &self.head
    }

    /// Keeps only the input of each layer while training and computes the rest again (gradient checkpointing).
    pub fn set_gradient_checkpointing(&self, on: bool) {
        self.checkpointing.store(on, Ordering::Relaxed);
    }

    /// Embeddings of ids.
    ///
    /// # Errors
    /// [`ErrorKind::Index`] for ids outside of the vocabulary.
    pub fn embed(&self, ids: &Tensor) -> Result<Tensor> {
        self.embed.forward(ids)
    }

    /// `embeds [b, s, d]` through all layers and the last norm. `mask [b][tokens in the cache + s]` is false for padding.
    ///
    /// # Errors
    /// Those of its operations and of the cache.
    pub fn forward(
        &self,
        embeds: &Tensor,
        positions: &[Vec<i64>],
        mask: Option<&[Vec<bool>]>,
        mut cache: Option<&mut KvCache>,
    ) -> Result<Tensor> {
        let last = positions.iter().flatten().max().copied().unwrap_or(0);
        if last >= self.config.max_position_embeddings as i64 {
            let message =
                format!("position {last} is beyond max_position_embeddings {}", self.config.max_position_embeddings);
            return Err(Error::new(ErrorKind::Config, "forward", message).hint("shorten the input"));
        }
        let new = embeds.size(1)?;
        if let Some(cache) = cache.as_deref_mut() {
            cache.reserve(new)?;
        }
        let tables = self.rope.tables(positions, embeds.device())?;
        let options = AttentionOptions { mask: padding(embeds, mask)?, causal: true, ..Default::default() };
        let mut x = embeds.clone();
        for (i, layer) in self.layers.iter().enumerate() {
            x = if cache.is_none() && self.checkpointing.load(Ordering::Relaxed) && crate::autograd::is_grad_enabled() {
                let (layer, tables, options) = (layer.clone(), tables.clone(), options.clone());
                checkpoint(move |t| layer.forward(&t[0], &tables, &options, None), &[&x])?
            } else {
                layer.forward(&x, &tables, &options, cache.as_deref_mut().map(|c| (c, i)))?
            };
        }
        if let Some(cache) = cache {
            cache.advance(new);
        }
        self.norm.forward(&x)
    }
}

/// The mask of padding, `[b, 1, 1, keys]`, if there is any.
fn padding(like: &Tensor, mask: Option<&[Vec<bool>]>) -> Result<Option<Tensor>> {
    let Some(rows) = mask.filter(|rows| rows.iter().flatten().any(|real| !real)) else { return Ok(None) };
    let flat: Vec<bool> = rows.iter().flatten().copied().collect();
    Tensor::from_slice(&flat, [rows.len(), 1, 1, rows[0].len()], like.device()).map(Some)
}
