//! SigLIP (Zhai et al. 2023), so far its vision tower.

mod config;
mod vision;

pub use config::SiglipVisionConfig;
pub use vision::SiglipVision;
