//! Fewer, wider tokens.

use crate::{Error, ErrorKind, Result, Tensor};

/// Joins squares of `side · side` neighbouring tokens of square maps: `[n, rows · rows, d]` becomes
/// `[n, rows² / side², side² · d]`, in a joined token first the row, then the column, then the channel (Shi et al. 2016,
/// the other way round).
///
/// # Errors
/// [`ErrorKind::Shape`] unless the tokens are a square that divides into such squares.
pub fn pixel_shuffle(x: &Tensor, side: usize) -> Result<Tensor> {
    let [n, tokens, d] = x.dims()?;
    let rows = tokens.isqrt();
    if rows * rows != tokens || side == 0 || !rows.is_multiple_of(side) {
        let message = format!("{tokens} tokens of {} do not divide into squares of {side} by {side}", x.shape());
        return Err(Error::new(ErrorKind::Shape, "pixel_shuffle", message));
    }
    let cells = rows / side;
    let blocks = x.reshape([n, cells, side, cells, side, d])?.permute(&[0, 1, 3, 2, 4, 5])?;
    blocks.reshape([n, cells * cells, side * side * d])
}
