//! In which order the patches of a picture stand, and which of them see each other.

use super::QwenVisionConfig;
use crate::{Error, ErrorKind, Result};

/// The order of all patches of a batch.
#[derive(Debug)]
pub(super) struct Order {
    /// Row and column of each patch in its picture, in the processor's order: blocks that are merged stand together.
    pub(super) places: Vec<[i64; 2]>,
    /// Where each frame begins, and the end: attention stays inside.
    pub(super) pictures: Vec<usize>,
    /// For windows: the merged cell that comes at each place, and where each window begins (in patches), and the end.
    pub(super) windows: Option<(Vec<i64>, Vec<usize>)>,
}

impl Order {
    pub(super) fn new(c: &QwenVisionConfig, grid: &[[usize; 3]], patches: usize, windowed: bool) -> Result<Self> {
        let m = c.spatial_merge_size;
        let bad = |message: String| {
            Error::new(ErrorKind::Data, "vision tower", message).hint("prepare pictures with the model's own processor")
        };
        let (mut places, mut pictures) = (Vec::with_capacity(patches), vec![0]);
        let (mut cells, mut windows) = (Vec::new(), vec![0]);
        for &[frames, rows, columns] in grid {
            let count = [frames, rows, columns].iter().try_fold(1usize, |a, &b| a.checked_mul(b));
            let fits = count.is_some_and(|n| n > 0 && n <= patches - places.len());
            if !fits || !rows.is_multiple_of(m) || !columns.is_multiple_of(m) {
                let message =
                    format!("a grid of {frames} x {rows} x {columns} patches does not fit {patches} in blocks of {m}");
                return Err(bad(message));
            }
            for _ in 0..frames {
                let first = (places.len() / (m * m)) as i64;
                for block in 0..rows * columns / (m * m) {
                    let (top, left) = (block / (columns / m) * m, block % (columns / m) * m);
                    places.extend((0..m * m).map(|i| [(top + i / m) as i64, (left + i % m) as i64]));
                }
                pictures.push(places.len());
                let (rows, columns, side) = (rows / m, columns / m, c.window_size / m / c.patch_size);
                for window in 0..rows.div_ceil(side) * columns.div_ceil(side) {
                    let (top, left) = (window / columns.div_ceil(side) * side, window % columns.div_ceil(side) * side);
                    for row in top..(top + side).min(rows) {
                        cells
                            .extend((left..(left + side).min(columns)).map(|col| first + (row * columns + col) as i64));
                    }
                    windows.push(cells.len() * m * m);
                }
            }
        }
        if places.len() != patches {
            return Err(bad(format!("the grids hold {} patches, there are {patches}", places.len())));
        }
        Ok(Order { places, pictures, windows: windowed.then_some((cells, windows)) })
    }
}
