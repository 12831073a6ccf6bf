//! LLaVA 1.5 (Liu et al. 2023): CLIP's vision transformer, a projector of two layers, a language model.

mod config;
mod model;
mod processor;
mod projector;

pub use config::LlavaConfig;
pub use model::Llava;
pub use processor::LlavaPictureText;
pub use projector::Projector;
