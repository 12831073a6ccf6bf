//! Gemma 3 (Gemma Team 2025): SigLIP's tower, a projector that pools, a language model whose pictures see themselves both
//! ways.

mod config;
mod model;
mod processor;
mod projector;

pub use config::Gemma3Config;
pub use model::Gemma3;
pub use processor::Gemma3PictureText;
