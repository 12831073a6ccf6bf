//! Reductions, positions, running sums and order.

use crate::DType;
use crate::backend::OpKind;
use crate::conformance::case::{Case, NUMBERS};
use crate::conformance::operand::Values::{self, Distinct, Normal, Positive, Ties, Truth};
use crate::conformance::tolerance::Tolerance::{Accumulated, Exact};
use crate::{Result, Tensor};

const ONE: &[usize] = &[3, 4, 5];
const BOOL: &[DType] = &[DType::Bool];

fn reduce(name: &'static str, values: Values, f: fn(&Tensor) -> Result<Tensor>) -> Case {
    Case::new(name, &[OpKind::Reduce], &[(values, ONE)], move |t| f(&t[0]))
        .shaped("one", &[&[1, 1, 1]])
        .shaped("large", &[&[13, 131, 37]])
        .within(Accumulated)
}

/// With an empty dimension too, where the operation has an answer to that.
fn total(name: &'static str, values: Values, f: fn(&Tensor) -> Result<Tensor>) -> Case {
    reduce(name, values, f).shaped("empty", &[&[3, 0, 5]])
}

fn along(name: &'static str, op: OpKind, values: Values, f: fn(&Tensor) -> Result<Tensor>) -> Case {
    Case::new(name, &[op], &[(values, ONE)], move |t| f(&t[0]))
        .shaped("one", &[&[1, 1, 1]])
        .shaped("large", &[&[5, 131, 37]])
        .within(Exact)
        .of(NUMBERS)
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        total("sum_last", Normal, |x| x.sum(-1, false)).of(&DType::ALL),
        total("sum_first", Normal, |x| x.sum(0, false)).of(&DType::ALL),
        total("sum_middle", Normal, |x| x.sum(1, true)),
        total("sum_outer", Normal, |x| x.sum([0, 2], false)),
        total("sum_all", Normal, Tensor::sum_all).of(&DType::ALL),
        reduce("mean_last", Normal, |x| x.mean(-1, false)),
        reduce("mean_outer", Normal, |x| x.mean([0, 2], true)),
        reduce("var", Normal, |x| x.var([1, 2], 0, false)),
        reduce("prod", Positive, |x| x.narrow(1, 0, x.shape()[1].min(4))?.prod(1, false)),
        reduce("max_last", Distinct, |x| x.max(-1, false)).of(NUMBERS).within(Exact),
        reduce("max_outer", Distinct, |x| x.max([0, 2], false)).of(NUMBERS).within(Exact),
        reduce("min_first", Distinct, |x| x.min(0, true)).of(NUMBERS).within(Exact),
        reduce("any", Truth, |x| x.any(-1, false)).of(BOOL).plain(),
        reduce("all", Truth, |x| x.all(1, false)).of(BOOL).plain(),
        along("argmax", OpKind::ArgReduce, Ties, |x| x.argmax(-1, false)).plain(),
        along("argmax_middle", OpKind::ArgReduce, Distinct, |x| x.argmax(1, true)).plain(),
        along("argmin", OpKind::ArgReduce, Ties, |x| x.argmin(0, false)).plain(),
        along("cumsum", OpKind::Cumulative, Normal, |x| x.cumsum(1)).within(Accumulated),
        along("cumprod", OpKind::Cumulative, Positive, |x| x.narrow(1, 0, x.shape()[1].min(4))?.cumprod(1))
            .within(Accumulated)
            .plain()
            .of(&DType::FLOATS),
        Case::several("sort", &[OpKind::Sort], &[(Distinct, ONE)], |t| t[0].sort(1, false).map(|(v, i)| vec![v, i]))
            .shaped("large", &[&[5, 131, 7]])
            .shaped("empty", &[&[2, 0, 3]])
            .within(Exact)
            .of(NUMBERS),
        Case::several("sort_ties_down", &[OpKind::Sort], &[(Ties, ONE)], |t| {
            t[0].sort(-1, true).map(|(v, i)| vec![v, i])
        })
        .within(Exact)
        .of(NUMBERS)
        .plain(),
        Case::several("topk", &[OpKind::TopK], &[(Distinct, ONE)], |t| t[0].topk(2, 2, true).map(|(v, i)| vec![v, i]))
            .shaped("large", &[&[3, 4, 400]])
            .within(Exact)
            .of(NUMBERS),
        Case::several("topk_smallest", &[OpKind::TopK], &[(Distinct, ONE)], |t| {
            t[0].topk(3, 0, false).map(|(v, i)| vec![v, i])
        })
        .within(Exact),
    ]
}
