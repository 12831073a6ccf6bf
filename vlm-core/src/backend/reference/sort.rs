//! Sorting along a dimension.

use super::storage::{Data, Held, read_f64, read_i64, room, with_type};
use crate::backend::View;
use crate::{DType, Result};
use std::cmp::Ordering;

pub(super) fn sort(x: View<'_>, dim: usize, descending: bool) -> Result<(Data, Data)> {
    let shape = x.shape();
    let (n, inner) = (shape[dim], shape[dim + 1..].iter().product::<usize>());
    let order = if x.dtype().is_float() {
        orders(&read_f64(&x)?, n, inner, descending, |a, b| {
            a.partial_cmp(b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
        })?
    } else {
        orders(&read_i64(&x)?, n, inner, descending, i64::cmp)?
    };
    let positions = order.iter().map(|&p| (p / inner.max(1) % n.max(1)) as i64).collect();
    let values = with_type!(x.dtype(), T => {
        let values = super::storage::read::<T>(&x)?;
        T::wrap(order.iter().map(|&p| values[p]).collect::<Vec<T>>())
    });
    Ok((values, Data::I64(positions)))
}

/// For each place of the result the position in `values` of what belongs there.
fn orders<T>(
    values: &[T],
    n: usize,
    inner: usize,
    descending: bool,
    compare: impl Fn(&T, &T) -> Ordering,
) -> Result<Vec<usize>> {
    let mut out = room(values.len())?;
    out.resize(values.len(), 0);
    if values.is_empty() {
        return Ok(out);
    }
    for start in (0..values.len()).step_by(n * inner) {
        for i in start..start + inner {
            let mut row: Vec<usize> = (0..n).map(|j| i + j * inner).collect();
            row.sort_by(|&a, &b| {
                let by = compare(&values[a], &values[b]);
                if descending { by.reverse() } else { by }
            });
            for (j, from) in row.into_iter().enumerate() {
                out[i + j * inner] = from;
            }
        }
    }
    Ok(out)
}
