//! Training: the loop, optimizers, what a run leaves on disk and how it is picked up again.
//!
//! [`Trainer`] runs a [`Task`], such as a [`ConversationTask`] or a [`PairTask`]; [`optim`] holds optimizers and schedules; [`checkpoint`] keeps and finds the states a run
//! can continue from; [`report`] writes what people and programs read about a run: progress lines, `trainer_log.jsonl`,
//! TensorBoard event files and loss plots.

pub mod checkpoint;
mod conversations;
mod digest;
mod evaluation;
mod logs;
pub mod optim;
mod options;
mod pairs;
pub mod report;
mod run;
mod task;
mod trainer;

pub use conversations::{ConversationOptions, ConversationTask, Survey};
pub use options::{Resume, TrainerOptions};
pub use pairs::PairTask;
pub use task::Task;
pub use trainer::{Outcome, Trainer};
