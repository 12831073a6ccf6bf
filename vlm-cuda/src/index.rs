//! Picking by index, writing by index, sorting.

use crate::error::Of;
use crate::storage::{Operand, kind, number, operand, own_mut, sizes, writable};
use tch::{Kind, Tensor};
use vlm_core::backend::{OpKind, ScatterOp, StorageRef, View, unsupported};
use vlm_core::{DType, Result, Shape};

/// Indices as libtorch takes them: `i64`.
fn positions<'a>(indices: &View<'a>) -> Result<Operand<'a>> {
    let n = number(indices)?;
    if n.kind() == Kind::Int64 { Ok(n) } else { n.f_to_kind(Kind::Int64).of("indices").map(Operand::Part) }
}

pub(crate) fn index_select(x: View<'_>, dim: usize, indices: View<'_>) -> Result<Tensor> {
    operand(&x)?.f_index_select(dim as i64, &*positions(&indices)?).of("index_select")
}

pub(crate) fn gather(x: View<'_>, dim: usize, indices: View<'_>) -> Result<Tensor> {
    operand(&x)?.f_gather(dim as i64, &*positions(&indices)?, false).of("gather")
}

pub(crate) fn embedding(weight: View<'_>, ids: View<'_>) -> Result<Tensor> {
    Tensor::f_embedding(&*operand(&weight)?, &*positions(&ids)?, -1, false, false).of("embedding")
}

/// `dst`'s own memory, in the shape that the operation sees.
fn shaped(dst: &mut StorageRef, shape: &Shape) -> Result<Tensor> {
    let (shape, rank) = sizes(shape);
    own_mut(dst)?.f_view(&shape[..rank]).of("view")
}

/// For each place along `dim` that `index` names more than once, the sources that name it are made the last one of them:
/// which write is the last is open in libtorch, and on a GPU differs from run to run.
fn last_wins(index: &Tensor, src: &Tensor, dim: i64, room: &[i64]) -> Result<Tensor, tch::TchError> {
    let n = index.size()[dim as usize];
    let order = Tensor::f_arange(n, (Kind::Int64, index.device()))?;
    let mut along = vec![1; index.dim()];
    along[dim as usize] = n;
    let order = order.f_view(&along[..])?.f_expand_as(index)?;
    let mut last = Tensor::f_full(room, -1, (Kind::Int64, index.device()))?;
    let last = last.f_scatter_reduce_(dim, index, &order, "amax")?;
    src.f_gather(dim, &last.f_gather(dim, index, false)?, false)
}

pub(crate) fn index_update(
    op: ScatterOp,
    dst: StorageRef,
    shape: Shape,
    dim: usize,
    indices: View<'_>,
    src: View<'_>,
) -> Result<StorageRef> {
    const OP: &str = "index_update";
    let mut dst = writable(dst)?;
    let (index, values, d) = (positions(&indices)?, operand(&src)?, dim as i64);
    let mut out = shaped(&mut dst, &shape)?;
    let _ = match op {
        ScatterOp::Add => out.f_index_add_(d, &index, &values),
        ScatterOp::Set if index.numel() <= 1 => out.f_index_copy_(d, &index, &values),
        ScatterOp::Set => {
            last_rows(&index, &values, d, shape[dim] as i64).and_then(|values| out.f_index_copy_(d, &index, &values))
        }
        _ => return Err(unsupported("libtorch", OpKind::IndexUpdate, op, src.dtype())),
    }
    .of(OP)?;
    Ok(dst)
}

/// As [`last_wins`] for whole slices.
fn last_rows(index: &Tensor, src: &Tensor, dim: i64, room: i64) -> Result<Tensor, tch::TchError> {
    let order = Tensor::f_arange(index.numel() as i64, (Kind::Int64, index.device()))?;
    let last =
        Tensor::f_full([room], -1, (Kind::Int64, index.device()))?.f_scatter_reduce_(0, index, &order, "amax")?;
    src.f_index_select(dim, &last.f_index_select(0, index)?)
}

pub(crate) fn scatter(
    op: ScatterOp,
    dst: StorageRef,
    shape: Shape,
    dim: usize,
    indices: View<'_>,
    src: View<'_>,
) -> Result<StorageRef> {
    const OP: &str = "scatter";
    let mut dst = writable(dst)?;
    let (index, values, d) = (positions(&indices)?, operand(&src)?, dim as i64);
    let mut out = shaped(&mut dst, &shape)?;
    let _ = match op {
        ScatterOp::Add => out.f_scatter_add_(d, &index, &values),
        ScatterOp::Set => {
            let (room, rank) = sizes(&shape);
            last_wins(&index, &values, d, &room[..rank]).and_then(|values| out.f_scatter_(d, &index, &values))
        }
        _ => return Err(unsupported("libtorch", OpKind::Scatter, op, src.dtype())),
    }
    .of(OP)?;
    Ok(dst)
}

/// Values and positions in order along `dim`.
pub(crate) fn sort(x: View<'_>, dim: usize, descending: bool) -> Result<(Tensor, Tensor)> {
    let (values, order) = number(&x)?.f_sort_stable(true, dim as i64, descending).of("sort")?;
    let values = if x.dtype() == DType::U32 { values.f_to_kind(kind(DType::U32)).of("sort")? } else { values };
    Ok((values, order))
}

/// The first `k` of them. libtorch's own `topk` leaves the order of equal elements open.
pub(crate) fn topk(x: View<'_>, k: usize, dim: usize, largest: bool) -> Result<(Tensor, Tensor)> {
    let (values, order) = sort(x, dim, largest)?;
    let first = |t: Tensor| t.f_narrow_copy(dim as i64, 0, k as i64).of("topk");
    Ok((first(values)?, first(order)?))
}

/// One after the other along `dim`.
pub(crate) fn concat(views: &[View<'_>], dim: usize) -> Result<Tensor> {
    let parts = views.iter().map(operand).collect::<Result<Vec<_>>>()?;
    if let [only] = &parts[..] {
        return only.f_add_scalar(0).of("concat");
    }
    Tensor::f_cat(&parts, dim as i64).of("concat")
}
