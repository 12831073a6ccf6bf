//! LLaVA 1.5 (Liu et al. 2023): CLIP's vision transformer, a projector of two layers, Llama.

mod config;
mod model;
mod projector;

pub use config::{FeatureStrategy, LlavaConfig};
pub use model::Llava;
