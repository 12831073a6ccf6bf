//! Rows J1 to J30 of the bad-input catalogue, and I12 to I18 as far as they are about files: folders of models and adapters
//! that are broken in one place each.

mod adapters;
#[path = "../catalogue/mod.rs"]
mod catalogue;
#[path = "../common/mod.rs"]
mod common;
mod config;
mod defaults;
mod files;
mod folder;
mod pictures;
mod rope;
mod safetensors;
mod text;
mod weights;
