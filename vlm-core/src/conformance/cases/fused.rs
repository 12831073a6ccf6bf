//! Softmax, norms, rotary embedding and losses.

use crate::backend::{OpKind, RopeStyle};
use crate::conformance::case::Case;
use crate::conformance::operand::Values::{Classes, Normal, Single};
use crate::conformance::tolerance::Tolerance::Composite;
use crate::tensor::RopeTables;

pub(super) fn cases() -> Vec<Case> {
    let one: &[usize] = &[3, 4, 5];
    let norm: &[OpKind] = &[OpKind::LayerNorm, OpKind::LayerNormBackward];
    let rms: &[OpKind] = &[OpKind::RmsNorm, OpKind::RmsNormBackward];
    let rope = |name, style| {
        Case::new(
            name,
            &[OpKind::Rope],
            &[(Normal, &[2, 3, 4, 10]), (Single, &[1, 4, 3]), (Single, &[1, 4, 3])],
            move |t| {
                // Tables of any numbers: cosines of two devices differ in their last bits.
                t[0].rope(&RopeTables { cos: t[1].clone(), sin: t[2].clone() }, style)
            },
        )
        .shaped("rows", &[&[2, 1, 3, 8], &[2, 3, 4], &[2, 3, 4]])
        .shaped("large", &[&[2, 5, 40, 64], &[1, 40, 32], &[1, 40, 32]])
        .within(Composite)
    };
    let loss: &[OpKind] = &[OpKind::CrossEntropy, OpKind::CrossEntropyBackward];
    let fused: &[OpKind] = &[OpKind::LinearCrossEntropy, OpKind::LinearCrossEntropyBackward];
    let rows = |case: Case| case.shaped("large", &[&[5, 61, 331]]).within(Composite);
    let along = |case: Case| case.shaped("one", &[&[1, 1, 1]]).shaped("large", &[&[5, 61, 331]]).within(Composite);
    vec![
        along(Case::new("softmax_last", &[OpKind::Softmax, OpKind::SoftmaxBackward], &[(Normal, one)], |t| {
            t[0].softmax(-1)
        })),
        along(Case::new("softmax_first", &[OpKind::Softmax, OpKind::SoftmaxBackward], &[(Normal, one)], |t| {
            t[0].softmax(0)
        })),
        along(Case::new(
            "log_softmax_last",
            &[OpKind::LogSoftmax, OpKind::LogSoftmaxBackward],
            &[(Normal, one)],
            |t| t[0].log_softmax(-1),
        )),
        along(Case::new(
            "log_softmax_middle",
            &[OpKind::LogSoftmax, OpKind::LogSoftmaxBackward],
            &[(Normal, one)],
            |t| t[0].log_softmax(1),
        )),
        Case::new("layer_norm", norm, &[(Normal, one), (Normal, &[5]), (Normal, &[5])], |t| {
            t[0].layer_norm(Some(&t[1]), Some(&t[2]), 1e-5)
        })
        .shaped("large", &[&[5, 61, 331], &[331], &[331]])
        .within(Composite),
        rows(Case::new("layer_norm_plain", norm, &[(Normal, one)], |t| t[0].layer_norm(None, None, 1e-3))),
        Case::new("rms_norm", rms, &[(Normal, one), (Normal, &[5])], |t| t[0].rms_norm(Some(&t[1]), 1e-5, 0.0))
            .shaped("large", &[&[5, 61, 331], &[331]])
            .within(Composite),
        Case::new("rms_norm_offset", rms, &[(Normal, one), (Normal, &[5])], |t| t[0].rms_norm(Some(&t[1]), 1e-5, 1.0))
            .within(Composite),
        rows(Case::new("rms_norm_plain", rms, &[(Normal, one)], |t| t[0].rms_norm(None, 1e-3, 0.0))),
        rope("rope_half", RopeStyle::Half),
        rope("rope_interleaved", RopeStyle::Interleaved),
        Case::new("cross_entropy", loss, &[(Normal, &[9, 7]), (Classes(7), &[9])], |t| t[0].cross_entropy(&t[1], -100))
            .shaped("large", &[&[61, 500], &[61]])
            .within(Composite),
        Case::new("linear_cross_entropy", fused, &[(Normal, &[9, 6]), (Normal, &[11, 6]), (Classes(11), &[9])], |t| {
            t[0].linear_cross_entropy(&t[1], &t[2], -100)
        })
        .shaped("large", &[&[70, 32], &[300, 32], &[70]])
        .within(Composite),
    ]
}
