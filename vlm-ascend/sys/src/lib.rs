//! Declarations of the part of AscendCL, aclnn and HCCL that vlm-ascend uses. Nothing is linked: [`Functions::load`] takes the
//! functions from wherever the caller found them.
//!
//! The types, constants and prototypes come from this crate's own header `include/vlm_ascend.h`, the operations of aclnn from the
//! table in [`for_each_aclnn!`]. Enums are numbers: newer libraries know values that the header does not.

mod aclnn;
// Made from the header, which has nothing to say about names that the vendor's documentation does not say better.
#[allow(missing_docs, non_camel_case_types, non_snake_case, non_upper_case_globals)]
#[rustfmt::skip]
mod bindings;
mod functions;

pub use aclnn::{ACLNN, Aclnn};
pub use bindings::*;
use functions::functions;

/// The example of the README, tried.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

#[cfg(test)]
mod tests;
