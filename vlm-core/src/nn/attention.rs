//! Self-attention with grouped queries.

use super::{Builder, KvCache, Linear, RmsNorm};
use crate::backend::RopeStyle;
use crate::tensor::{AttentionOptions, RopeTables};
use crate::{Error, ErrorKind, Result, Tensor};
use std::sync::Arc;

/// The sizes and names of a [`SelfAttention`].
#[derive(Clone, Copy, Debug)]
pub struct AttentionConfig {
    /// Size of input and output.
    pub hidden: usize,
    /// Number of query heads.
    pub heads: usize,
    /// Number of key and value heads.
    pub kv_heads: usize,
    /// Size of a head.
    pub head_dim: usize,
    /// Whether `q_proj`, `k_proj` and `v_proj` have biases.
    pub qkv_bias: bool,
    /// Whether the output projection has one.
    pub out_bias: bool,
    /// The name of the output projection: `o_proj` or `out_proj`.
    pub out_name: &'static str,
    /// The norms of queries and keys, `q_norm` and `k_norm`, if there are any.
    pub qk_norm: Option<QkNorm>,
    /// What scores are kept within, smoothly: `cap · tanh(score / cap)` (Gemma 2). Who sees whom must be all in the mask.
    pub cap: Option<f64>,
    /// Standard deviation of new weights.
    pub std: f64,
}

/// RMS norms of queries and keys before positions are added.
#[derive(Clone, Copy, Debug)]
pub struct QkNorm {
    /// Added to the mean square.
    pub eps: f64,
    /// 1 for Gemma, which stores `weight - 1`.
    pub offset: f64,
    /// Over all heads at once (InternVL), not head by head.
    pub whole: bool,
}

/// `q_proj`, `k_proj`, `v_proj`, attention, output projection.
#[derive(Debug)]
pub struct SelfAttention {
    q: Arc<Linear>,
    k: Arc<Linear>,
    v: Arc<Linear>,
    out: Arc<Linear>,
    norms: Option<(RmsNorm, RmsNorm)>,
    config: AttentionConfig,
}

impl SelfAttention {
    /// Builds the four projections at the builder's path.
    ///
    /// # Errors
    /// Those of the source.
    pub fn new(b: &Builder, c: AttentionConfig) -> Result<Self> {
        let project =
            |name: &str, heads: usize| Linear::new(&b.at(name), c.hidden, heads * c.head_dim, c.qkv_bias, c.std);
        let (q, k, v) = (project("q_proj", c.heads)?, project("k_proj", c.kv_heads)?, project("v_proj", c.kv_heads)?);
        let out = Linear::new(&b.at(c.out_name), c.heads * c.head_dim, c.hidden, c.out_bias, c.std)?;
        let norm = |name: &str, heads: usize, n: QkNorm| {
            RmsNorm::new(&b.at(name), if n.whole { heads * c.head_dim } else { c.head_dim }, n.eps, n.offset)
        };
        let norms = c.qk_norm.map(|n| Ok((norm("q_norm", c.heads, n)?, norm("k_norm", c.kv_heads, n)?))).transpose()?;
        Ok(SelfAttention { q, k, v, out, norms, config: c })
    }

    /// `[b, s, hidden] -> [b, s, hidden]`. With a cache, `x` are new tokens behind those in it, of layer `layer`.
    ///
    /// # Errors
    /// Those of its operations.
    pub fn forward(
        &self,
        x: &Tensor,
        rope: Option<&RopeTables>,
        options: &AttentionOptions,
        cache: Option<(&mut KvCache, usize)>,
    ) -> Result<Tensor> {
        let [b, s, _] = x.dims()?;
        let c = &self.config;
        let whole = c.qk_norm.is_some_and(|n| n.whole);
        let heads = |y: Tensor, n: usize, norm: Option<&RmsNorm>| {
            let y = if let Some(norm) = norm.filter(|_| whole) { norm.forward(&y)? } else { y };
            let y = y.reshape([b, s, n, c.head_dim])?;
            if let Some(norm) = norm.filter(|_| !whole) { norm.forward(&y)? } else { y }.transpose(1, 2)
        };
        let (q_norm, k_norm) = self.norms.as_ref().map_or((None, None), |(q, k)| (Some(q), Some(k)));
        let mut q = heads(self.q.forward(x)?, c.heads, q_norm)?;
        let mut k = heads(self.k.forward(x)?, c.kv_heads, k_norm)?;
        let mut v = heads(self.v.forward(x)?, c.kv_heads, None)?;
        if let Some(tables) = rope {
            q = q.rope(tables, RopeStyle::Half)?;
            k = k.rope(tables, RopeStyle::Half)?;
        }
        if let Some((cache, layer)) = cache {
            (k, v) = cache.append(layer, &k, &v)?;
        }
        let y = match c.cap {
            None => q.scaled_dot_product_attention(&k, &v, options)?,
            Some(cap) => capped(&q, &k, &v, options, cap)?,
        };
        self.out.forward(&y.transpose(1, 2)?.reshape([b, s, c.heads * c.head_dim])?)
    }
}

/// Attention whose scores are kept within `cap`. No kernel has it, so the scores are held. Of the options it takes the factor
/// and a mask of truth values.
fn capped(q: &Tensor, k: &Tensor, v: &Tensor, options: &AttentionOptions, cap: f64) -> Result<Tensor> {
    let ([b, h, s, d], [_, groups, keys, _]) = (q.dims()?, k.dims()?);
    if options.causal || options.window.is_some() || options.segments.is_some() {
        let message = "attention with capped scores takes a mask alone";
        return Err(Error::new(ErrorKind::Unsupported, "attention", message));
    }
    // Heads that share keys and values stand behind each other.
    let rows = q.reshape([b, groups, h / groups * s, d])?;
    let scale = options.scale.unwrap_or(1.0 / (d as f64).sqrt());
    let scores = (rows.matmul(&k.transpose(2, 3)?)? * scale)?;
    let scores = ((scores / cap)?.tanh()? * cap)?.to_dtype(q.dtype().accumulator())?.reshape([b, h, s, keys])?;
    let scores = match &options.mask {
        // Finite, so that a row that sees nothing, which is padding, has no NaN.
        Some(mask) => scores.where_cond(mask, &Tensor::full((), -1e30, scores.dtype(), scores.device())?)?,
        None => scores,
    };
    let shares = scores.softmax(-1)?.to_dtype(v.dtype())?.reshape([b, groups, h / groups * s, keys])?;
    shares.matmul(v)?.reshape([b, h, s, v.size(3)?])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DType, Device};

    #[test]
    fn a_wide_cap_changes_nothing_and_a_narrow_one_flattens() {
        let device = Device::reference();
        let draw = |stream, shape: [usize; 4]| {
            let from = crate::backend::Distribution::Normal { mean: 0.0, std: 2.0 };
            Tensor::random(shape, from, crate::backend::RandomKey { seed: 3, stream }, DType::F32, &device).unwrap()
        };
        let (q, k, v) = (draw(0, [2, 4, 3, 8]), draw(1, [2, 2, 5, 8]), draw(2, [2, 2, 5, 8]));
        let seen: Vec<bool> = (0..30).map(|i| i % 7 != 3).collect();
        let mask = Some(Tensor::from_slice(&seen, [2, 1, 3, 5], &device).unwrap());
        let options = AttentionOptions { mask, ..AttentionOptions::default() };
        let of = |cap| capped(&q, &k, &v, &options, cap).unwrap().to_vec::<f32>().unwrap();
        let plain = q.scaled_dot_product_attention(&k, &v, &options).unwrap().to_vec::<f32>().unwrap();
        let apart = |a: &[f32]| a.iter().zip(&plain).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(apart(&of(1e4)) < 1e-4);
        assert!(apart(&of(0.1)) > 0.1);
        let causal = AttentionOptions { causal: true, ..options.clone() };
        assert!(capped(&q, &k, &v, &causal, 1.0).is_err());
    }
}
