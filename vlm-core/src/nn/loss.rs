//! The loss of a language model.

use super::Linear;
use crate::tensor::IGNORE_INDEX;
use crate::{Error, ErrorKind, Result, Tensor};

/// The sum of a batch's losses and the number of tokens that have one.
#[derive(Debug)]
pub struct LossSum {
    /// The sum, a scalar, in `f32` for half floats.
    pub sum: Tensor,
    /// How many labels were counted.
    pub tokens: usize,
}

impl LossSum {
    /// The mean over the counted tokens.
    ///
    /// # Errors
    /// Those of the device.
    pub fn mean(&self) -> Result<Tensor> {
        &self.sum / self.tokens as f64
    }
}

/// Next-token cross-entropy of `hidden [b, s, d]` under the output layer `head`, with `labels [b][s]`: the hidden state
/// at `i` is judged by the label at `i + 1`, labels of [`IGNORE_INDEX`] are left out. Only counted rows reach the
/// output layer, whose logits are never all held.
///
/// # Errors
/// [`ErrorKind::Data`] if no label is left, [`ErrorKind::Index`] for labels outside of the vocabulary.
pub fn causal_lm_loss(hidden: &Tensor, head: &Linear, labels: &[Vec<i64>]) -> Result<LossSum> {
    let whole = |rows: &Tensor, targets: &Tensor| {
        if head.adapters().is_empty() && head.bias().is_none() {
            rows.linear_cross_entropy(&head.weight().tensor()?, targets, IGNORE_INDEX)
        } else {
            head.forward(rows)?.cross_entropy(targets, IGNORE_INDEX)
        }
    };
    judged(hidden, labels, whole)
}

/// As [`causal_lm_loss`], with logits that `logits` gives for rows `[n, d]` of hidden states, all held at once.
///
/// # Errors
/// As there.
pub fn causal_lm_loss_of(
    hidden: &Tensor,
    logits: impl Fn(&Tensor) -> Result<Tensor>,
    labels: &[Vec<i64>],
) -> Result<LossSum> {
    judged(hidden, labels, |rows, targets| logits(rows)?.cross_entropy(targets, IGNORE_INDEX))
}

fn judged(
    hidden: &Tensor,
    labels: &[Vec<i64>],
    losses: impl Fn(&Tensor, &Tensor) -> Result<Tensor>,
) -> Result<LossSum> {
    const OP: &str = "causal_lm_loss";
    let [b, s, d] = hidden.dims()?;
    if labels.len() != b || labels.iter().any(|row| row.len() != s) {
        let message = format!("hidden states {} and {} rows of labels do not fit", hidden.shape(), labels.len());
        return Err(Error::new(ErrorKind::Shape, OP, message));
    }
    let (mut rows, mut targets) = (Vec::new(), Vec::new());
    for (i, row) in labels.iter().enumerate() {
        for (j, &label) in row.iter().enumerate().skip(1).filter(|(_, l)| **l != IGNORE_INDEX) {
            rows.push((i * s + j - 1) as i64);
            targets.push(label);
        }
    }
    let tokens = targets.len();
    if tokens == 0 {
        return Err(Error::new(ErrorKind::Data, OP, "all labels are masked, there is nothing to learn from").hint(
            "check that answers are not cut off by the length limit and roles are named as the template expects",
        ));
    }
    let device = hidden.device();
    let rows = Tensor::from_slice(&rows, tokens, device)?;
    let targets = Tensor::from_slice(&targets, tokens, device)?;
    let picked = hidden.reshape([b * s, d])?.index_select(0, &rows)?;
    Ok(LossSum { sum: losses(&picked, &targets)?.sum_all()?, tokens })
}
