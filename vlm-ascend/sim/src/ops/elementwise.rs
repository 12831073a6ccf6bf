//! Functions of one element and of pairs.

mod arithmetic;
mod logic;
mod unary;

pub(crate) use arithmetic::*;
pub(crate) use logic::*;
pub(super) use unary::{erf, sigmoid};
pub(crate) use unary::*;
