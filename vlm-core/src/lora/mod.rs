//! Low-rank adaptation (Hu et al. 2021) of any linear layer of a model, exchanged with PEFT.
//!
//! [`LoraAdapter::inject`] puts fresh adapters beside the layers that PEFT's rules select, [`LoraAdapter::load`] reads a
//! folder that PEFT wrote, [`LoraAdapter::save`] writes one that PEFT loads. Several adapters may be attached at once.

mod adapter;
mod files;
mod layer;
pub mod peft_config;

pub use adapter::LoraAdapter;
pub use layer::LoraLayer;
pub use peft_config::PeftConfig;
