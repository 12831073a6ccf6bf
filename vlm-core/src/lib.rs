#![doc = include_str!("../README.md")]

pub mod autograd;
pub mod backend;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod data;
pub mod dtype;
pub mod error;
pub mod generate;
pub mod hub;
pub mod layout;
pub mod lora;
pub mod models;
pub mod nn;
pub mod random;
pub mod shape;
pub mod tensor;
pub mod text;
pub mod train;
pub mod vision;
pub mod weights;

pub use backend::Device;
pub use dtype::{DType, Element, Scalar};
pub use error::{Error, ErrorKind, Result};
pub use layout::Layout;
pub use shape::{Dims, IntoShape, Shape};
pub use tensor::Tensor;
