//! Scores of queries against keys, and their softmax.

use super::head;
use super::mask::Mask;
use crate::ops::product::{Matrix, multiply};
use crate::plan::Fault;
use crate::run::Run;
use crate::types::Tensor;

/// How scores are made of products.
#[derive(Clone, Debug)]
pub(super) struct Scores {
    pub(super) scale: f32,
    /// What is added, as `[B, N, Sq, Skv]`.
    pub(super) shift: Option<Tensor>,
    /// Whether it is added before the product is scaled.
    pub(super) shift_first: bool,
    pub(super) mask: Mask,
}

/// What was read last, as heads often share a mask.
#[derive(Debug, Default)]
pub(super) struct Seen {
    shift: Option<(Tensor, Vec<f32>)>,
    hidden: Option<(Tensor, Vec<bool>)>,
}

/// The elements of a view, read if it is not that of before.
fn cached<T>(
    last: &mut Option<(Tensor, Vec<T>)>,
    view: Tensor,
    read: impl FnOnce(&Tensor) -> Result<Vec<T>, Fault>,
) -> Result<&[T], Fault> {
    if !matches!(last, Some((seen, _)) if *seen == view) {
        let values = read(&view)?;
        *last = Some((view, values));
    }
    Ok(last.as_ref().map_or(&[], |(_, values)| values))
}

impl Scores {
    /// The scores of head `n` of batch `b`, `-inf` for hidden keys.
    pub(super) fn of(
        &self,
        run: &Run<'_>,
        seen: &mut Seen,
        (b, n): (usize, usize),
        q: Matrix<'_>,
        k: Matrix<'_>,
    ) -> Result<Vec<f32>, Fault> {
        let (queries, keys) = (q.rows, k.rows);
        let mut scores = vec![0.0; queries * keys];
        multiply(q, k.transposed(), &mut scores, false);
        let scale = self.scale;
        if let Some(t) = &self.shift {
            let shift = cached(&mut seen.shift, head(t, b, n, queries, keys), |view| run.f32s(view))?;
            if self.shift_first {
                scores.iter_mut().zip(shift).for_each(|(s, p)| *s = (*s + p) * scale);
            } else {
                scores.iter_mut().zip(shift).for_each(|(s, p)| *s = *s * scale + p);
            }
        } else {
            scores.iter_mut().for_each(|s| *s *= scale);
        }
        if let Some(t) = &self.mask.hidden {
            let hidden = cached(&mut seen.hidden, head(t, b, n, queries, keys), |view| run.bools(view))?;
            scores.iter_mut().zip(hidden).filter(|(_, h)| **h).for_each(|(s, _)| *s = f32::NEG_INFINITY);
        }
        if let Some(band) = self.mask.band.filter(|_| keys > 0) {
            for (i, row) in scores.chunks_exact_mut(keys).enumerate() {
                let seen = band.seen(i, queries, keys);
                row[..seen.start].fill(f32::NEG_INFINITY);
                row[seen.end..].fill(f32::NEG_INFINITY);
            }
        }
        Ok(scores)
    }
}

/// Softmax of rows in place. For each row the largest score and the sum of the exponentials; a row that sees nothing
/// becomes zeros, with `-inf` and 0.
pub(super) fn softmax(scores: &mut [f32], rows: usize) -> (Vec<f32>, Vec<f32>) {
    let (mut most, mut sums) = (vec![f32::NEG_INFINITY; rows], vec![0.0; rows]);
    let keys = scores.len().checked_div(rows).unwrap_or(0);
    if keys == 0 {
        return (most, sums);
    }
    for (row, (most, total)) in scores.chunks_exact_mut(keys).zip(most.iter_mut().zip(&mut sums)) {
        *most = row.iter().fold(f32::NEG_INFINITY, |a, &s| if s > a || s.is_nan() { s } else { a });
        let base = if *most == f32::NEG_INFINITY { 0.0 } else { *most };
        let mut sum = 0.0;
        for s in row.iter_mut() {
            *s = (*s - base).exp();
            sum += f64::from(*s);
        }
        *total = sum as f32;
        if sum != 0.0 {
            let inverse = 1.0 / sum;
            row.iter_mut().for_each(|s| *s = (f64::from(*s) * inverse) as f32);
        }
    }
    (most, sums)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softmax_of_rows() {
        let ninf = f32::NEG_INFINITY;
        let mut s = [0.0, 3f32.ln(), ninf, ninf, f32::NAN, 0.0];
        let (most, sums) = softmax(&mut s, 3);
        assert!((s[0] - 0.25).abs() < 1e-6 && (s[1] - 0.75).abs() < 1e-6);
        assert_eq!(s[2..4], [0.0, 0.0]);
        assert!(s[4].is_nan() && s[5].is_nan());
        assert_eq!((most[1], sums[1]), (ninf, 0.0));
        assert!((most[0] + sums[0].ln() - 4f32.ln()).abs() < 1e-6);
    }
}
