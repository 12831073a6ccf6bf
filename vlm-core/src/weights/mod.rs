//! Weights on disk: safetensors files, single or sharded, read without copying and written atomically.
//!
//! | part | what it does |
//! |---|---|
//! | [`safetensors`] | strict reader of the file format; the bytes are not trusted |
//! | [`mapping`] | memory maps and aligned memory that a device can adopt without a copy |
//! | [`sharded`] | [`WeightFiles`]: one file, or many behind `model.safetensors.index.json` |
//! | [`mod@save`] | atomic writing, byte for byte what Python's `safetensors` writes |
//! | [`atomic`] | replacing a file so that a crash leaves the old one or the new one |
//! | [`tensors`] | from files to tensors on a device and back |

pub mod atomic;
pub mod mapping;
pub mod safetensors;
pub mod save;
pub mod sharded;
pub mod tensors;
#[cfg(test)]
pub(crate) mod testing;
mod verify;

pub use mapping::{LoadMode, SharedBytes};
pub use save::{Entry, save, save_sharded};
pub use sharded::{Coverage, LoadOptions, Weight, WeightFiles};
pub use tensors::{save_tensors, save_tensors_sharded, write_tensors};
