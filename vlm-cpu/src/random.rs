//! Random numbers, many blocks side by side.

use crate::storage::{CpuStorage, with_held};
use crate::threads::parallel_chunks_mut;
use vlm_core::backend::{Distribution, RandomKey};
use vlm_core::{DType, Element, Result};

pub(crate) fn random(dtype: DType, len: usize, from: Distribution, key: RandomKey) -> Result<CpuStorage> {
    const PIECE: usize = 1024;
    let mut out = CpuStorage::new(dtype, len)?;
    with_held!(dtype, T => {
        parallel_chunks_mut(out.slice_mut::<T>()?, 4 * PIECE, |at, part| {
            let mut exact = [0.0f64; PIECE];
            for (i, piece) in part.chunks_mut(PIECE).enumerate() {
                let exact = &mut exact[..piece.len()];
                vlm_core::random::fill(from, key, at + i * PIECE, exact);
                piece.iter_mut().zip(exact).for_each(|(p, e)| *p = <T as Element>::from_f64(*e));
            }
        });
    });
    Ok(out)
}
