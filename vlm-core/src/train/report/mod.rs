//! What a training run tells about itself.
//!
//! | part | for |
//! |---|---|
//! | [`progress`] | people: one line with rate and remaining time |
//! | [`jsonl`] | programs: `trainer_log.jsonl` with LLaMA-Factory's keys |
//! | [`tensorboard`] | TensorBoard: event files |
//! | [`plot`] | people: the loss curve as SVG |
//! | [`metrics`] | memory use of this process |
//!
//! Nothing here prints: [`progress`] formats lines and the program decides where they go.

pub mod jsonl;
pub mod metrics;
pub mod plot;
pub mod progress;
pub mod tensorboard;

pub use jsonl::{LogEntry, TrainerLog};
pub use plot::LossPlot;
pub use progress::{Progress, ProgressSink};
pub use tensorboard::EventWriter;
