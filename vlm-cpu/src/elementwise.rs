//! Functions of single elements and pairs.

mod pairs;
mod unary;

pub(crate) use pairs::{binary, compare, select};
pub(crate) use unary::{dropout, glu, glu_backward, unary, unary_backward};

use crate::storage::{CpuStorage, with_held};
use crate::strided::dense;
use vlm_core::backend::View;
use vlm_core::{DType, Element, Result, Scalar};

/// Elements handled at a time where a type is widened to `f32` first: three such blocks stay in the first-level cache.
pub(crate) const PIECE: usize = 1024;

pub(crate) fn fill(dtype: DType, len: usize, value: Scalar) -> Result<CpuStorage> {
    let mut out = CpuStorage::new(dtype, len)?;
    if dtype == DType::Bool {
        out.bytes_mut()?.fill(u8::from(value.to::<bool>()));
        return Ok(out);
    }
    with_held!(dtype, T => {
        let value = value.to::<T>();
        crate::threads::parallel_chunks_mut(out.slice_mut::<T>()?, crate::strided::BLOCK, |_, part| part.fill(value));
    });
    Ok(out)
}

pub(crate) fn arange(dtype: DType, start: f64, step: f64, len: usize) -> Result<CpuStorage> {
    let mut out = CpuStorage::new(dtype, len)?;
    let value = |i: usize| start + i as f64 * step;
    if dtype == DType::Bool {
        out.bytes_mut()?.iter_mut().enumerate().for_each(|(i, o)| *o = u8::from(value(i) != 0.0));
        return Ok(out);
    }
    with_held!(dtype, T => {
        out.slice_mut::<T>()?.iter_mut().enumerate().for_each(|(i, o)| *o = <T as Element>::from_f64(value(i)));
    });
    Ok(out)
}

pub(crate) fn cast(x: View<'_>, dtype: DType) -> Result<CpuStorage> {
    use crate::storage::{Small, with_small};
    let from = x.dtype();
    let mut out = CpuStorage::new(dtype, x.count())?;
    // Between floats of at most 32 bits, in blocks.
    with_small!(from, F => with_small!(dtype, T => {
        let values = dense::<F>(&x)?;
        crate::threads::parallel_chunks_mut(out.slice_mut::<T>()?, crate::strided::BLOCK, |at, part| {
            let mut wide = [0.0f32; PIECE];
            for (i, piece) in part.chunks_mut(PIECE).enumerate() {
                let source = &values[at + i * PIECE..][..piece.len()];
                T::narrow(F::as_f32(source, &mut wide), piece);
            }
        });
        return Ok(out);
    }, _ => ()), _ => ());
    if dtype == DType::Bool {
        let to = out.bytes_mut()?;
        with_held!(from, F => {
            let values = dense::<F>(&x)?;
            to.iter_mut().zip(values.iter()).for_each(|(o, v)| *o = u8::from(Element::to_f64(*v) != 0.0));
        });
        return Ok(out);
    }
    let whole = !from.is_float();
    with_held!(from, F => with_held!(dtype, T => {
        let values = dense::<F>(&x)?;
        let convert = |v: &F| if whole { <T as Element>::from_i64(v.to_i64()) } else { <T as Element>::from_f64(v.to_f64()) };
        out.slice_mut::<T>()?.iter_mut().zip(values.iter()).for_each(|(o, v)| *o = convert(v));
    }));
    Ok(out)
}
