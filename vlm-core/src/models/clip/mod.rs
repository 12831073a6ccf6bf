//! CLIP (Radford et al. 2021): a vision transformer and a causal text transformer whose results are compared. LLaVA uses the
//! former alone.

mod config;
mod model;
mod text;
mod vision;

pub use config::{ClipConfig, ClipTextConfig, ClipVisionConfig};
pub use model::Clip;
pub use text::{ClipText, pick};
pub use vision::ClipVision;
