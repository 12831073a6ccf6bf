//! Reductions, running sums, order.

use std::cmp::Ordering;

/// Every run of `each` values folded into one.
pub(crate) fn fold<T: Copy>(values: &[T], groups: usize, each: usize, start: T, f: impl Fn(T, T) -> T) -> Vec<T> {
    (0..groups).map(|g| values[g * each..][..each].iter().fold(start, |sum, &v| f(sum, v))).collect()
}

/// The position of the element that `beats` all others in each run; the first of equals.
pub(crate) fn best<T: Copy>(values: &[T], each: usize, beats: impl Fn(T, T) -> bool) -> Vec<i64> {
    let position = |run: &[T]| (1..run.len()).fold(0, |best, i| if beats(run[i], run[best]) { i } else { best });
    values.chunks(each).map(|run| position(run) as i64).collect()
}

/// NaN wins over everything, once.
pub(crate) fn nan_or(larger: bool) -> impl Fn(f64, f64) -> bool {
    move |a, b| !b.is_nan() && (a.is_nan() || if larger { a > b } else { a < b })
}

/// `f` along the middle of `[outer, n, inner]`, in place.
pub(crate) fn run<T: Copy>(mut values: Vec<T>, n: usize, inner: usize, f: impl Fn(T, T) -> T) -> Vec<T> {
    for block in values.chunks_mut((n * inner).max(1)) {
        for i in inner..block.len() {
            block[i] = f(block[i - inner], block[i]);
        }
    }
    values
}

/// The order of each run along the middle of `[outer, n, inner]`: positions in `values`, equals as they came.
pub(crate) fn order<T>(values: &[T], n: usize, inner: usize, compare: impl Fn(&T, &T) -> Ordering) -> Vec<usize> {
    let mut out = vec![0; values.len()];
    for start in (0..values.len()).step_by((n * inner).max(1)) {
        for lane in start..start + inner {
            let mut run: Vec<usize> = (0..n).map(|j| lane + j * inner).collect();
            run.sort_by(|&a, &b| compare(&values[a], &values[b]));
            run.into_iter().enumerate().for_each(|(j, from)| out[lane + j * inner] = from);
        }
    }
    out
}
