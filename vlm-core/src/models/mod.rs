//! Models by Hugging Face's names: config fields, parameter names and weights are those of the published files.

pub mod auto;
mod batch;
pub mod clip;
mod compare;
mod config;
mod folder;
pub mod gemma3;
pub mod idefics3;
mod image_text;
mod images;
pub mod internvl;
pub mod llava;
pub mod llava_next;
pub mod paligemma;
mod parts;
pub mod processor;
pub mod qwen_vl;
pub mod siglip;
pub mod siglip2;
mod source;
pub mod text;
pub mod tower;
mod traits;

pub use batch::VlmBatch;
pub use config::Limits;
pub use folder::{load, load_auto, load_auto_with, load_dual_encoder, read_config, save, save_as};
pub use image_text::{Features, ImageTextModel};
pub use images::Images;
pub use parts::{ModelPart, set_trainable_parts};
pub use source::TensorMap;
pub use traits::{Base, DualEncoder, Model, VisionLanguageModel};
