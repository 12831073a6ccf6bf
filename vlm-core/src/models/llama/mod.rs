//! Llama (Touvron et al. 2023): the causal language model that most vision-language models end in.

mod config;
mod model;

pub use config::LlamaConfig;
pub use model::Llama;
