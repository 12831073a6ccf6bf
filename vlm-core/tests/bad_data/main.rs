//! Rows K1 to K24 of the bad-input catalogue: data files and settings of training.

mod adapters;
#[path = "../catalogue/mod.rs"]
mod catalogue;
#[path = "../common/mod.rs"]
mod common;
mod conversations;
mod resume;
mod rows;
mod small;
mod training;
