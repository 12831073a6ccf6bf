//! Places named by indices.

use crate::numbers::{Numbers, modify, read};
use vlm_core::backend::{ScatterOp, StorageRef, View};
use vlm_core::{DType, Dims, Element, Result};

/// For slices along `dim`: the place in a contiguous tensor of `shape` of each element of the slices `picks`.
pub(crate) fn slices(shape: &Dims, dim: usize, picks: &[i64]) -> Vec<usize> {
    let (outer, n): (usize, usize) = (shape[..dim].iter().product(), shape[dim]);
    let inner: usize = shape[dim + 1..].iter().product();
    let places = |o: usize| picks.iter().flat_map(move |&p| (0..inner).map(move |i| (o * n + p as usize) * inner + i));
    (0..outer).flat_map(places).collect()
}

/// For single elements: the place in a contiguous tensor of `shape` that each of the `picks`, laid out as `over`, names.
pub(crate) fn elements(shape: &Dims, dim: usize, over: &Dims, picks: &[i64]) -> Vec<usize> {
    let (strides, steps) = (shape.contiguous_strides(), over.contiguous_strides());
    let place = |(at, &pick): (usize, &i64)| {
        let coordinate = |d: usize| if d == dim { pick as usize } else { at / steps[d].max(1) % over[d] };
        (0..over.rank()).map(|d| coordinate(d) * strides[d]).sum()
    };
    picks.iter().enumerate().map(place).collect()
}

/// Writes the elements of `src` to `places` of `dst`, one after the other.
pub(crate) fn put(op: ScatterOp, dst: StorageRef, places: &[usize], src: &View<'_>) -> Result<StorageRef> {
    let dtype = src.dtype();
    let values = read(src)?;
    let add = op == ScatterOp::Add;
    modify(dst, |numbers| {
        match (numbers, values) {
            (Numbers::Float(to), Numbers::Float(from)) => {
                places.iter().zip(from).for_each(|(&p, v)| to[p] = round(if add { to[p] + v } else { v }, dtype));
            }
            (Numbers::Whole(to), Numbers::Whole(from)) => {
                places
                    .iter()
                    .zip(from)
                    .for_each(|(&p, v)| to[p] = wrap(if add { to[p].wrapping_add(v) } else { v }, dtype));
            }
            _ => unreachable!("core hands over equal element types"),
        }
        Ok(())
    })
}

fn round(value: f64, dtype: DType) -> f64 {
    crate::numbers::with_element!(dtype, T => <T as Element>::from_f64(value).to_f64())
}

fn wrap(value: i64, dtype: DType) -> i64 {
    crate::numbers::with_element!(dtype, T => T::from_i64(value).to_i64())
}
