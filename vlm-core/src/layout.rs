//! How a tensor's elements lie in its storage: shape, strides and offset.
//!
//! Invariant: a layout never reaches outside its storage; every constructor here keeps that, so backends index
//! without checks of their own.

use crate::shape::{Dims, Shape};

/// Shape, strides and offset of a view, all in elements. A stride of 0 repeats one element along its dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    shape: Shape,
    strides: Dims,
    offset: usize,
}

impl Layout {
    /// A contiguous layout at offset 0.
    #[inline]
    pub fn contiguous(shape: Shape) -> Self {
        Layout { shape, strides: shape.contiguous_strides(), offset: 0 }
    }

    /// Any layout; the caller vouches that it stays inside its storage.
    pub fn strided(shape: Shape, strides: Dims, offset: usize) -> Self {
        debug_assert_eq!(shape.rank(), strides.rank());
        Layout { shape, strides, offset }
    }

    /// The sizes.
    #[inline]
    pub fn shape(&self) -> &Shape {
        &self.shape
    }
    /// The steps between neighbours, in elements.
    #[inline]
    pub fn strides(&self) -> &Dims {
        &self.strides
    }
    /// The position of the first element.
    #[inline]
    pub fn offset(&self) -> usize {
        self.offset
    }
    /// Number of dimensions.
    #[inline]
    pub fn rank(&self) -> usize {
        self.shape.rank()
    }
    /// Number of elements.
    #[inline]
    pub fn count(&self) -> usize {
        self.shape.count()
    }

    /// Whether elements lie one after the other in row-major order. Strides of dimensions of size 1 do not matter,
    /// and an empty view is contiguous.
    #[inline]
    pub fn is_contiguous(&self) -> bool {
        let mut step = 1;
        for d in (0..self.rank()).rev() {
            if self.shape[d] == 0 {
                return true;
            }
            if self.shape[d] != 1 && self.strides[d] != step {
                return false;
            }
            step *= self.shape[d];
        }
        true
    }

    /// The range of the storage that a contiguous view covers, `None` for other views.
    #[inline]
    pub fn contiguous_range(&self) -> Option<std::ops::Range<usize>> {
        self.is_contiguous().then(|| self.offset..self.offset + self.count())
    }

    /// Number of elements the storage must have at least.
    pub fn required_len(&self) -> usize {
        if self.count() == 0 {
            return 0;
        }
        let last: usize = self.shape.iter().zip(self.strides.iter()).map(|(&n, &s)| (n - 1) * s).sum();
        self.offset + last + 1
    }

    /// With dimensions `a` and `b` exchanged.
    pub fn transpose(&self, a: usize, b: usize) -> Self {
        let mut out = *self;
        out.shape.swap(a, b);
        out.strides.swap(a, b);
        out
    }

    /// With dimension `i` taken from dimension `order[i]`.
    pub fn permute(&self, order: &[usize]) -> Self {
        let mut out = *self;
        for (to, &from) in order.iter().enumerate() {
            out.shape[to] = self.shape[from];
            out.strides[to] = self.strides[from];
        }
        out
    }

    /// Elements `start .. start + len` along `dim`.
    pub fn narrow(&self, dim: usize, start: usize, len: usize) -> Self {
        debug_assert!(start + len <= self.shape[dim]);
        let mut out = *self;
        out.shape[dim] = len;
        if out.count() > 0 {
            out.offset += start * self.strides[dim];
        }
        out
    }

    /// Every `step`-th element along `dim`.
    pub fn step(&self, dim: usize, step: usize) -> Self {
        let mut out = *self;
        out.shape[dim] = self.shape[dim].div_ceil(step);
        out.strides[dim] *= step;
        out
    }

    /// Without dimension `dim`, which has size 1.
    pub fn squeeze(&self, dim: usize) -> Self {
        Layout { shape: self.shape.without(dim), strides: self.strides.without(dim), offset: self.offset }
    }

    /// With a dimension of size 1 at `dim`.
    pub fn unsqueeze(&self, dim: usize) -> Self {
        let stride = if dim < self.rank() { self.shape[dim] * self.strides[dim] } else { 1 };
        Layout {
            shape: self.shape.with_inserted(dim, 1),
            strides: self.strides.with_inserted(dim, stride),
            offset: self.offset,
        }
    }

    /// Repeated without copying to `shape`, to which this one broadcasts.
    pub fn broadcast_to(&self, shape: &Shape) -> Self {
        if self.shape == *shape {
            return *self;
        }
        let lead = shape.rank() - self.rank();
        let mut strides = Dims::repeat(0, shape.rank());
        for d in 0..self.rank() {
            if self.shape[d] == shape[lead + d] {
                strides[lead + d] = self.strides[d];
            }
        }
        Layout { shape: *shape, strides, offset: self.offset }
    }

    /// The same elements in the same order under another shape, when strides can express it without copying.
    pub fn reshape(&self, shape: &Shape) -> Option<Self> {
        debug_assert_eq!(self.count(), shape.count());
        if self.is_contiguous() {
            return Some(Layout { shape: *shape, strides: shape.contiguous_strides(), offset: self.offset });
        }
        // Old dimensions that step evenly are merged, then cut again at the new sizes.
        let mut strides = Dims::repeat(1, shape.rank());
        let old: Vec<(usize, usize)> =
            self.shape.iter().copied().zip(self.strides.iter().copied()).filter(|d| d.0 != 1).collect();
        let (mut o, mut n) = (0, 0);
        while n < shape.rank() {
            if shape[n] == 1 {
                n += 1;
                continue;
            }
            let (first, mut size_old) = (o, old.get(o)?.0);
            let (start, mut size_new) = (n, shape[n]);
            while size_old != size_new {
                if size_old < size_new {
                    o += 1;
                    size_old *= old.get(o)?.0;
                } else {
                    n += 1;
                    size_new *= shape[n];
                }
            }
            if (first..o).any(|i| old[i].1 != old[i + 1].0 * old[i + 1].1) {
                return None;
            }
            let mut step = old[o].1;
            for d in (start..=n).rev() {
                strides[d] = step;
                step *= shape[d];
            }
            o += 1;
            n += 1;
        }
        Some(Layout { shape: *shape, strides, offset: self.offset })
    }

    /// The storage positions of all elements in row-major order.
    pub fn positions(&self) -> Positions {
        Positions { layout: *self, index: Dims::repeat(0, self.rank()), at: self.offset, left: self.count() }
    }
}

/// Iterator over the storage positions of a view, see [`Layout::positions`].
#[derive(Clone, Debug)]
pub struct Positions {
    layout: Layout,
    index: Dims,
    at: usize,
    left: usize,
}

impl Iterator for Positions {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        let found = self.at;
        for d in (0..self.index.rank()).rev() {
            self.index[d] += 1;
            self.at += self.layout.strides[d];
            if self.index[d] < self.layout.shape[d] {
                break;
            }
            self.at -= self.layout.strides[d] * self.layout.shape[d];
            self.index[d] = 0;
        }
        Some(found)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Positions {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn views() -> impl Strategy<Value = Layout> {
        let base = proptest::collection::vec(1usize..5, 0..5);
        (base, any::<[u8; 4]>()).prop_map(|(shape, choice)| {
            let mut l = Layout::contiguous(Dims::from_slice(&shape));
            if l.rank() >= 2 && choice[0] % 2 == 0 {
                l = l.transpose(0, l.rank() - 1);
            }
            if l.rank() >= 1 && choice[1] % 2 == 0 {
                let d = choice[1] as usize / 2 % l.rank();
                let start = choice[2] as usize % l.shape()[d];
                l = l.narrow(d, start, l.shape()[d] - start);
            }
            if choice[3] % 3 == 0 {
                l = l.unsqueeze(0).broadcast_to(&l.shape().with_inserted(0, 3));
            }
            l
        })
    }

    fn divisions(n: usize) -> Vec<Vec<usize>> {
        let mut all = vec![vec![n], vec![1, n, 1]];
        for a in 1..=n {
            if n.is_multiple_of(a) {
                all.push(vec![a, n / a]);
                all.push(vec![a, 1, n / a]);
            }
        }
        all
    }

    proptest! {
        #[test]
        fn a_reshaped_view_visits_the_same_elements_in_the_same_order(view in views()) {
            let want: Vec<usize> = view.positions().collect();
            for shape in divisions(view.count()) {
                if let Some(new) = view.reshape(&Dims::from_slice(&shape)) {
                    prop_assert_eq!(&new.positions().collect::<Vec<_>>(), &want);
                    prop_assert!(new.required_len() <= view.required_len());
                }
            }
        }

        #[test]
        fn positions_stay_inside_the_required_length(view in views()) {
            let top = view.positions().max().map_or(0, |p| p + 1);
            prop_assert_eq!(top, view.required_len());
            prop_assert_eq!(view.is_contiguous(), {
                let p: Vec<usize> = view.positions().collect();
                p.windows(2).all(|w| w[1] == w[0] + 1)
            });
        }
    }
}
