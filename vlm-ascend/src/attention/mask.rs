//! Which keys a query does not see, as the device takes it.

use super::Sizes;
use crate::aclnn::Stream;
use crate::memory::upload;
use crate::storage::AscendStorage;
use std::sync::{Arc, Mutex, PoisonError};
use vlm_core::backend::AttentionArgs;
use vlm_core::{DType, Result};

/// What a mask depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Shape {
    /// The fixed mask that operations take for causal attention of any length.
    Compressed,
    /// Rows of this many keys each.
    Full { s_q: usize, s_kv: usize, causal: bool, window: Option<usize>, segments: Option<Arc<[usize]>> },
}

/// Masks that were made, the latest last: all layers of a model use the same.
#[derive(Debug, Default)]
pub(crate) struct Masks(Mutex<Vec<(Shape, Arc<AscendStorage>)>>);

const KEPT: usize = 8;
/// Rows and columns of the compressed mask, which the vendor's documentation fixes.
pub(super) const COMPRESSED: usize = 2048;

impl Masks {
    /// Gives all of them up.
    pub(crate) fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn get(&self, shape: Shape, make: impl FnOnce() -> Result<AscendStorage>) -> Result<Arc<AscendStorage>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(i) = all.iter().position(|(s, _)| *s == shape) {
            let found = all.remove(i);
            let made = found.1.clone();
            all.push(found);
            return Ok(made);
        }
        let made = Arc::new(make()?);
        if all.len() >= KEPT {
            all.remove(0);
        }
        all.push((shape, made.clone()));
        Ok(made)
    }

    /// 1 above the diagonal.
    pub(super) fn compressed(&self, s: &Stream) -> Result<Arc<AscendStorage>> {
        self.get(Shape::Compressed, || {
            let mut hidden = vec![0u8; COMPRESSED * COMPRESSED];
            for (row, line) in hidden.chunks_exact_mut(COMPRESSED).enumerate() {
                line[row + 1..].fill(1);
            }
            upload(s, DType::Bool, &hidden)
        })
    }

    /// 1 where a query does not see a key, `[s_q, s_kv]`.
    pub(super) fn full(&self, s: &Stream, args: &AttentionArgs<'_>, sizes: &Sizes) -> Result<Arc<AscendStorage>> {
        let shape = Shape::Full {
            s_q: sizes.s_q,
            s_kv: sizes.s_kv,
            causal: args.causal,
            window: args.window,
            segments: args.segments.clone(),
        };
        self.get(shape, || {
            let mut hidden = vec![1u8; sizes.s_q * sizes.s_kv];
            for (row, line) in hidden.chunks_exact_mut(sizes.s_kv).enumerate() {
                line[args.visible(row)].fill(0);
            }
            upload(s, DType::Bool, &hidden)
        })
    }
}

/// Whether every query sees every key: no mask is needed.
pub(super) fn is_open(args: &AttentionArgs<'_>, sizes: &Sizes) -> bool {
    let one_row = sizes.s_q == 1 && args.window.is_none_or(|w| w >= sizes.s_kv);
    let segmented = args.segments.as_ref().is_some_and(|b| b.windows(2).filter(|w| w[1] > w[0]).count() > 1);
    !segmented && (!args.causal || one_row)
}
