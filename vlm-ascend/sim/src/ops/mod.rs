//! The operations, by topic. A function has the name of its operation.

mod activation;
mod attention;
mod copy;
mod elementwise;
mod fill;
mod index;
mod loss;
mod map;
mod matmul;
mod norm;
mod product;
mod reduce;
mod rope;
mod rows;
mod select;
#[cfg(test)]
pub(crate) mod testing;
mod vision;
mod weight_quant;

pub(crate) use activation::*;
pub(crate) use attention::*;
pub(crate) use copy::*;
pub(crate) use elementwise::*;
pub(crate) use fill::*;
pub(crate) use index::*;
pub(crate) use loss::*;
pub(crate) use matmul::*;
pub(crate) use norm::*;
pub(crate) use reduce::*;
pub(crate) use rope::*;
pub(crate) use rows::*;
pub(crate) use select::*;
pub(crate) use vision::*;
pub(crate) use weight_quant::*;
