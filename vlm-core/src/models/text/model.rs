//! The language model.

use super::layer::Layer;
use super::{TextConfig, TextInputs, rope};
use crate::autograd::{checkpoint, is_grad_enabled};
use crate::nn::{
    Builder, Embedding, Init, KvCache, Linear, LossSum, RmsNorm, Rope, causal_lm_loss, causal_lm_loss_of, show,
};
use crate::tensor::{AttentionOptions, RopeTables};
use crate::{DType, Device, Error, ErrorKind, Result, Tensor};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Token embedding, pre-norm layers of attention and gated feed-forward, last norm, output layer: Llama, Mistral, Qwen and
/// Gemma, whichever `model_type` says.
#[derive(Debug)]
pub struct TextModel {
    pub(super) config: TextConfig,
    pub(super) embed: Embedding,
    pub(super) layers: Vec<Arc<Layer>>,
    pub(super) norm: RmsNorm,
    head: Arc<Linear>,
    /// The rotary embeddings there are, and which one each layer has.
    pub(super) ropes: Vec<Rope>,
    pub(super) rope_of: Vec<usize>,
    checkpointing: AtomicBool,
}

/// The output layer: a matrix of its own, or that of the embedding. As in transformers, a file that says they are one and
/// holds two that differ is believed for what it holds.
fn output_layer(b: &Builder, embed: &Embedding, c: &TextConfig) -> Result<Arc<Linear>> {
    let (d, n, std) = (c.hidden_size, c.vocab_size, c.initializer_range);
    if !c.tie_word_embeddings {
        return Linear::new(b, d, n, false, std);
    }
    if b.contains("weight") {
        let stored = b.stored("weight", [n, d], Init::Normal { std })?;
        let differs = stored.to_dtype(DType::F32)?.ne(&embed.weight().tensor()?.to_dtype(DType::F32)?)?;
        if differs.to_dtype(DType::F32)?.sum_all()?.item::<f32>()? > 0.0 {
            tracing::warn!("tie_word_embeddings is set, but lm_head is not the embedding: both are used");
            return Linear::new(b, d, n, false, std);
        }
    }
    Ok(Linear::from_parts(b, embed.weight().clone(), None))
}

/// What layers with one window share in a forward pass.
struct Shared {
    window: Option<usize>,
    options: AttentionOptions,
}

impl TextModel {
    /// Builds `model.*` and `lm_head` below the builder's path.
    ///
    /// # Errors
    /// Those of the configuration and of the source.
    pub fn new(b: &Builder, c: &TextConfig) -> Result<Self> {
        Self::with_parts(&b.at("model"), &b.at("lm_head"), c)
    }

    /// Builds embeddings, layers and the last norm at `m`, the output layer at `head`.
    ///
    /// # Errors
    /// Those of the configuration and of the source.
    pub fn with_parts(m: &Builder, head: &Builder, c: &TextConfig) -> Result<Self> {
        c.check()?;
        let (d, std) = (c.hidden_size, c.initializer_range);
        let embed = Embedding::new(&m.at("embed_tokens"), c.vocab_size, d, std)?;
        let layer = |i: usize| Layer::new(&m.at("layers").at(i), c).map(Arc::new);
        let layers = (0..c.num_hidden_layers).map(layer).collect::<Result<_>>()?;
        let norm = RmsNorm::new(&m.at("norm"), d, c.rms_norm_eps, f64::from(u8::from(c.is_gemma())))?;
        let head = output_layer(head, &embed, c)?;
        let mut ropes: Vec<Rope> = Vec::new();
        let mut rope_of = Vec::with_capacity(c.num_hidden_layers);
        for i in 0..c.num_hidden_layers {
            let rope = rope::of_layer(c, i)?;
            let known = ropes.iter().position(|r| *r == rope);
            rope_of.push(known.unwrap_or(ropes.len()));
            if known.is_none() {
                ropes.push(rope);
            }
        }
        let checkpointing = AtomicBool::new(false);
        Ok(TextModel { config: c.clone(), embed, layers, norm, head, ropes, rope_of, checkpointing })
    }

    /// The configuration.
    pub fn config(&self) -> &TextConfig {
        &self.config
    }

    /// The output layer.
    pub fn head(&self) -> &Arc<Linear> {
        &self.head
    }

    /// Logits `[..., vocabulary]` of hidden states, kept within bounds where the family does so (Gemma 2).
    ///
    /// # Errors
    /// Those of its operations.
    pub fn logits(&self, hidden: &Tensor) -> Result<Tensor> {
        let logits = self.head.forward(hidden)?;
        match self.config.logit_cap() {
            Some(cap) => (logits / cap)?.tanh()? * cap,
            None => Ok(logits),
        }
    }

    /// The summed next-token loss of hidden states `[b, s, d]`, as [`causal_lm_loss`].
    ///
    /// # Errors
    /// As there.
    pub fn loss(&self, hidden: &Tensor, labels: &[Vec<i64>]) -> Result<LossSum> {
        match self.config.logit_cap() {
            None => causal_lm_loss(hidden, &self.head, labels),
            Some(_) => causal_lm_loss_of(hidden, |x| self.logits(x), labels),
        }
    }

    /// Keeps only the input of each layer while training and computes the rest again (gradient checkpointing).
    pub fn set_gradient_checkpointing(&self, on: bool) {
        self.checkpointing.store(on, Ordering::Relaxed);
    }

    /// Embeddings of ids, scaled where the family does so (Gemma: by the root of their width, rounded to their type).
    ///
    /// # Errors
    /// [`ErrorKind::Index`] for ids outside of the vocabulary.
    pub fn embed(&self, ids: &Tensor) -> Result<Tensor> {
        let x = self.embed.forward(ids)?;
        if !self.config.is_gemma() {
            return Ok(x);
        }
        // Rounded on the host: nothing is brought to the device for it.
        let scale =
            Tensor::scalar((self.config.hidden_size as f32).sqrt(), &Device::reference())?.to_dtype(x.dtype())?;
        x * scale.to_dtype(DType::F64)?.item::<f64>()?
    }

    /// An empty cache for at most `tokens` tokens.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for more than the model's positions.
    pub fn new_cache(&self, tokens: usize) -> Result<KvCache> {
        let max = self.config.max_position_embeddings;
        if tokens > max {
            let message = format!("{tokens} tokens are more than max_position_embeddings {max}");
            return Err(Error::new(ErrorKind::Config, "kv cache", message));
        }
        Ok(KvCache::new(self.config.num_hidden_layers, tokens))
    }

    /// All layers and the last norm, `[b, s, d]`. With a cache the batch's tokens follow those in it.
    ///
    /// # Errors
    /// Those of its operations and of the cache.
    pub fn forward(&self, inputs: &TextInputs<'_>, mut cache: Option<&mut KvCache>) -> Result<Tensor> {
        let (last, max) = (inputs.positions.max(), self.config.max_position_embeddings);
        if last >= max as i64 {
            let message = format!("position {last} is beyond max_position_embeddings {max}");
            return Err(Error::new(ErrorKind::Config, "forward", message).hint("shorten the input"));
        }
        let [b, s, d] = inputs.embeds.dims()?;
        let cached = cache.as_ref().map_or(0, |c| c.len());
        if let Some(cache) = cache.as_deref_mut() {
            cache.reserve(s)?;
        }
        let tables = |rope: &Rope| rope.tables(&inputs.positions, inputs.embeds.device());
        let tables: Vec<RopeTables> = self.ropes.iter().map(tables).collect::<Result<_>>()?;
        let mut shared: Vec<Shared> = Vec::new();
        let mut x = inputs.embeds.clone();
        for (i, layer) in self.layers.iter().enumerate() {
            let window = self.config.window(i);
            let at = match shared.iter().position(|s| s.window == window) {
                Some(at) => at,
                None => {
                    shared.push(Shared { window, options: self.options(inputs, cached, window)? });
                    shared.len() - 1
                }
            };
            let (tables, options) = (&tables[self.rope_of[i]], &shared[at].options);
            x = if cache.is_none() && self.checkpointing.load(Ordering::Relaxed) && is_grad_enabled() {
                let (layer, tables, options) = (layer.clone(), tables.clone(), options.clone());
                checkpoint(move |t| layer.forward(&t[0], &tables, &options, None), &[&x])?
            } else {
                layer.forward(&x, tables, options, cache.as_deref_mut().map(|c| (c, i)))?
            };
            show(|| format!("text_layer_{i}"), &x);
            if let Some((deep, features)) = inputs.deepstack.as_ref().and_then(|d| Some((d, d.features.get(i)?))) {
                x = x.reshape([b * s, d])?.index_add(0, &deep.rows, features)?.reshape([b, s, d])?;
            }
        }
        if let Some(cache) = cache {
            cache.advance(s);
        }
        let x = self.norm.forward(&x)?;
        show(|| "last_hidden".to_owned(), &x);
        Ok(x)
    }

    fn options(&self, inputs: &TextInputs<'_>, cached: usize, window: Option<usize>) -> Result<AttentionOptions> {
        let scale = self.config.attention_scale();
        let groups = inputs.groups.as_ref().filter(|g| g.iter().flatten().any(Option::is_some)).cloned();
        let [b, s, _] = inputs.embeds.dims()?;
        // Capped scores are in no kernel that knows of causes and windows.
        let alone = self.config.attention_cap().map(|_| vec![vec![None; s]; b]);
        Ok(match groups.or(alone) {
            Some(groups) => {
                let bounded = self.config.window_bounds_groups();
                let mask = Some(inputs.grouped(&groups, cached, window, bounded, inputs.embeds.device())?);
                AttentionOptions { mask, scale, ..AttentionOptions::default() }
            }
            None => {
                AttentionOptions { mask: inputs.padding()?, causal: true, window, scale, ..AttentionOptions::default() }
            }
        })
    }
}
