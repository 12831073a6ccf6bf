//! Qwen2-VL (Wang et al. 2024), Qwen2.5-VL (Bai et al. 2025) and Qwen3-VL: a vision tower for pictures of any size with
//! rotary positions in two axes, a merger of neighbouring patches, a language model with positions in three axes.

mod block;
mod config;
mod merger;
mod model;
mod order;
mod positions;
mod processor;
mod vision;

pub use config::{Generation, QwenVisionConfig, QwenVlConfig};
pub use model::QwenVl;
pub use processor::QwenPictureText;
pub use vision::QwenVision;
