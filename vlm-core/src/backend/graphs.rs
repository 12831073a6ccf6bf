//! Work that is recorded once and done again and again: CUDA graphs, and what other devices have of the kind.
//!
//! A decoding step of a language model is hundreds of small kernels; asking for each takes longer than doing it. A device with
//! [`Graphs`] records the step and does all of it by one call.
//!
//! # What is recorded
//! Kernels with their operands' addresses and numbers, as they were when the work ran. So within the work
//! - shapes and numbers are the same for every replay; what changes is in storages that [`Graphs::write`] fills;
//! - nothing is fetched from the device or brought to it: `upload`, `adopt`, `download` and `synchronize` are errors, and an
//!   index is only checked where the host knows it (it was uploaded or written);
//! - a storage given up for writing in place is written in place at every replay.
//!
//! Storages made within the work belong to the graph and are overwritten by the next replay; those that the work uses from
//! outside have to live as long as the graph. [`layers::Recorder`](super::layers::Recorder) is this contract as a program, for any
//! device.

use super::StorageRef;
use crate::Result;
use std::fmt::Debug;

/// Recording of work, see [the module documentation](self).
pub trait Graphs: Send + Sync {
    /// Runs `work` twice: once as always, so that what is made on first use is there, and once to record it. Other threads do
    /// not use the device meanwhile.
    ///
    /// # Errors
    /// Those of `work`, and [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) naming what cannot be recorded.
    fn capture(&self, work: &mut dyn FnMut() -> Result<()>) -> Result<Box<dyn Graph>>;

    /// Fills a storage with bytes in place, whoever else holds it: an input of graphs, which nothing else reads. After all work
    /// asked for before.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) for another number of bytes than it has.
    fn write(&self, dst: &StorageRef, bytes: &[u8]) -> Result<()>;
}

/// Recorded work.
pub trait Graph: Send + Debug {
    /// Does it, after all work asked for before.
    ///
    /// # Errors
    /// Those of the device.
    fn replay(&self) -> Result<()>;

    /// How many calls or kernels it holds, where that is known.
    fn calls(&self) -> Option<usize> {
        None
    }
}
