//! Work of several devices together: sums over all of them, copies from one to all.
//!
//! A [`Collective`] is one device's membership in a group whose members, the ranks, are numbered from 0. Each rank is a
//! thread or a process with a device of its own. All call the same methods in the same order, with equal element types,
//! lengths and operators; a call is done when all ranks have made it. What is ahead of a call on its device is done
//! first, what comes after sees its result, so nobody has to wait in between. A rank that goes away, or that asks for
//! something else, is an error for the others and never a wait without end.
//!
//! ```
//! use vlm_core::Device;
//! use vlm_core::DType;
//! use vlm_core::backend::collective::{Alone, Collective, CollectiveOp};
//!
//! let device = Device::reference();
//! let group = Alone::new(device.clone());
//! let gradient = device.kernels().upload(DType::F32, &1.5f32.to_ne_bytes())?;
//! let mean = group.all_reduce(CollectiveOp::Mean, gradient)?;
//! assert_eq!((group.size(), mean.len()), (1, 1));
//! # Ok::<(), vlm_core::Error>(())
//! ```

use super::{Device, StorageRef, View};
use crate::{DType, Error, ErrorKind, Result};
use std::fmt::Debug;

/// How the elements of all ranks become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CollectiveOp {
    /// The sum; integers wrap.
    Sum,
    /// The product; integers wrap.
    Prod,
    /// The largest; for `bool` whether any is true.
    Max,
    /// The smallest; for `bool` whether all are true.
    Min,
    /// The sum divided by the number of ranks; floats only.
    Mean,
}

impl CollectiveOp {
    /// That elements of this type can be joined so.
    ///
    /// # Errors
    /// [`ErrorKind::DType`] for the mean of anything but floats, and for sums and products of `bool`.
    pub fn check(self, dtype: DType) -> Result<()> {
        let fits = match self {
            CollectiveOp::Max | CollectiveOp::Min => true,
            CollectiveOp::Sum | CollectiveOp::Prod => dtype != DType::Bool,
            CollectiveOp::Mean => dtype.is_float(),
        };
        if fits {
            return Ok(());
        }
        let hint = if self == CollectiveOp::Mean { "cast to f32 first" } else { "use max for any and min for all" };
        Err(Error::new(ErrorKind::DType, "collective", format!("there is no {self:?} of {dtype}")).hint(hint))
    }
}

/// One device's membership in a group, see [the module documentation](self).
///
/// No layer checks arguments before these methods, as core does for those of the device: they check themselves, by
/// [`CollectiveOp::check`], [`check_root`] and [`check_parts`]. That the other ranks pass the same is checked as far as
/// the library below can.
///
/// # Errors
/// Besides those named: [`ErrorKind::Device`] for a storage of another device, [`ErrorKind::Unsupported`] for an
/// element type that the device's collectives do not take, [`ErrorKind::DeviceLost`] and [`ErrorKind::Backend`] when
/// the group broke. On a device that works asynchronously the latter surface when something waits, see
/// [`DeviceProperties`](super::DeviceProperties).
pub trait Collective: Send + Sync + Debug {
    /// This rank's number, below [`Collective::size`].
    fn rank(&self) -> usize;

    /// How many ranks there are.
    fn size(&self) -> usize;

    /// Every element of `x` joined with those in its place on the other ranks. `x` is given up and comes back: it is
    /// written in place where that was its only handle, see [`StorageRef`].
    ///
    /// # Errors
    /// [`ErrorKind::DType`], see [`CollectiveOp::check`].
    fn all_reduce(&self, op: CollectiveOp, x: StorageRef) -> Result<StorageRef>;

    /// The elements of rank `root`'s `x`, which has the same length everywhere; given up as in
    /// [`Collective::all_reduce`].
    ///
    /// # Errors
    /// [`ErrorKind::Index`] if there is no rank `root`.
    fn broadcast(&self, x: StorageRef, root: usize) -> Result<StorageRef>;

    /// The elements of all ranks' `x [n]` one after the other, by rank: `[size * n]`.
    ///
    /// # Errors
    /// As for all, see the trait.
    fn all_gather(&self, x: View<'_>) -> Result<StorageRef>;

    /// This rank's part, the `rank`-th of `size` equal ones, of the ranks' `x [n]` joined: `[n / size]`.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] if `n` is no multiple of the ranks, [`ErrorKind::DType`] as in [`Collective::all_reduce`].
    fn reduce_scatter(&self, op: CollectiveOp, x: View<'_>) -> Result<StorageRef>;

    /// Waits until all ranks are here and what this rank asked of its device before is done.
    ///
    /// # Errors
    /// Whatever went wrong in work not waited for until now.
    fn barrier(&self) -> Result<()>;
}

/// That there is a rank `root`.
///
/// # Errors
/// [`ErrorKind::Index`] if there is not.
pub fn check_root(root: usize, size: usize) -> Result<()> {
    if root < size {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Index, "broadcast", format!("rank {root} is none of the {size} that there are")))
}

/// The length of one of `size` equal parts.
///
/// # Errors
/// [`ErrorKind::Shape`] if they would not be equal.
pub fn check_parts(len: usize, size: usize) -> Result<usize> {
    if len.is_multiple_of(size) {
        return Ok(len / size);
    }
    let message = format!("{len} elements are not {size} equal parts, one for each rank");
    Err(Error::new(ErrorKind::Shape, "reduce_scatter", message).hint("pad to a multiple of the number of ranks"))
}

/// A group of one rank, on any device: what joins is the rank's own.
#[derive(Clone, Debug)]
pub struct Alone(Device);

impl Alone {
    /// The group of this device alone.
    pub fn new(device: Device) -> Self {
        Alone(device)
    }
}

impl Collective for Alone {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn all_reduce(&self, op: CollectiveOp, x: StorageRef) -> Result<StorageRef> {
        op.check(x.dtype())?;
        Ok(x)
    }

    fn broadcast(&self, x: StorageRef, root: usize) -> Result<StorageRef> {
        check_root(root, 1)?;
        Ok(x)
    }

    fn all_gather(&self, x: View<'_>) -> Result<StorageRef> {
        self.0.kernels().copy(x)
    }

    fn reduce_scatter(&self, op: CollectiveOp, x: View<'_>) -> Result<StorageRef> {
        op.check(x.dtype())?;
        self.0.kernels().copy(x)
    }

    fn barrier(&self) -> Result<()> {
        self.0.synchronize()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Dims, Layout};

    #[test]
    fn alone_everything_stays() {
        let device = Device::reference();
        let group: Box<dyn Collective> = Box::new(Alone::new(device.clone()));
        let bytes: Vec<u8> = [1i64, 2, 3, 4].iter().flat_map(|x| x.to_ne_bytes()).collect();
        let read = |s: &StorageRef| {
            let mut out = vec![0; s.len() * 8];
            device.kernels().download(s, 0, &mut out).unwrap();
            out.chunks_exact(8).map(|b| i64::from_ne_bytes(b.try_into().unwrap())).collect::<Vec<_>>()
        };
        let x = device.kernels().upload(DType::I64, &bytes).unwrap();
        assert_eq!((group.rank(), group.size()), (0, 1));
        let x = group.broadcast(group.all_reduce(CollectiveOp::Sum, x).unwrap(), 0).unwrap();
        assert_eq!(read(&x), [1, 2, 3, 4]);
        // A view with its columns as rows.
        let layout = Layout::contiguous(Dims::from_slice(&[2, 2])).transpose(0, 1);
        let view = View::new(&x, &layout);
        assert_eq!(read(&group.all_gather(view).unwrap()), [1, 3, 2, 4]);
        assert_eq!(read(&group.reduce_scatter(CollectiveOp::Max, view).unwrap()), [1, 3, 2, 4]);
        group.barrier().unwrap();
        assert_eq!(group.broadcast(x.clone(), 1).unwrap_err().kind(), ErrorKind::Index);
        assert_eq!(group.all_reduce(CollectiveOp::Mean, x).unwrap_err().kind(), ErrorKind::DType);
    }

    #[test]
    fn arguments_are_checked() {
        assert!(CollectiveOp::Sum.check(DType::Bool).is_err() && CollectiveOp::Max.check(DType::Bool).is_ok());
        assert!(CollectiveOp::Mean.check(DType::BF16).is_ok() && CollectiveOp::Mean.check(DType::U8).is_err());
        assert_eq!(check_parts(12, 4).unwrap(), 3);
        assert_eq!(check_parts(10, 4).unwrap_err().kind(), ErrorKind::Shape);
        assert!(check_root(3, 4).is_ok() && check_root(4, 4).is_err());
    }
}
