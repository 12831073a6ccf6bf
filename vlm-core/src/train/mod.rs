//! Training: optimizers, and what a run leaves on disk and how it is picked up again.
//!
//! [`checkpoint`] keeps and finds the states a run can continue from; [`report`] writes what people and programs read
//! about a run: progress lines, `trainer_log.jsonl`, TensorBoard event files and loss plots.

pub mod checkpoint;
pub mod optim;
pub mod report;
