//! Attention: of training, its gradient, and of inference.

mod forward;
mod grad;
mod infer;
mod mask;
mod scores;
#[cfg(test)]
mod tests;

pub(crate) use forward::FlashAttentionScore;
pub(crate) use grad::FlashAttentionScoreGrad;
pub(crate) use infer::FusedInferAttentionScoreV2;

use crate::plan::{Refusal, invalid};
use crate::types::Tensor;

/// How batch (B), heads (N), sequence (S) and width (D) lie in a tensor; H is N and D as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    Bsh,
    Sbh,
    Bsnd,
    Bnsd,
}

impl Layout {
    fn named(name: &str) -> Result<Self, Refusal> {
        match name {
            "BSH" => Ok(Layout::Bsh),
            "SBH" => Ok(Layout::Sbh),
            "BSND" => Ok(Layout::Bsnd),
            "BNSD" => Ok(Layout::Bnsd),
            _ => Err(invalid(format!("inputLayout {name:?} is not one that this operation has"))),
        }
    }

    /// The tensor as `[B, N, S, D]`, of `heads` heads.
    fn heads(self, what: &str, t: &Tensor, heads: usize) -> Result<Tensor, Refusal> {
        let misfit = || invalid(format!("{what} has shape {:?}, which is not {self:?} with {heads} heads", t.dims));
        let order = match (self, t.rank()) {
            (Layout::Bnsd, 4) => [0, 1, 2, 3],
            (Layout::Bsnd, 4) => [0, 2, 1, 3],
            (Layout::Bsh | Layout::Sbh, 3) if heads > 0 && t.dims[2].is_multiple_of(heads) => {
                let (batch, sequence) = if self == Layout::Bsh { (0, 1) } else { (1, 0) };
                let width = t.dims[2] / heads;
                let dims = vec![t.dims[batch], heads, t.dims[sequence], width];
                let inner = t.strides[2];
                let strides = vec![t.strides[batch], width * inner, t.strides[sequence], inner];
                return Ok(t.with_view(dims, strides, t.offset));
            }
            _ => return Err(misfit()),
        };
        let view = t.with_view(order.map(|d| t.dims[d]).to_vec(), order.map(|d| t.strides[d]).to_vec(), t.offset);
        if view.dims[1] == heads { Ok(view) } else { Err(misfit()) }
    }
}

/// The head `n` of batch `b` of a view as `[B, N, S, D]`: the first `rows` rows and `cols` columns of it.
fn head(t: &Tensor, b: usize, n: usize, rows: usize, cols: usize) -> Tensor {
    let offset = t.offset + b * t.strides[0] + n * t.strides[1];
    t.with_view(vec![rows, cols], vec![t.strides[2], t.strides[3]], offset)
}

/// A number of heads as the interface gives it.
fn head_count(heads: i64) -> Result<usize, Refusal> {
    usize::try_from(heads)
        .ok()
        .filter(|h| (1..=256).contains(h))
        .ok_or_else(|| invalid(format!("{heads} heads, expected 1 to 256")))
}
