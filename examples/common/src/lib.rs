//! What the example programs share.

pub mod answer;
pub mod digits;
pub mod folder;
pub mod hub;
pub mod job_args;
pub mod model;
pub mod program;
pub mod prompt;
pub mod run_config;
pub mod tuning;
