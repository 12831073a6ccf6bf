//! What a trainer learns.

use crate::Result;
use crate::nn::LossSum;

/// Rows with a loss.
pub trait Task {
    /// Number of rows.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The summed loss of these rows, one micro-batch.
    ///
    /// # Errors
    /// Whatever a row or the model is wrong with, naming the row.
    fn loss(&self, rows: &[usize]) -> Result<LossSum>;

    /// Whether the loss of these rows depends on every trained parameter, as far as rows can tell: a conversation without
    /// pictures does not reach the vision tower. The trainer looks for missing gradients at the first step that does.
    fn reaches_all(&self, rows: &[usize]) -> bool {
        let _ = rows;
        true
    }

    /// What a person calls a row, for errors.
    fn row_name(&self, row: usize) -> String {
        format!("row {row}")
    }

    /// What the rows are made of: a digest that tells whether a resumed run has the same ones.
    fn digest(&self) -> String;
}
