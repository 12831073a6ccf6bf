//! Operations on images.

mod conv;
mod pool;
mod resample;
mod window;

pub(crate) use conv::Convolution;
pub(crate) use pool::{AvgPool2d, MaxPool};
pub(crate) use resample::{Im2col, UpsampleNearest2d};

use crate::plan::{Refusal, invalid};
use crate::types::Tensor;

/// Numbers as sizes.
fn sizes(what: &str, numbers: &[i64], least: usize) -> Result<Vec<usize>, Refusal> {
    let size = |&n: &i64| usize::try_from(n).ok().filter(|&n| n >= least);
    let wrong = || invalid(format!("{what} is {numbers:?}, expected numbers from {least} on"));
    numbers.iter().map(size).collect::<Option<_>>().ok_or_else(wrong)
}

/// One number for both height and width, or one for each.
fn both(what: &str, numbers: &[i64], least: usize) -> Result<[usize; 2], Refusal> {
    match sizes(what, numbers, least)?[..] {
        [one] => Ok([one; 2]),
        [h, w] => Ok([h, w]),
        _ => Err(invalid(format!("{what} is {numbers:?}, expected 1 or 2 numbers"))),
    }
}

/// Requires a format (`aclFormat`) that names the dimensions: `NCL`, `NCHW` or `NCDHW` by their number.
fn named_format(what: &str, t: &Tensor) -> Result<(), Refusal> {
    let expected = match t.rank() {
        3 => 47,
        4 => 0,
        5 => 30,
        rank => return Err(invalid(format!("{what} has {rank} dimensions, expected 3 to 5"))),
    };
    if t.format == expected {
        Ok(())
    } else {
        Err(invalid(format!("{what} of shape {:?} has format {}, expected {expected}", t.dims, t.format)))
    }
}
