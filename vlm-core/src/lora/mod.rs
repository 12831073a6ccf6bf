//! Low-rank adaptation (LoRA).

pub mod peft_config;
