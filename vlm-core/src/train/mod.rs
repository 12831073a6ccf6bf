//! Training: optimizers, the loop, checkpoints, reports.

pub mod checkpoint;
pub mod optim;
pub mod report;
