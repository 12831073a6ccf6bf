//! The operations, by topic. A function has the name of its operation.

mod matmul;
mod product;
mod weight_quant;
mod elementwise;
mod activation;
mod rows;
mod norm;
mod attention;
mod rope;
mod index;
mod copy;
mod reduce;
mod select;
mod loss;
mod map;
mod vision;
mod fill;
#[cfg(test)]
pub(crate) mod testing;

pub(crate) use matmul::*;
pub(crate) use weight_quant::*;
pub(crate) use elementwise::*;
pub(crate) use activation::*;
pub(crate) use rows::*;
pub(crate) use norm::*;
pub(crate) use attention::*;
pub(crate) use rope::*;
pub(crate) use index::*;
pub(crate) use copy::*;
pub(crate) use reduce::*;
pub(crate) use select::*;
pub(crate) use loss::*;
pub(crate) use vision::*;
pub(crate) use fill::*;
