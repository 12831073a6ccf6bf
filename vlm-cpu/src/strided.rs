//! Views of any layout: collapsed to few dimensions, walked in rows, copied.

use crate::storage::{CpuStorage, Held, all, own, with_held};
use crate::threads::{SendPtr, parallel_for};
use std::borrow::Cow;
use vlm_core::backend::{StorageRef, View};
use vlm_core::{Layout, Result, Shape};

/// Elements that one task handles where work per element is small.
pub(crate) const BLOCK: usize = 32 << 10;

/// Several layouts of one shape with neighbouring dimensions joined wherever all of them allow it. `N` strides per
/// dimension, outermost dimension first; dimensions of size 1 are gone.
pub(crate) struct Walk<const N: usize> {
    pub(crate) dims: Vec<(usize, [usize; N])>,
    pub(crate) offsets: [usize; N],
}

impl<const N: usize> Walk<N> {
    pub(crate) fn new(layouts: [&Layout; N]) -> Self {
        let shape = layouts[0].shape();
        let mut dims: Vec<(usize, [usize; N])> = Vec::with_capacity(shape.rank());
        for d in 0..shape.rank() {
            let (size, strides) = (shape[d], layouts.map(|l| l.strides()[d]));
            if size == 1 {
                continue;
            }
            match dims.last_mut() {
                Some((outer, steps)) if (0..N).all(|i| steps[i] == strides[i] * size) => {
                    *outer *= size;
                    *steps = strides;
                }
                _ => dims.push((size, strides)),
            }
        }
        Walk { dims, offsets: layouts.map(Layout::offset) }
    }

    /// Size and strides of the innermost dimension; one element where there is none.
    pub(crate) fn inner(&self) -> (usize, [usize; N]) {
        self.dims.last().copied().unwrap_or((1, [1; N]))
    }

    /// Number of rows along the innermost dimension.
    pub(crate) fn rows(&self) -> usize {
        self.dims[..self.dims.len().saturating_sub(1)].iter().map(|d| d.0).product()
    }

    /// Where row `row` starts.
    pub(crate) fn start(&self, row: usize) -> [usize; N] {
        let (mut at, mut rest) = (self.offsets, row);
        for (size, strides) in self.dims[..self.dims.len().saturating_sub(1)].iter().rev() {
            let i = rest % size;
            rest /= size;
            for (a, s) in at.iter_mut().zip(strides) {
                *a += i * s;
            }
        }
        at
    }
}

/// Runs `f(row, place of the row in a contiguous result)` for all rows, in tasks of about [`BLOCK`] elements.
pub(crate) fn for_rows<const N: usize>(walk: &Walk<N>, f: impl Fn([usize; N], usize) + Sync) {
    let (n, rows) = (walk.inner().0, walk.rows());
    let each = (BLOCK / n.max(1)).max(1);
    parallel_for(rows.div_ceil(each), |task| {
        for row in task * each..rows.min((task + 1) * each) {
            f(walk.start(row), row * n);
        }
    });
}

fn copy_typed<T: Held>(src: &[T], from: &Layout, dst: &mut [T], to: &Layout) {
    let walk = Walk::new([from, to]);
    if from.count() == 0 {
        return;
    }
    let out = SendPtr(dst.as_mut_ptr());
    let (n, [step, out_step]) = walk.inner();
    // A transposed source reads one element per cache line: tiles of rows use each line while it is there.
    let tile = walk.dims.len() >= 2 && step != 1 && out_step == 1 && walk.dims[walk.dims.len() - 2].1[0] == 1;
    if tile {
        return copy_transposed(src, &walk, out);
    }
    for_rows(&walk, |[from, to], _| {
        if step == 1 && out_step == 1 {
            // SAFETY: a layout stays inside its storage, and rows of the target are distinct.
            unsafe { std::ptr::copy_nonoverlapping(src[from..from + n].as_ptr(), out.get().add(to), n) };
            return;
        }
        for i in 0..n {
            // SAFETY: as above.
            unsafe { *out.get().add(to + i * out_step) = src[from + i * step] };
        }
    });
}

/// Copies where the source is contiguous along the second-innermost dimension and the target along the innermost.
fn copy_transposed<T: Held>(src: &[T], walk: &Walk<2>, out: SendPtr<T>) {
    const TILE: usize = 32;
    let last = walk.dims.len() - 1;
    let ((n, [step, _]), (m, [_, out_step])) = (walk.dims[last], walk.dims[last - 1]);
    let outer = Walk { dims: walk.dims[..last].to_vec(), offsets: walk.offsets };
    let (planes, tiles) = (outer.rows(), m.div_ceil(TILE));
    parallel_for(planes * tiles, |task| {
        let [from, to] = outer.start(task / tiles);
        let first = task % tiles * TILE;
        for j in (0..n).step_by(TILE) {
            for i in first..m.min(first + TILE) {
                for j in j..n.min(j + TILE) {
                    // SAFETY: both layouts stay inside their storages, and every element of the target is written once.
                    unsafe { *out.get().add(to + i * out_step + j) = *src.get_unchecked(from + i + j * step) };
                }
            }
        }
    });
}

/// A contiguous copy.
pub(crate) fn copy(src: View<'_>) -> Result<CpuStorage> {
    let mut out = CpuStorage::new(src.dtype(), src.count())?;
    let to = Layout::contiguous(*src.shape());
    with_held!(src.dtype(), T => copy_typed::<T>(all(&src)?, src.layout, out.slice_mut()?, &to));
    Ok(out)
}

/// Writes `src` to the part of `dst` that `layout` describes.
pub(crate) fn copy_into(dst: StorageRef, layout: &Layout, src: View<'_>) -> Result<StorageRef> {
    let mut dst = crate::storage::writable(dst)?;
    with_held!(src.dtype(), T => {
        let out = crate::storage::elements_mut::<T>(&mut dst)?;
        copy_typed::<T>(all(&src)?, src.layout, out, layout);
    });
    Ok(dst)
}

/// The elements of a view in row-major order: borrowed where they lie so, else copied.
pub(crate) struct Dense<'a, T: Held> {
    held: Cow<'a, [T]>,
}

impl<T: Held> std::ops::Deref for Dense<'_, T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.held
    }
}

/// The elements of a view in row-major order.
pub(crate) fn dense<'a, T: Held>(view: &View<'a>) -> Result<Dense<'a, T>> {
    let source = own(view.storage)?.slice::<T>();
    if let Some(range) = view.layout.contiguous_range() {
        return Ok(Dense { held: Cow::Borrowed(&source[range]) });
    }
    Ok(Dense { held: Cow::Owned(copy(*view)?.slice::<T>().to_vec()) })
}

/// A view that is contiguous, or a contiguous copy of it to look at.
pub(crate) struct Settled {
    pub(crate) storage: StorageRef,
    pub(crate) layout: Layout,
}

/// A contiguous stand-in for a view.
pub(crate) fn settle(view: View<'_>) -> Result<Settled> {
    if view.layout.is_contiguous() {
        return Ok(Settled { storage: view.storage.clone(), layout: *view.layout });
    }
    let shape: Shape = *view.shape();
    Ok(Settled { storage: copy(view)?.share(), layout: Layout::contiguous(shape) })
}

impl Settled {
    pub(crate) fn view(&self) -> View<'_> {
        View::new(&self.storage, &self.layout)
    }
}
