//! vlm-core

pub mod data;
pub mod dtype;
pub mod error;
pub mod layout;
pub mod lora;
pub mod shape;
pub mod train;
pub mod weights;

pub use dtype::{DType, Element, Scalar};
pub use error::{Error, ErrorKind, Result};
pub use layout::Layout;
pub use shape::{Dims, IntoShape, Shape};
