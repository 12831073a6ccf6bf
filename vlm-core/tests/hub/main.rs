//! `vlm_core::hub`: models found in caches as Hugging Face's libraries write them, and fetched from a server of our own.

mod cache;
#[cfg(feature = "download")]
mod download;
#[cfg(feature = "download")]
mod faults;
#[cfg(feature = "download")]
mod refusals;
#[cfg(feature = "download")]
mod server;

pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
