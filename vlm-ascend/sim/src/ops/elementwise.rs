//! Functions of one element and of pairs.

mod arithmetic;
mod logic;
mod unary;

pub(crate) use arithmetic::*;
pub(crate) use logic::*;
pub(crate) use unary::erf;
pub(super) use unary::sigmoid;
pub(crate) use unary::*;
