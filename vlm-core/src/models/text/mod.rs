//! The causal language models that vision-language models end in: Llama (Touvron et al. 2023), Mistral (Jiang et al.
//! 2023), Qwen2 and Qwen3 (Yang et al. 2024, 2025), Gemma and Gemma 2 (Gemma Team 2024) and Gemma 3 (2025). One model with the
//! families' differences as rules of [`TextConfig`].

mod config;
mod decode;
mod defaults;
mod inputs;
mod layer;
mod model;
mod rope;

pub use config::TextConfig;
pub use decode::{DecodeInputs, DecodeStep};
pub use inputs::{Deepstack, TextInputs};
pub use model::TextModel;
