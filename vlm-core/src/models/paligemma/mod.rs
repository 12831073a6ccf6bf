//! PaliGemma (Beyer et al. 2024): SigLIP's tower, one linear layer, Gemma, which reads the prompt both ways.

mod config;
mod model;
mod processor;

pub use config::PaliGemmaConfig;
pub use model::PaliGemma;
pub use processor::PaliGemmaPictureText;
