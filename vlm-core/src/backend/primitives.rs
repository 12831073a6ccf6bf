//! The second tier: the operations every backend must have.

use super::{
    ArgReduceOp, BinaryOp, CompareOp, CumulativeOp, Memory, OpKind, ReduceOp, ScatterOp, StorageRef, Support, UnaryOp,
    View,
};
use crate::shape::{Dims, Shape};
use crate::{DType, Result, Scalar};

/// The required operations. Together with [`Memory`] they are all that a device needs: everything else has a default
/// body in [`Kernels`](super::Kernels) made of these.
///
/// Core has checked shapes, element types and index ranges before it calls; a backend may `debug_assert!` them. Every
/// view may have any layout. Results are new storages with exactly as many elements as the result has, contiguous, of
/// the operands' element type unless said otherwise.
pub trait Primitives: Memory {
    /// `len` times `value`.
    fn fill(&self, dtype: DType, len: usize, value: Scalar) -> Result<StorageRef>;

    /// `start + i * step` for `i` in `0..len`.
    fn arange(&self, dtype: DType, start: f64, step: f64, len: usize) -> Result<StorageRef>;

    /// Another element type: floats round to nearest even; floats to integers truncate towards zero and saturate;
    /// integers wrap; anything to `bool` is `x != 0` (NaN is true); `bool` gives 0 and 1.
    fn cast(&self, x: View<'_>, dtype: DType) -> Result<StorageRef>;

    /// `op` of every element.
    fn unary(&self, op: UnaryOp, x: View<'_>) -> Result<StorageRef>;

    /// `op` of every pair; `a` and `b` have the same shape (broadcast by strides) and element type.
    fn binary(&self, op: BinaryOp, a: View<'_>, b: View<'_>) -> Result<StorageRef>;

    /// `bool`: the comparison of every pair; operands as for [`Primitives::binary`].
    fn compare(&self, op: CompareOp, a: View<'_>, b: View<'_>) -> Result<StorageRef>;

    /// `a` where `cond` (`bool`) is true, else `b`; all of one shape.
    fn select(&self, cond: View<'_>, a: View<'_>, b: View<'_>) -> Result<StorageRef>;

    /// Reduces over `dims` (ascending, distinct; possibly none), which are left out of the result.
    fn reduce(&self, op: ReduceOp, x: View<'_>, dims: Dims) -> Result<StorageRef>;

    /// `i64`: positions along `dim`, which is left out of the result and not empty.
    fn arg_reduce(&self, op: ArgReduceOp, x: View<'_>, dim: usize) -> Result<StorageRef>;

    /// Running reduction along `dim`.
    fn cumulative(&self, op: CumulativeOp, x: View<'_>, dim: usize) -> Result<StorageRef>;

    /// `[…, m, k] x […, k, n] -> […, m, n]`, equal leading dimensions (broadcast by strides). Sums are kept in
    /// [`DType::accumulator`] and rounded once. Integers wrap. `k = 0` gives zeros.
    fn matmul(&self, a: View<'_>, b: View<'_>) -> Result<StorageRef>;

    /// The slices of `x` along `dim` named by `indices`: rank 1, `i64`, `i32` or `u32`, in range.
    fn index_select(&self, x: View<'_>, dim: usize, indices: View<'_>) -> Result<StorageRef>;

    /// Writes slice `i` of `src` along `dim` to slice `indices[i]` of `dst`, a contiguous storage of shape `shape`
    /// that is given up and comes back.
    fn index_update(
        &self,
        op: ScatterOp,
        dst: StorageRef,
        shape: Shape,
        dim: usize,
        indices: View<'_>,
        src: View<'_>,
    ) -> Result<StorageRef>;

    /// `out[i][j][k] = x[i][indices[i][j][k]][k]` for `dim = 1`; the result has the shape of `indices`, which is at
    /// most that of `x` in the other dimensions.
    fn gather(&self, x: View<'_>, dim: usize, indices: View<'_>) -> Result<StorageRef>;

    /// `dst[i][indices[i][j][k]][k] op= src[i][j][k]` for `dim = 1`; `src` has the shape of `indices`; `dst` as in
    /// [`Primitives::index_update`].
    fn scatter(
        &self,
        op: ScatterOp,
        dst: StorageRef,
        shape: Shape,
        dim: usize,
        indices: View<'_>,
        src: View<'_>,
    ) -> Result<StorageRef>;

    /// Sorted values along `dim`, and their former positions (`i64`). Equal elements keep their order; NaN counts as
    /// larger than everything.
    fn sort(&self, x: View<'_>, dim: usize, descending: bool) -> Result<(StorageRef, StorageRef)>;

    /// How this device carries out `op` on operands of these types.
    fn supports(&self, op: OpKind, dtypes: &[DType]) -> Support;
}
