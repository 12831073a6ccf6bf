//! Resizing of feature maps.

use crate::{Result, Tensor};

/// `[h, w, d] -> [height, width, d]`, bilinear between the four nearest cells whose centres lie at half steps
/// (PyTorch's `interpolate` with `align_corners = false`, without antialiasing).
///
/// # Errors
/// Those of the device.
pub fn resize_bilinear(x: &Tensor, height: usize, width: usize) -> Result<Tensor> {
    resized(x, height, width, weights)
}

/// As [`resize_bilinear`], where shrinking takes the mean over all cells it covers, weighted by a triangle (PyTorch's
/// `antialias = true`).
///
/// # Errors
/// Those of the device.
pub fn resize_bilinear_antialiased(x: &Tensor, height: usize, width: usize) -> Result<Tensor> {
    resized(x, height, width, antialiased)
}

fn resized(x: &Tensor, height: usize, width: usize, weights: fn(usize, usize) -> Vec<f32>) -> Result<Tensor> {
    let [h, w, d] = x.dims()?;
    let matrix = |from, to| Tensor::from_slice(&weights(from, to), [to, from], x.device())?.to_dtype(x.dtype());
    let rows = matrix(h, height)?.matmul(&x.reshape([h, w * d])?)?.reshape([height, w, d])?;
    let columns = rows.permute(&[1, 0, 2])?.reshape([w, height * d])?;
    matrix(w, width)?.matmul(&columns)?.reshape([width, height, d])?.permute(&[1, 0, 2])
}

/// The share of each of `from` cells in each of `to`, `[to, from]`.
fn weights(from: usize, to: usize) -> Vec<f32> {
    let mut all = vec![0f32; from * to];
    let scale = from as f32 / to as f32;
    for (i, row) in all.chunks_mut(from.max(1)).enumerate() {
        let at = ((i as f32 + 0.5) * scale - 0.5).max(0.0);
        let low = (at as usize).min(from - 1);
        let share = at - low as f32;
        row[low] += 1.0 - share;
        row[(low + 1).min(from - 1)] += share;
    }
    all
}

/// As above, over all cells under a triangle as wide as the shrinking.
fn antialiased(from: usize, to: usize) -> Vec<f32> {
    let mut all = vec![0f32; from * to];
    let scale = from as f32 / to as f32;
    let support = scale.max(1.0);
    for (i, row) in all.chunks_mut(from.max(1)).enumerate() {
        let centre = scale * (i as f32 + 0.5);
        let first = (centre - support + 0.5).max(0.0) as usize;
        let last = ((centre + support + 0.5) as usize).min(from);
        let share = |j: usize| (1.0 - ((j as f32 - centre + 0.5) / support).abs()).max(0.0);
        let sum: f32 = (first..last).map(share).sum();
        (first..last).for_each(|j| row[j] = share(j) / sum);
    }
    all
}
