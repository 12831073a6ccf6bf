//! Idefics3 (Laurençon et al. 2024) and SmolVLM (Marafioti et al. 2025): SigLIP's tower over tiles, neighbouring tokens
//! joined and projected, Llama.

mod config;
mod model;
mod processor;

pub use config::Idefics3Config;
pub use model::Idefics3;
pub use processor::Idefics3PictureText;
