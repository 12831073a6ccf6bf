//! Models by Hugging Face's names: config fields, parameter names and weights are those of the published files.

pub mod auto;
mod batch;
pub mod clip;
mod config;
mod folder;
pub mod llama;
pub mod llava;
mod source;
mod traits;

pub use batch::VlmBatch;
pub use config::Limits;
pub use folder::{load, read_config, save};
pub use source::TensorMap;
pub use traits::{Model, VisionLanguageModel};
