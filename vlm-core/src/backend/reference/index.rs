//! Picking elements by position, and putting them back.

use super::storage::{Data, Held, read, read_i64, room, with_type};
use crate::backend::{ScatterOp, View};
use crate::shape::Dims;
use crate::{DType, Element, Result};

pub(super) fn index_select(x: View<'_>, dim: usize, indices: View<'_>) -> Result<Data> {
    let picks = read_i64(&indices)?;
    let shape = x.shape();
    let (outer, n, inner) = around(shape, dim);
    with_type!(x.dtype(), T => {
        let values = read::<T>(&x)?;
        let mut out = room::<T>(outer * picks.len() * inner)?;
        for o in 0..outer {
            for &p in &picks {
                out.extend_from_slice(&values[(o * n + p as usize) * inner..][..inner]);
            }
        }
        Ok(T::wrap(out))
    })
}

fn around(shape: &Dims, dim: usize) -> (usize, usize, usize) {
    (shape[..dim].iter().product(), shape[dim], shape[dim + 1..].iter().product())
}

/// How one element is put to its place. Sums of floats go through `f64` and are rounded at each addition.
fn put<T: Element>(op: ScatterOp, place: &mut T, value: T) {
    *place = match op {
        ScatterOp::Set => value,
        ScatterOp::Add if T::DTYPE.is_float() => T::from_f64(place.to_f64() + value.to_f64()),
        ScatterOp::Add => T::from_i64(place.to_i64().wrapping_add(value.to_i64())),
    };
}

pub(super) fn index_update(
    op: ScatterOp,
    dst: &mut Data,
    shape: &Dims,
    dim: usize,
    indices: View<'_>,
    src: View<'_>,
) -> Result<()> {
    let picks = read_i64(&indices)?;
    let (outer, n, inner) = around(shape, dim);
    with_type!(dst.dtype(), T => {
        let values = read::<T>(&src)?;
        let out = T::of_mut(dst).unwrap_or_else(|| unreachable!("the type was asked for"));
        for o in 0..outer {
            for (i, &p) in picks.iter().enumerate() {
                let from = &values[(o * picks.len() + i) * inner..][..inner];
                let to = &mut out[(o * n + p as usize) * inner..][..inner];
                to.iter_mut().zip(from).for_each(|(t, &f)| put(op, t, f));
            }
        }
        Ok(())
    })
}

/// For each element of `indices`, in row-major order, the position in a contiguous tensor of `shape` that it names.
fn places(shape: &Dims, dim: usize, indices: &View<'_>) -> Result<Vec<usize>> {
    let picks = read_i64(indices)?;
    let (strides, over) = (shape.contiguous_strides(), indices.shape());
    let mut at = Dims::repeat(0, over.rank());
    let mut out = room(picks.len())?;
    for pick in picks {
        let base: usize = (0..at.rank()).filter(|&d| d != dim).map(|d| at[d] * strides[d]).sum();
        out.push(base + pick as usize * strides[dim]);
        for d in (0..at.rank()).rev() {
            at[d] += 1;
            if at[d] < over[d] {
                break;
            }
            at[d] = 0;
        }
    }
    Ok(out)
}

pub(super) fn gather(x: View<'_>, dim: usize, indices: View<'_>) -> Result<Data> {
    let places = places(x.shape(), dim, &indices)?;
    with_type!(x.dtype(), T => {
        let values = read::<T>(&x)?;
        Ok(T::wrap(places.iter().map(|&p| values[p]).collect::<Vec<T>>()))
    })
}

pub(super) fn scatter(
    op: ScatterOp,
    dst: &mut Data,
    shape: &Dims,
    dim: usize,
    indices: View<'_>,
    src: View<'_>,
) -> Result<()> {
    let places = places(shape, dim, &indices)?;
    with_type!(dst.dtype(), T => {
        let values = read::<T>(&src)?;
        let out = T::of_mut(dst).unwrap_or_else(|| unreachable!("the type was asked for"));
        places.iter().zip(values.iter()).for_each(|(&p, &v)| put(op, &mut out[p], v));
        Ok(())
    })
}
