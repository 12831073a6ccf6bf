//! InternVL (Chen et al. 2024, Zhu et al. 2025) in its Hugging Face form: a vision transformer with scaled residuals over
//! tiles, neighbouring tokens joined and projected, a language model.

mod config;
mod model;
mod processor;
mod vision;

pub use config::{InternVisionConfig, InternVlConfig};
pub use model::InternVl;
pub use processor::InternVlPictureText;
pub use vision::InternVision;
