//! The vision tower.

use super::block::Block;
use super::merger::Merger;
use super::order::Order;
use super::{Generation, QwenVisionConfig};
use crate::nn::{Builder, Init, ModuleRef, Param, Positions, Rope, show};
use crate::tensor::AttentionOptions;
use crate::{Error, ErrorKind, Result, Tensor};

/// Patches of pictures of any size through pre-norm blocks and a merger.
#[derive(Debug)]
pub struct QwenVision {
    config: QwenVisionConfig,
    patches: Param,
    patch_bias: Option<Param>,
    /// Qwen3-VL: learnt positions, `[side · side, width]`.
    positions: Option<Param>,
    blocks: Vec<Block>,
    merger: Merger,
    deepstack: Vec<Merger>,
    rope: Rope,
}

impl QwenVision {
    /// Builds the tower at the builder's path, which Hugging Face calls `visual`.
    ///
    /// # Errors
    /// Those of the source.
    pub fn new(b: &Builder, c: &QwenVisionConfig) -> Result<Self> {
        let (normal, three) = (Init::Normal { std: c.initializer_range }, c.generation == Generation::Three);
        let e = b.at("patch_embed").at("proj");
        let shape = [c.width, c.in_channels, c.temporal_patch_size, c.patch_size, c.patch_size];
        let patches = e.parameter("weight", shape, normal)?;
        let patch_bias = three.then(|| e.parameter("bias", [c.width], Init::Constant(0.0))).transpose()?;
        e.register(ModuleRef::Other("patch_embedding"));
        let table = [c.num_position_embeddings, c.width];
        let positions = three.then(|| b.at("pos_embed").parameter("weight", table, normal)).transpose()?;
        let deepstack = b.at("deepstack_merger_list");
        Ok(QwenVision {
            patches,
            patch_bias,
            positions,
            blocks: (0..c.depth).map(|i| Block::new(&b.at("blocks").at(i), c)).collect::<Result<_>>()?,
            merger: Merger::new(&b.at("merger"), c, false)?,
            deepstack: (0..c.deepstack_visual_indexes.len())
                .map(|i| Merger::new(&deepstack.at(i), c, true))
                .collect::<Result<_>>()?,
            rope: Rope::two_axes(c.width / c.num_heads, 10_000.0),
            config: c.clone(),
        })
    }

    /// `[patches, channels · frames · rows · columns]` of pictures with these grids of patches (frames, rows, columns):
    /// tokens `[patches / merge², out]`, and the same for each block of DeepStack.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] for patches of another size, [`ErrorKind::Data`] if grids and patches do not fit.
    pub fn forward(&self, pixels: &Tensor, grid: &[[usize; 3]]) -> Result<(Tensor, Vec<Tensor>)> {
        let (c, [n, values]) = (&self.config, pixels.dims()?);
        if values != c.patch_values() {
            let message = format!("expected patches of {} values, found {}", c.patch_values(), pixels.shape());
            return Err(
                Error::new(ErrorKind::Shape, "vision tower", message).hint("prepare them with the model's processor")
            );
        }
        let order = Order::new(c, grid, n, c.generation == Generation::TwoFive)?;
        let bias = self.patch_bias.as_ref().map(|b| b.tensor()).transpose()?;
        let mut x = pixels.linear(&self.patches.tensor()?.reshape([c.width, values])?, bias.as_ref())?;
        if let Some(table) = &self.positions {
            x = (x + learnt(&table.tensor()?, grid, &order)?)?;
        }
        let merged = c.spatial_merge_size.pow(2);
        let mut places = order.places;
        let options =
            |bounds: Vec<usize>| AttentionOptions { segments: Some(bounds.into()), ..AttentionOptions::default() };
        let (whole, mut restore) = (options(order.pictures), None);
        let mut window = whole.clone();
        if let Some((cells, bounds)) = order.windows {
            let index = Tensor::from_slice(&cells, cells.len(), x.device())?;
            x = x.reshape([cells.len(), merged, c.width])?.index_select(0, &index)?.reshape([n, c.width])?;
            let blocks: Vec<&[[i64; 2]]> = places.chunks(merged).collect();
            places = cells.iter().flat_map(|&cell| blocks[cell as usize].iter().copied()).collect();
            let mut back = vec![0i64; cells.len()];
            cells.iter().zip(0..).for_each(|(&cell, at)| back[cell as usize] = at);
            restore = Some(Tensor::from_slice(&back, back.len(), x.device())?);
            window = options(bounds);
        }
        let axis = |i: usize| vec![places.iter().map(|p| p[i]).collect()];
        let tables = self.rope.tables(&Positions::with_axes(vec![axis(0), axis(1)]), x.device())?;
        let (mut x, mut deep) = (x.unsqueeze(0)?, Vec::new());
        for (i, block) in self.blocks.iter().enumerate() {
            let windowed = restore.is_some() && !c.fullatt_block_indexes.contains(&i);
            x = block.forward(&x, &tables, if windowed { &window } else { &whole })?;
            show(|| format!("vision_layer_{i}"), &x.squeeze(0).unwrap_or_else(|_| x.clone()));
            if let Some(at) = c.deepstack_visual_indexes.iter().position(|d| *d == i) {
                let features = self.deepstack[at].forward(&x.squeeze(0)?)?;
                show(|| format!("deepstack_{at}"), &features);
                deep.push(features);
            }
        }
        let x = x.squeeze(0)?;
        show(|| "vision_features".to_owned(), &x);
        let x = self.merger.forward(&x)?;
        show(|| "projector_output".to_owned(), &x);
        let restored = |x: Tensor| if let Some(index) = &restore { x.index_select(0, index) } else { Ok(x) };
        Ok((restored(x)?, deep))
    }
}

/// The table's vectors at every patch, bilinear between the four nearest rows, corners on corners: `[patches, width]`.
fn learnt(table: &Tensor, grid: &[[usize; 3]], order: &Order) -> Result<Tensor> {
    let [rows, _] = table.dims()?;
    let side = rows.isqrt();
    let mut corners: [(Vec<i64>, Vec<f32>); 4] = Default::default();
    let mut at = 0;
    for &[frames, h, w] in grid {
        let count = frames * h * w;
        // As a line of n points from the first to the last row.
        let spot = |i: i64, n: usize| {
            let step = if n > 1 { (side - 1) as f32 / (n - 1) as f32 } else { 0.0 };
            let (at, n) = (i as usize, n.max(1));
            // The second half is counted from the end, as linspace does.
            let x =
                if at < n / 2 || n == 1 { at as f32 * step } else { (side - 1) as f32 - (n - 1 - at) as f32 * step };
            let low = (x as usize).min(side - 1);
            (low, (low + 1).min(side - 1), x - low as f32)
        };
        for place in &order.places[at..at + count] {
            let ((top, bottom, y), (left, right, x)) = (spot(place[0], h), spot(place[1], w));
            let all = [
                (top, left, (1.0 - y) * (1.0 - x)),
                (top, right, (1.0 - y) * x),
                (bottom, left, y * (1.0 - x)),
                (bottom, right, y * x),
            ];
            for (corner, (row, column, share)) in corners.iter_mut().zip(all) {
                corner.0.push((row * side + column) as i64);
                corner.1.push(share);
            }
        }
        at += count;
    }
    let mut sum: Option<Tensor> = None;
    for (index, share) in corners {
        let n = index.len();
        let share = Tensor::from_slice(&share, [n, 1], table.device())?.to_dtype(table.dtype())?;
        let part = (table.index_select(0, &Tensor::from_slice(&index, n, table.device())?)? * share)?;
        sum = Some(match sum {
            Some(sum) => (sum + part)?,
            None => part,
        });
    }
    sum.ok_or_else(|| Error::new(ErrorKind::Data, "vision tower", "there are no patches"))
}
