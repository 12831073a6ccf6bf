//! Positions in three axes (M-RoPE): time, height, width.

use super::QwenVlConfig;
use crate::models::VlmBatch;
use crate::nn::Positions;
use crate::{Error, ErrorKind, Result};

/// Positions of a batch, `[3][b][s]`, and how far the next position of each row is ahead of its number of places.
///
/// Text advances all axes by one. A picture at position `p` has `p` plus frame, row and column of its merged patches; the
/// text after it goes on behind the largest of them.
pub(super) fn of_batch(
    c: &QwenVlConfig,
    batch: &VlmBatch,
    cached: usize,
    deltas: &[i64],
) -> Result<(Positions, Vec<i64>)> {
    let bad = |message: String| Error::new(ErrorKind::Data, "positions", message);
    let (b, s) = (batch.input_ids.len(), batch.input_ids[0].len());
    if cached > 0 {
        if batch.images.is_some() {
            return Err(bad("pictures after tokens in the cache".to_owned()).hint("give the whole prompt at once"));
        }
        let delta = |row: usize| deltas.get(row).copied().unwrap_or(0);
        let rows: Vec<Vec<i64>> =
            (0..b).map(|row| (0..s).map(|i| (cached + i) as i64 + delta(row)).collect()).collect();
        return Ok((Positions::with_axes(vec![rows.clone(), rows.clone(), rows]), deltas.to_vec()));
    }
    let m = c.vision.spatial_merge_size;
    let mut grids = batch.images.iter().flat_map(|images| images.grid.iter());
    let (mut axes, mut next_deltas) = (vec![Vec::new(); 3], Vec::with_capacity(b));
    for (row, ids) in batch.input_ids.iter().enumerate() {
        let real = |i: usize| batch.attention_mask.as_ref().is_none_or(|mask| mask[row][i]);
        let mut places = vec![[0i64; 3]; s];
        let (mut next, mut i) = (0, 0);
        while i < s {
            if !real(i) {
                i += 1;
                continue;
            }
            if ids[i] != c.image_token_id {
                places[i] = [next; 3];
                (next, i) = (next + 1, i + 1);
                continue;
            }
            let Some(&[frames, rows, columns]) = grids.next() else {
                return Err(bad(format!("row {row} has a placeholder at {i}, but there is no picture left")));
            };
            let (rows, columns) = (rows / m, columns / m);
            let count = frames.checked_mul(rows).and_then(|n| n.checked_mul(columns)).unwrap_or(usize::MAX);
            if count == 0 || count > s - i || ids[i..i + count].iter().any(|id| *id != c.image_token_id) {
                let message = format!("row {row} has not the {count} placeholders at {i} that its picture needs");
                return Err(bad(message).hint("expand each picture's placeholder with the processor"));
            }
            for cell in 0..count {
                let (frame, at) = (cell / (rows * columns), cell % (rows * columns));
                places[i + cell] = [frame, at / columns, at % columns].map(|p| next + p as i64);
            }
            next += frames.max(rows).max(columns) as i64;
            i += count;
        }
        for (axis, rows) in axes.iter_mut().enumerate() {
            rows.push(places.iter().map(|p| p[axis]).collect::<Vec<i64>>());
        }
        next_deltas.push(next - s as i64);
    }
    Ok((Positions::with_axes(axes), next_deltas))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::Images;
    use crate::{DType, Device, Tensor};
    use serde_json::json;

    #[test]
    fn text_goes_on_behind_a_picture_and_wrong_grids_are_named() {
        let config = QwenVlConfig::from_json(&json!({"model_type": "qwen2_vl", "image_token_id": 9})).unwrap();
        let batch = |grid| {
            let mut images = Images::new(Tensor::zeros([1], DType::F32, &Device::reference()).unwrap());
            images.grid = vec![grid];
            VlmBatch { input_ids: vec![vec![1, 9, 9, 9, 2]], images: Some(images), ..VlmBatch::default() }
        };
        let (found, deltas) = of_batch(&config, &batch([1, 2, 6]), 0, &[]).unwrap();
        let axes: Vec<&[i64]> = found.axes().iter().map(|axis| axis[0].as_slice()).collect();
        assert_eq!(axes, [[0, 1, 1, 1, 4], [0, 1, 1, 1, 4], [0, 1, 2, 3, 4]]);
        assert_eq!(deltas, [0]);
        for grid in [[1, 2, 2], [1, 2, 8], [usize::MAX, 4, 4], [0, 2, 2]] {
            let e = of_batch(&config, &batch(grid), 0, &[]);
            // One merged cell leaves placeholders without a picture.
            assert!(e.unwrap_err().to_string().contains("placeholder"), "{grid:?}");
        }
    }
}
