//! vlm-core

pub mod autograd;
pub mod backend;
pub mod data;
pub mod dtype;
pub mod error;
pub mod layout;
pub mod models;
pub mod lora;
pub mod nn;
pub mod random;
pub mod shape;
pub mod tensor;
pub mod train;
pub mod weights;

pub use backend::Device;
pub use dtype::{DType, Element, Scalar};
pub use error::{Error, ErrorKind, Result};
pub use layout::Layout;
pub use shape::{Dims, IntoShape, Shape};
pub use tensor::Tensor;
