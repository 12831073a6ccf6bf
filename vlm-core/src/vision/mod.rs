//! Pictures: decoding, resizing and what makes numbers of them, equal to Pillow and the processors of transformers.

mod anyres;
mod canvas;
#[cfg(feature = "image-formats")]
mod decode;
#[cfg(feature = "image-formats")]
mod foreign;
#[cfg(feature = "image-formats")]
mod jpeg;
mod limits;
mod naflex;
mod picture;
#[cfg(feature = "image-formats")]
mod png;
mod processor;
mod processor_config;
mod qwen;
mod resize;
mod tiles;
#[cfg(feature = "image-formats")]
mod webp;

pub(crate) use anyres::pinpoints as anyres_pinpoints;
pub use anyres::{AnyresProcessor, AnyresTiles, best_pinpoint};
pub use canvas::{CanvasProcessor, CanvasTiles};
pub use limits::{MAX_TOTAL_PIXELS, PictureLimits};
pub use naflex::{NaflexPatches, NaflexProcessor};
pub use picture::{MAX_PIXELS, Picture};
pub use processor::{ImageProcessor, PixelValues, Target};
pub use qwen::{QwenImageProcessor, QwenPatches};
pub use resize::{Resample, resize};
pub use tiles::{TileProcessor, Tiles};
