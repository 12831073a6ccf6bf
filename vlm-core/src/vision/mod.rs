//! Pictures: decoding, resizing and what makes numbers of them, equal to Pillow and the processors of transformers.

mod anyres;
mod canvas;
#[cfg(feature = "image-formats")]
mod decode;
#[cfg(feature = "image-formats")]
mod jpeg;
mod naflex;
mod picture;
mod processor;
mod processor_config;
mod qwen;
mod resize;
mod tiles;

pub(crate) use anyres::pinpoints as anyres_pinpoints;
pub use anyres::{AnyresProcessor, AnyresTiles, best_pinpoint};
pub use canvas::{CanvasProcessor, CanvasTiles};
pub use naflex::{NaflexPatches, NaflexProcessor};
pub use picture::{MAX_PIXELS, Picture};
pub use processor::{ImageProcessor, PixelValues, Target};
pub use qwen::{QwenImageProcessor, QwenPatches};
pub use resize::{Resample, resize};
pub use tiles::{TileProcessor, Tiles};
