//! Normalisations.

mod group;
mod layer;
mod rms;

pub(crate) use group::{GroupNorm, Norm};
pub(crate) use layer::{LayerNorm, LayerNormBackward};
pub(crate) use rms::{AddRmsNorm, GemmaRmsNorm, RmsNorm, RmsNormGrad};

use crate::plan::{Refusal, invalid};
use crate::types::Tensor;

/// A refusal that the vendor's operations make later than that of other arguments: what the tiling does not take (561002).
pub(super) fn tiling(refusal: Refusal) -> Refusal {
    Refusal { status: 561_002, ..refusal }
}

/// Requires the last dimensions of `x` to be `last`; the rows that remain, and the width of each.
fn split(what: &str, x: &Tensor, last: &[usize]) -> Result<(usize, usize), Refusal> {
    let rows = x.rank().checked_sub(last.len()).map(|lead| x.dims.split_at(lead));
    match rows {
        Some((rows, width)) if width == last && !last.is_empty() => Ok((rows.iter().product(), last.iter().product())),
        _ => {
            Err(invalid(format!("{what} has shape {last:?}, which is not that of the last dimensions of {:?}", x.dims)))
        }
    }
}

/// Requires one element for each row.
fn one_each(what: &str, t: &Tensor, rows: usize) -> Result<(), Refusal> {
    if t.count() == rows {
        Ok(())
    } else {
        Err(invalid(format!("{what} has shape {:?}, expected {rows} elements", t.dims)))
    }
}

/// Mean and biased variance.
fn moments(row: &[f32]) -> (f64, f64) {
    let n = row.len() as f64;
    let mean = row.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
    let variance = row.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n;
    (mean, variance)
}
