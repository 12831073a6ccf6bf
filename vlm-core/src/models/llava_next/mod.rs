//! LLaVA-NeXT (Liu et al. 2024) and LLaVA-OneVision (Li et al. 2024): LLaVA with tiles of large pictures, whose features are
//! put together to one grid without what was padding, with a learnt mark at the end of each row.

mod config;
mod grid;
mod model;
mod processor;

pub use config::LlavaNextConfig;
pub use grid::Grid;
pub use model::LlavaNext;
pub use processor::LlavaNextPictureText;
