//! Elements by index.

use crate::DType;
use crate::backend::OpKind;
use crate::conformance::case::{Case, NUMBERS};
use crate::conformance::operand::Values::{Below, Distinct, Normal};
use crate::conformance::tolerance::Tolerance::{Composite, Exact};

pub(super) fn cases() -> Vec<Case> {
    let one: &[usize] = &[3, 4, 5];
    vec![
        Case::new("index_select", &[OpKind::IndexSelect], &[(Distinct, one), (Below(4), &[6])], |t| {
            t[0].index_select(1, &t[1])
        })
        .shaped("none", &[one, &[0]])
        .shaped("large", &[&[5, 61, 83], &[200]])
        .of(&DType::ALL)
        .within(Exact),
        Case::new("index_select_i32", &[OpKind::IndexSelect], &[(Distinct, one), (Below(3), &[6])], |t| {
            t[0].index_select(0, &t[1].to_dtype(DType::I32)?)
        })
        .within(Exact),
        Case::new("index_add", &[OpKind::IndexUpdate], &[(Normal, one), (Below(4), &[6]), (Normal, &[3, 6, 5])], |t| {
            t[0].index_add(1, &t[1], &t[2])
        })
        .shaped("none", &[one, &[0], &[3, 0, 5]])
        .shaped("large", &[&[5, 61, 83], &[200], &[5, 200, 83]])
        .of(NUMBERS)
        // Every addition to a place is rounded.
        .within(Composite),
        Case::new(
            "index_copy",
            &[OpKind::IndexUpdate],
            &[(Distinct, one), (Below(4), &[1]), (Distinct, &[3, 1, 5])],
            |t| t[0].index_copy(1, &t[1], &t[2]),
        )
        .of(NUMBERS)
        .within(Exact),
        Case::new("gather", &[OpKind::Gather], &[(Distinct, one), (Below(4), &[3, 6, 5])], |t| t[0].gather(1, &t[1]))
            .shaped("fewer", &[one, &[2, 3, 4]])
            .shaped("large", &[&[5, 61, 83], &[5, 100, 83]])
            .of(&DType::ALL)
            .within(Exact),
        Case::new(
            "scatter_add",
            &[OpKind::Scatter],
            &[(Normal, one), (Below(4), &[3, 6, 5]), (Normal, &[3, 6, 5])],
            |t| t[0].scatter_add(1, &t[1], &t[2]),
        )
        .shaped("large", &[&[5, 61, 83], &[5, 100, 83], &[5, 100, 83]])
        .of(NUMBERS)
        // Every addition to a place is rounded.
        .within(Composite),
        Case::new("embedding", &[OpKind::Embedding], &[(Distinct, &[7, 5]), (Below(7), &[2, 6])], |t| {
            t[0].embedding(&t[1])
        })
        .shaped("none", &[&[7, 5], &[0]])
        .shaped("large", &[&[300, 97], &[40, 11]])
        .within(Exact),
    ]
}
