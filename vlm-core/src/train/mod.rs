//! Training: the loop, optimizers, what a run leaves on disk and how it is picked up again.
//!
//! [`Trainer`] runs a [`Task`]; [`optim`] holds optimizers and schedules; [`checkpoint`] keeps and finds the states a run
//! can continue from; [`report`] writes what people and programs read about a run: progress lines, `trainer_log.jsonl`,
//! TensorBoard event files and loss plots.

pub mod checkpoint;
mod evaluation;
mod logs;
pub mod optim;
mod options;
pub mod report;
mod run;
mod task;
mod trainer;

pub use options::{Resume, TrainerOptions};
pub use task::Task;
pub use trainer::{Outcome, Trainer};
