//! Text from a model, token by token.
//!
//! A [`Generator`] reads a prompt once, keeps keys and values of every token seen, and gives one token per row and step.
//! [`generate_texts`] puts decoding and stop strings on top and hands out text as it comes.

mod config;
mod generator;
mod processors;
mod recorded;
mod sampling;
mod text;

pub use config::GenerationConfig;
pub use generator::{FinishReason, Generator};
pub use processors::{LogitsProcessor, processors};
pub use sampling::sample;
pub use text::{Generated, generate_text, generate_texts};
