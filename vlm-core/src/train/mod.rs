//! Training: optimizers, the loop, checkpoints, reports.

pub mod optim;
