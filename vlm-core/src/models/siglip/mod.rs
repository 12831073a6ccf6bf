//! SigLIP (Zhai et al. 2023): pictures and texts compared pair by pair. Many vision-language models use its vision tower
//! alone.

mod config;
mod head;
mod model;
mod vision;

pub use config::{SiglipConfig, SiglipTextConfig, SiglipVisionConfig};
pub use head::PoolingHead;
pub use model::Siglip;
pub use vision::SiglipVision;
