//! Where tokens are.

/// The position of every token of a batch on one axis or on several (time, height, width for M-RoPE).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Positions {
    axes: Vec<Vec<Vec<i64>>>,
}

impl Positions {
    /// One axis, `[b][s]`.
    pub fn new(rows: Vec<Vec<i64>>) -> Self {
        Positions { axes: vec![rows] }
    }

    /// Several axes of `[b][s]`, all of one size.
    pub fn with_axes(axes: Vec<Vec<Vec<i64>>>) -> Self {
        Positions { axes }
    }

    /// `[axis][b][s]`.
    pub fn axes(&self) -> &[Vec<Vec<i64>>] {
        &self.axes
    }

    /// Tokens per row.
    pub fn len(&self) -> usize {
        self.axes.first().and_then(|rows| rows.first()).map_or(0, Vec::len)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The largest position.
    pub fn max(&self) -> i64 {
        self.axes.iter().flatten().flatten().copied().max().unwrap_or(0)
    }
}
