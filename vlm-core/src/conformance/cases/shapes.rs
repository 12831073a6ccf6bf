//! Copies: what views become when they are made contiguous, written to or put together.

use crate::DType;
use crate::backend::OpKind;
use crate::conformance::case::Case;
use crate::conformance::operand::Values::Distinct;
use crate::conformance::tolerance::Tolerance::Exact;
use crate::{Result, Tensor};

const ONE: &[usize] = &[3, 4, 5];

/// A view of the operand, copied.
fn view(name: &'static str, f: fn(&Tensor) -> Result<Tensor>) -> Case {
    Case::new(name, &[OpKind::Copy], &[(Distinct, ONE)], move |t| f(&t[0])?.contiguous()).of(&DType::ALL).within(Exact)
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        view("contiguous", |x| Ok(x.clone()))
            .shaped("rank0", &[&[]])
            .shaped("rank1", &[&[37]])
            .shaped("rank6", &[&[2, 1, 2, 3, 1, 4]])
            .shaped("empty", &[&[3, 0, 2]])
            .shaped("large", &[&[7, 61, 83]]),
        view("reshape", |x| x.reshape([5, 12])),
        view("flatten", |x| x.flatten(0, 1)),
        view("transpose", |x| x.transpose(0, 2)).shaped("large", &[&[33, 70, 65]]),
        view("permute", |x| x.permute(&[2, 0, 1])).shaped("large", &[&[33, 70, 65]]),
        view("unsqueeze", |x| x.unsqueeze(1)),
        view("squeeze", |x| x.unsqueeze(0)?.squeeze(0)),
        view("broadcast_to", |x| x.unsqueeze(1)?.broadcast_to([3, 2, 4, 5])),
        view("narrow", |x| x.narrow(1, 1, 2)),
        view("select", |x| x.select(2, 3)),
        view("slice", |x| x.slice(2, 0, 5, 2)),
        Case::new("cat", &[OpKind::Concat], &[(Distinct, ONE), (Distinct, &[3, 2, 5])], |t| {
            Tensor::cat(&[&t[0], &t[1], &t[0]], 1)
        })
        .shaped("first", &[&[2, 0, 5], &[2, 3, 5]])
        .shaped("large", &[&[5, 61, 83], &[5, 7, 83]])
        .of(&DType::ALL)
        .within(Exact),
        Case::new("stack", &[OpKind::Concat], &[(Distinct, ONE), (Distinct, ONE)], |t| {
            Tensor::stack(&[&t[0], &t[1]], -1)
        })
        .of(&DType::ALL)
        .within(Exact),
        Case::new("repeat_interleave", &[OpKind::Copy], &[(Distinct, ONE)], |t| t[0].repeat_interleave(2, 1))
            .within(Exact),
        Case::new("pad", &[OpKind::Concat, OpKind::Fill], &[(Distinct, ONE)], |t| t[0].pad(1, 1, 2, 0.5)).within(Exact),
        Case::new("write_slice", &[OpKind::CopyInto], &[(Distinct, ONE), (Distinct, &[3, 2, 5])], |t| {
            t[0].clone().write_slice(1, 1, &t[1])
        })
        .shaped("matrix", &[&[6, 5], &[6, 2]])
        .shaped("large", &[&[5, 61, 83], &[5, 30, 83]])
        .of(&DType::ALL)
        .within(Exact)
        .plain(),
    ]
}
