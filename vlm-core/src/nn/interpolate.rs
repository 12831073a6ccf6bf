//! Resizing of feature maps.

use crate::{Result, Tensor};

/// `[h, w, d] -> [height, width, d]`, bilinear between the four nearest cells whose centres lie at half steps
/// (PyTorch's `interpolate` with `align_corners = false`, without antialiasing).
///
/// # Errors
/// Those of the device.
pub fn resize_bilinear(x: &Tensor, height: usize, width: usize) -> Result<Tensor> {
    let [h, w, d] = x.dims()?;
    let rows = weights(x, h, height)?.matmul(&x.reshape([h, w * d])?)?.reshape([height, w, d])?;
    let columns = rows.permute(&[1, 0, 2])?.reshape([w, height * d])?;
    weights(x, w, width)?.matmul(&columns)?.reshape([width, height, d])?.permute(&[1, 0, 2])
}

/// The share of each of `from` cells in each of `to`, `[to, from]`.
fn weights(like: &Tensor, from: usize, to: usize) -> Result<Tensor> {
    let mut all = vec![0f32; from * to];
    let scale = from as f32 / to as f32;
    for (i, row) in all.chunks_mut(from.max(1)).enumerate() {
        let at = ((i as f32 + 0.5) * scale - 0.5).max(0.0);
        let low = (at as usize).min(from - 1);
        let share = at - low as f32;
        row[low] += 1.0 - share;
        row[(low + 1).min(from - 1)] += share;
    }
    Tensor::from_slice(&all, [to, from], like.device())?.to_dtype(like.dtype())
}
