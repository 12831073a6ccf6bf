//! Shapes and broadcasting.

use crate::{Error, ErrorKind, Result};
use std::fmt;
use std::ops::{Deref, DerefMut};

/// The highest rank a tensor can have.
pub const MAX_RANK: usize = 8;

/// Up to [`MAX_RANK`] sizes, kept inline: the sizes or strides of a tensor, outermost dimension first.
///
/// Copying one costs no allocation, which is most of what a small operation would otherwise pay for.
#[derive(Clone, Copy)]
pub struct Dims {
    len: u8,
    data: [usize; MAX_RANK],
}

/// The sizes of a tensor, outermost dimension first; `[]` is a scalar.
pub type Shape = Dims;

impl Dims {
    /// No dimensions: the shape of a scalar.
    pub const SCALAR: Dims = Dims { len: 0, data: [0; MAX_RANK] };

    /// The sizes in `dims`.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] for more than [`MAX_RANK`] dimensions or an element count beyond `isize::MAX`.
    pub fn new(op: &'static str, dims: &[usize]) -> Result<Self> {
        if dims.len() > MAX_RANK {
            let found = dims.len();
            return Err(Error::new(
                ErrorKind::Shape,
                op,
                format!("rank {found} is more than the {MAX_RANK} supported"),
            ));
        }
        let count = dims.iter().filter(|&&d| d > 0).try_fold(1usize, |n, &d| n.checked_mul(d));
        if count.is_none_or(|n| n > isize::MAX as usize / 8) {
            return Err(Error::new(ErrorKind::Shape, op, format!("shape {dims:?} has too many elements")));
        }
        Ok(Dims::from_slice(dims))
    }

    /// The sizes in `dims`, which the caller knows to be at most [`MAX_RANK`] many.
    ///
    /// # Panics
    /// If there are more.
    pub fn from_slice(dims: &[usize]) -> Self {
        let mut data = [0; MAX_RANK];
        data[..dims.len()].copy_from_slice(dims);
        Dims { len: dims.len() as u8, data }
    }

    /// `n` times `value`.
    ///
    /// # Panics
    /// If `n` is more than [`MAX_RANK`].
    pub fn repeat(value: usize, n: usize) -> Self {
        Dims::from_slice(&[value; MAX_RANK][..n])
    }

    /// Number of dimensions.
    #[inline]
    pub fn rank(&self) -> usize {
        self.len.into()
    }

    /// Number of elements of a tensor of this shape; 1 for a scalar.
    #[inline]
    pub fn count(&self) -> usize {
        self.iter().product()
    }

    /// The strides, in elements, of a contiguous tensor of this shape.
    pub fn contiguous_strides(&self) -> Dims {
        let mut strides = *self;
        let mut step = 1;
        for d in (0..self.rank()).rev() {
            strides[d] = step;
            step *= self[d];
        }
        strides
    }

    /// Without dimension `dim`.
    pub fn without(&self, dim: usize) -> Dims {
        let mut out = *self;
        out.data.copy_within(dim + 1.., dim);
        out.len -= 1;
        out
    }

    /// With a new dimension of size `size` at `dim`.
    ///
    /// # Panics
    /// If the rank is already [`MAX_RANK`].
    pub fn with_inserted(&self, dim: usize, size: usize) -> Dims {
        assert!(self.rank() < MAX_RANK);
        let mut out = *self;
        out.data.copy_within(dim..MAX_RANK - 1, dim + 1);
        out.data[dim] = size;
        out.len += 1;
        out
    }

    /// With dimension `dim` set to `size`.
    pub fn with(&self, dim: usize, size: usize) -> Dims {
        let mut out = *self;
        out[dim] = size;
        out
    }

    /// The shape to which tensors of shapes `self` and `other` broadcast together, by NumPy's rule: shapes are
    /// aligned at the last dimension; each pair must be equal or one of them 1.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] naming both shapes.
    pub fn broadcast(&self, other: &Dims, op: &'static str) -> Result<Dims> {
        if self == other {
            return Ok(*self);
        }
        let (long, short) = if self.rank() >= other.rank() { (self, other) } else { (other, self) };
        let lead = long.rank() - short.rank();
        let mut out = *long;
        for d in 0..short.rank() {
            let (a, b) = (long[lead + d], short[d]);
            out[lead + d] = match (a, b) {
                _ if a == b => a,
                (1, _) => b,
                (_, 1) => a,
                _ => {
                    let message = format!("shapes {self} and {other} do not broadcast: sizes {a} and {b} differ");
                    return Err(Error::new(ErrorKind::Shape, op, message));
                }
            };
        }
        Ok(out)
    }

    /// The dimension that `dim` means, negative ones counted from the end.
    ///
    /// # Errors
    /// [`ErrorKind::Index`] outside `-rank..rank`.
    pub fn dim(&self, op: &'static str, dim: isize) -> Result<usize> {
        let rank = self.rank() as isize;
        if (-rank..rank).contains(&dim) {
            return Ok(if dim < 0 { dim + rank } else { dim } as usize);
        }
        let message = format!("dimension {dim} is outside of shape {self}, which has {rank} dimensions");
        Err(Error::new(ErrorKind::Index, op, message))
    }
}

impl Deref for Dims {
    type Target = [usize];
    #[inline]
    fn deref(&self) -> &[usize] {
        &self.data[..self.len as usize]
    }
}

impl DerefMut for Dims {
    #[inline]
    fn deref_mut(&mut self) -> &mut [usize] {
        &mut self.data[..self.len as usize]
    }
}

impl PartialEq for Dims {
    /// A loop: for a handful of numbers, calling `memcmp` costs more than comparing them.
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().zip(&**other).all(|(a, b)| a == b)
    }
}
impl Eq for Dims {}
impl PartialEq<[usize]> for Dims {
    fn eq(&self, other: &[usize]) -> bool {
        **self == *other
    }
}
impl<const N: usize> PartialEq<[usize; N]> for Dims {
    fn eq(&self, other: &[usize; N]) -> bool {
        **self == *other
    }
}

impl fmt::Debug for Dims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}
impl fmt::Display for Dims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

/// Anything that names a shape: `[2, 3]`, `&[2, 3][..]`, `vec![2, 3]`, a [`Shape`], `()` or a single size.
pub trait IntoShape {
    /// The shape.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] beyond [`MAX_RANK`] dimensions or too many elements.
    fn into_shape(self, op: &'static str) -> Result<Shape>;
}
impl IntoShape for Dims {
    fn into_shape(self, _op: &'static str) -> Result<Shape> {
        Ok(self)
    }
}
impl IntoShape for &Dims {
    fn into_shape(self, _op: &'static str) -> Result<Shape> {
        Ok(*self)
    }
}
impl IntoShape for &[usize] {
    fn into_shape(self, op: &'static str) -> Result<Shape> {
        Dims::new(op, self)
    }
}
impl IntoShape for Vec<usize> {
    fn into_shape(self, op: &'static str) -> Result<Shape> {
        Dims::new(op, &self)
    }
}
impl IntoShape for &Vec<usize> {
    fn into_shape(self, op: &'static str) -> Result<Shape> {
        Dims::new(op, self)
    }
}
impl<const N: usize> IntoShape for [usize; N] {
    fn into_shape(self, op: &'static str) -> Result<Shape> {
        Dims::new(op, &self)
    }
}
impl<const N: usize> IntoShape for &[usize; N] {
    fn into_shape(self, op: &'static str) -> Result<Shape> {
        Dims::new(op, self)
    }
}
impl IntoShape for usize {
    fn into_shape(self, op: &'static str) -> Result<Shape> {
        Dims::new(op, &[self])
    }
}
impl IntoShape for () {
    fn into_shape(self, _op: &'static str) -> Result<Shape> {
        Ok(Dims::SCALAR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broadcasting_follows_numpy() {
        let s = |d: &[usize]| Dims::from_slice(d);
        assert_eq!(s(&[4, 1, 3]).broadcast(&s(&[2, 1]), "t").unwrap(), [4, 2, 3]);
        assert_eq!(s(&[]).broadcast(&s(&[2]), "t").unwrap(), [2]);
        assert_eq!(s(&[0, 1]).broadcast(&s(&[1, 5]), "t").unwrap(), [0, 5]);
        let e = s(&[2, 3]).broadcast(&s(&[4]), "add").unwrap_err();
        assert!(e.to_string().starts_with("add: shapes [2, 3] and [4]"), "{e}");
    }

    #[test]
    fn dimensions_are_inserted_and_removed_in_place() {
        let s = Dims::from_slice(&[2, 3, 4]);
        assert_eq!(s.without(1), [2, 4]);
        assert_eq!(s.with_inserted(3, 9), [2, 3, 4, 9]);
        assert_eq!(s.with_inserted(0, 9), [9, 2, 3, 4]);
        assert_eq!(s.contiguous_strides(), [12, 4, 1]);
        assert!(Dims::new("t", &[usize::MAX, 2]).is_err());
        assert!(Dims::new("t", &[1; 9]).is_err());
        assert_eq!(s.dim("t", -1).unwrap(), 2);
        assert!(s.dim("t", 3).is_err());
    }
}
