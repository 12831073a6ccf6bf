//! How many features a picture has, and where.

use super::LlavaNextConfig;
use crate::vision::best_pinpoint;
use crate::{Error, ErrorKind, Result};

/// The grid of a tiled picture's features.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Rows and columns of tiles.
    pub tiles: [usize; 2],
    /// The first row and column of patches that are no padding.
    pub start: [usize; 2],
    /// Rows and columns of patches that are no padding.
    pub size: [usize; 2],
    /// What they are shrunk to, where there are too many.
    pub shrunk: Option<[usize; 2]>,
}

impl Grid {
    /// The grid of a picture of `size`, height and width.
    ///
    /// # Errors
    /// [`ErrorKind::Image`] for a picture without pixels.
    pub fn of(c: &LlavaNextConfig, size: [usize; 2]) -> Result<Self> {
        let [h, w] = size;
        let best = best_pinpoint(size, &c.image_grid_pinpoints).filter(|_| h > 0 && w > 0);
        let Some(best) = best else {
            let message = format!("there is no resolution for a picture of {w} x {h} pixels");
            return Err(Error::new(ErrorKind::Image, "llava_next", message));
        };
        let (side, patches) = (c.vision_config.image_size(), c.vision_config.patches_per_side());
        let tiles = best.map(|s| s / side);
        let mut rows_columns = tiles.map(|n| n * patches);
        let mut start = [0, 0];
        let [rows, columns] = rows_columns.map(|n| n as f64);
        // The rounding to seven places is the reference's; the placeholders of published prompts depend on it.
        let fitted = |side: f64, scale: f64| ((side * scale * 1e7).round_ties_even() / 1e7) as usize;
        let (axis, new) = if w as f64 / h as f64 > columns / rows {
            (0, fitted(h as f64, columns / w as f64))
        } else {
            (1, fitted(w as f64, rows / h as f64))
        };
        let padding = rows_columns[axis].saturating_sub(new) / 2;
        start[axis] = padding;
        rows_columns[axis] -= 2 * padding;
        let [rows, columns] = rows_columns;
        let shrunk = c.most_patches()?.and_then(|most| {
            let ratio = ((rows * columns) as f64 / (most * patches * patches) as f64).sqrt();
            let less = |n: usize| ((n as f64 / ratio) as usize).max(1);
            (ratio > 1.1).then(|| [less(rows), less(columns)])
        });
        Ok(Grid { tiles, start, size: rows_columns, shrunk })
    }

    /// Features of the grid, the mark at the end of each row counted.
    pub fn tokens(&self) -> usize {
        let [rows, columns] = self.shrunk.unwrap_or(self.size);
        rows * (columns + 1)
    }
}
