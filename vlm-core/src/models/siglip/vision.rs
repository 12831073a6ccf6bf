//! The vision tower.

use super::SiglipVisionConfig;
use crate::nn::{Builder, EncoderLayer, Init, LayerNorm, Param, PatchEmbedding, show};
use crate::tensor::AttentionOptions;
use crate::{Error, ErrorKind, Result, Tensor};

/// Patches with learned positions through pre-norm transformer layers; no class token.
#[derive(Debug)]
pub struct SiglipVision {
    config: SiglipVisionConfig,
    patches: PatchEmbedding,
    positions: Param,
    /// Whether pictures of other sizes share the table, each patch taking the nearest cell before it (Idefics3).
    bucketed: bool,
    layers: Vec<EncoderLayer>,
    post_norm: LayerNorm,
}

impl SiglipVision {
    /// Builds the tower at the builder's path, which Hugging Face calls `vision_model`.
    ///
    /// # Errors
    /// Those of the configuration and of the source.
    pub fn new(b: &Builder, c: &SiglipVisionConfig) -> Result<Self> {
        c.check()?;
        let (d, std, e) = (c.hidden_size, c.initializer_range, b.at("embeddings"));
        let (count, layer) = (c.patches_per_side().pow(2), c.layer());
        let layers = (0..c.num_hidden_layers).map(|i| EncoderLayer::new(&b.at("encoder").at("layers").at(i), &layer));
        Ok(SiglipVision {
            patches: PatchEmbedding::new(&e.at("patch_embedding"), c.num_channels, c.patch_size, d, true, std)?,
            positions: e.at("position_embedding").parameter("weight", [count, d], Init::Normal { std })?,
            layers: layers.collect::<Result<_>>()?,
            post_norm: LayerNorm::new(&b.at("post_layernorm"), d, c.layer_norm_eps)?,
            bucketed: false,
            config: c.clone(),
        })
    }

    /// As [`SiglipVision::new`], for pictures of any size: a patch's position is that of the cell of the table that its
    /// corner falls into.
    ///
    /// # Errors
    /// As there.
    pub fn bucketed(b: &Builder, c: &SiglipVisionConfig) -> Result<Self> {
        Ok(SiglipVision { bucketed: true, ..Self::new(b, c)? })
    }

    /// The positions of all patches of a picture of `h` by `w` pixels, `[patches, hidden]`.
    fn positions(&self, h: usize, w: usize) -> Result<Tensor> {
        let (table, c) = (self.positions.tensor()?, &self.config);
        if !self.bucketed {
            return Ok(table);
        }
        let side = c.patches_per_side();
        let (rows, columns) = (buckets(h / c.patch_size, side), buckets(w / c.patch_size, side));
        let ids: Vec<i64> = rows.iter().flat_map(|r| columns.iter().map(move |c| (r * side + c) as i64)).collect();
        table.index_select(0, &Tensor::from_slice(&ids, ids.len(), table.device())?)
    }

    /// The hidden states after `layers` layers, before the last norm, `[n, patches, hidden]`, for pictures
    /// `[n, channels, size, size]`.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] for pictures of another size.
    pub fn hidden_states(&self, pixels: &Tensor, layers: usize) -> Result<Tensor> {
        Ok(self.hidden_states_at(pixels, &[layers])?.swap_remove(0))
    }

    /// As above, after each of several numbers of layers; more than there are count as all.
    ///
    /// # Errors
    /// As above.
    pub fn hidden_states_at(&self, pixels: &Tensor, at: &[usize]) -> Result<Vec<Tensor>> {
        let c = &self.config;
        let [_, channels, h, w] = pixels.dims()?;
        let fits = if self.bucketed { h.min(w) >= c.patch_size } else { (h, w) == (c.image_size, c.image_size) };
        if channels != c.num_channels || !fits {
            let message = format!(
                "expected pictures of [n, {}, {2}, {2}], found {1}",
                c.num_channels,
                pixels.shape(),
                c.image_size
            );
            return Err(
                Error::new(ErrorKind::Shape, "vision tower", message).hint("prepare them with the model's processor")
            );
        }
        let mut x = (self.patches.forward(pixels)? + self.positions(h, w)?)?;
        let last = at.iter().copied().max().unwrap_or(0);
        let mut states = vec![x.clone()];
        for (i, layer) in self.layers.iter().take(last).enumerate() {
            x = layer.forward(&x, &AttentionOptions::default())?;
            show(|| format!("vision_layer_{i}"), &x);
            states.push(x.clone());
        }
        Ok(at.iter().map(|&i| states[i.min(states.len() - 1)].clone()).collect())
    }

    /// All layers and the last norm, `[n, patches, hidden]`.
    ///
    /// # Errors
    /// As [`SiglipVision::hidden_states`].
    pub fn last_hidden_state(&self, pixels: &Tensor) -> Result<Tensor> {
        self.post_norm.forward(&self.hidden_states(pixels, self.layers.len())?)
    }
}

/// The cell of `side` that each of `n` patches falls into, in the reference's single precision.
fn buckets(n: usize, side: usize) -> Vec<usize> {
    let step = 1.0 / n as f32;
    let bound = |i: usize| ((i + 1) as f64 * (1.0 / side as f64)) as f32;
    let cell = |i: usize| {
        let at = (i as f32 * step).min(1.0 - 1e-6);
        (0..side - 1).take_while(|&b| bound(b) <= at).count()
    };
    (0..n).map(cell).collect()
}
