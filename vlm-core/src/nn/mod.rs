//! Modules: parameters with Hugging Face's names, and what is built of them.
//!
//! A model is built by a [`Builder`], which walks the names of a model (`model.layers.3.self_attn.q_proj`) and takes each
//! parameter from a [`ParameterSource`]: files, or an initialiser. It registers every parameter and every module that
//! others must find by name, linear layers above all: adapters attach to them there.

mod builder;
mod linear;
mod parameter;

pub use builder::{Builder, Init, Initializer, ModuleRef, Modules, ParameterSource};
pub use linear::{Linear, LinearAdapter};
pub use parameter::{Param, Parameter};
