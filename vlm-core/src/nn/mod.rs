//! Modules: parameters with Hugging Face's names, and what is built of them.
//!
//! A model is built by a [`Builder`], which walks the names of a model (`model.layers.3.self_attn.q_proj`) and takes each
//! parameter from a [`ParameterSource`]: files, or an initialiser. It registers every parameter and every module that
//! others must find by name, linear layers above all: adapters attach to them there.

mod activation;
mod attention;
mod builder;
mod embedding;
mod encoder_layer;
mod interpolate;
mod kv_cache;
mod linear;
mod loss;
mod mlp;
mod names;
mod norm;
mod parameter;
mod patches;
mod pixel_shuffle;
mod positions;
mod probe;
mod rope;

pub use activation::Activation;
pub use attention::{AttentionConfig, QkNorm, SelfAttention};
pub use builder::{Builder, Init, Initializer, ModuleRef, Modules, ParameterSource};
pub use embedding::Embedding;
pub use encoder_layer::{EncoderConfig, EncoderLayer};
pub use interpolate::{resize_bilinear, resize_bilinear_antialiased};
pub use kv_cache::KvCache;
pub use linear::{Linear, LinearAdapter};
pub use loss::{LossSum, causal_lm_loss, causal_lm_loss_of};
pub use mlp::{GatedMlp, Mlp};
pub use names::ModuleNames;
pub use norm::{LayerNorm, RmsNorm};
pub use parameter::{Param, Parameter};
pub use patches::PatchEmbedding;
pub use pixel_shuffle::pixel_shuffle;
pub use positions::Positions;
pub use probe::{probe, show};
pub use rope::{Rope, Yarn};
