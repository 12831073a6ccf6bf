//! Conversations with pictures: from files to batches of row numbers.
//!
//! | part | what it does |
//! |---|---|
//! | [`sample`] | [`Sample`]: messages of text and pictures |
//! | [`dataset`] | [`Dataset`]: all rows of a file or folder, checked |
//! | [`row`] | one row of LLaVA, ShareGPT, messages, OpenAI or Alpaca style |
//! | [`text_file`] | rows of a JSON or JSON Lines file with their line numbers |
//! | [`folder`] | a folder of pictures with captions |
//! | [`loader`] | the order of rows, batches, and the split for validation |
//!
//! Pictures are not opened here, only found: decoding them is the business of the processor.

mod alpaca;
mod base64;
pub mod dataset;
pub mod folder;
pub mod loader;
pub mod row;
pub mod sample;
pub mod text_file;

pub use alpaca::AlpacaColumns;
pub use dataset::{Dataset, OnBadRow, ReadOptions};
pub use loader::{Batch, Loader, LoaderConfig, Position, ValidationSize, split};
pub use row::Columns;
pub use sample::{ImageRef, Message, Part, Role, Sample};
