#![doc = include_str!("../README.md")]

mod abi;
mod chip;
mod config;
mod executor;
mod exports;
mod fault;
mod hccl;
pub mod libraries;
mod model;
mod objects;
mod om;
mod ops;
mod plan;
mod report;
mod rng;
mod run;
mod runtime;
mod state;
mod types;

pub use om::atc::atc;
