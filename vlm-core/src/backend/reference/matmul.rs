//! Products of matrices.

use super::storage::{Data, narrow, read_f64, read_i64, room, round};
use crate::Result;
use crate::backend::View;
use std::ops::AddAssign;

pub(super) fn matmul(a: View<'_>, b: View<'_>) -> Result<Data> {
    let rank = a.layout.rank();
    let (m, k, n) = (a.shape()[rank - 2], a.shape()[rank - 1], b.shape()[rank - 1]);
    let batch: usize = a.shape()[..rank - 2].iter().product();
    if a.dtype().is_float() {
        return Ok(round(products(&read_f64(&a)?, &read_f64(&b)?, batch, m, k, n, |x, y| x * y)?, a.dtype()));
    }
    let wrapping = |x: i64, y: i64| std::num::Wrapping(x) * std::num::Wrapping(y);
    let out = products(&read_i64(&a)?, &read_i64(&b)?, batch, m, k, n, wrapping)?;
    Ok(narrow(out.into_iter().map(|w| w.0).collect(), a.dtype()))
}

fn products<T: Copy, R: Copy + Default + AddAssign>(
    a: &[T],
    b: &[T],
    batch: usize,
    m: usize,
    k: usize,
    n: usize,
    times: impl Fn(T, T) -> R,
) -> Result<Vec<R>> {
    let mut out = room(batch * m * n)?;
    out.resize(batch * m * n, R::default());
    for g in 0..batch {
        for i in 0..m {
            let row = &mut out[(g * m + i) * n..][..n];
            for p in 0..k {
                let x = a[(g * m + i) * k + p];
                for (o, &y) in row.iter_mut().zip(&b[(g * k + p) * n..][..n]) {
                    *o += times(x, y);
                }
            }
        }
    }
    Ok(out)
}
