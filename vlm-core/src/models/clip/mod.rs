//! CLIP (Radford et al. 2021), so far its vision transformer, which LLaVA uses.

mod config;
mod vision;

pub use config::ClipVisionConfig;
pub use vision::ClipVision;
