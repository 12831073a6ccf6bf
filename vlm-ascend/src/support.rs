//! What chips and operations cannot do, as data.

use crate::chip::{Chip, Family};
use vlm_core::DType;
use vlm_core::backend::{OpKind, Support};

/// Operations of aclnn that a family of chips has no kernel for, as the vendor's operator documentation lists them. An operation
/// that turns out to be missing although it is not listed answers with an error that names it.
const LACKING: &[(Family, &[&str])] = &[
    (Family::A1, NOT_ON_OLD),
    (Family::P310, NOT_ON_OLD),
    (Family::B310, NOT_ON_OLD),
    // Training attention is documented for the training cards of A2 alone.
    (Family::A3, &["FlashAttentionScore", "FlashAttentionScoreGrad"]),
];

const NOT_ON_OLD: &[&str] = &[
    "ApplyAdamWV2",
    "CrossEntropyLoss",
    "CrossEntropyLossGrad",
    "FlashAttentionScore",
    "FlashAttentionScoreGrad",
    "FusedInferAttentionScoreV2",
    "GeGluV3",
    "RmsNormGrad",
    "RotaryPositionEmbedding",
    "SwiGluGrad",
    "WeightQuantBatchMatmulV2",
];

/// Whether a family of chips has no kernel for an operation of aclnn.
pub(crate) fn lacks(family: Family, op: &str) -> bool {
    LACKING.iter().any(|(f, ops)| *f == family && ops.contains(&op))
}

/// The fused operations of the contract that aclnn operations carry out, with those it takes: one of each inner list.
const FUSED: &[(OpKind, &[&str])] = &[
    (OpKind::Concat, &["Cat"]),
    (OpKind::UnaryBackward, &["GeluBackwardV2", "SiluBackward", "TanhBackward", "SigmoidBackward"]),
    (OpKind::Glu, &["SwiGlu"]),
    (OpKind::GluBackward, &["SwiGluGrad"]),
    (OpKind::Linear, &["Matmul", "Addmm"]),
    (OpKind::Embedding, &["Embedding"]),
    (OpKind::Softmax, &["Softmax"]),
    (OpKind::SoftmaxBackward, &["SoftmaxBackward"]),
    (OpKind::LogSoftmax, &["LogSoftmax"]),
    (OpKind::LogSoftmaxBackward, &["LogSoftmaxBackward"]),
    (OpKind::LayerNorm, &["LayerNorm"]),
    (OpKind::LayerNormBackward, &["LayerNorm", "LayerNormBackward"]),
    (OpKind::RmsNorm, &["RmsNorm"]),
    (OpKind::RmsNormBackward, &["RmsNorm", "RmsNormGrad"]),
    (OpKind::Rope, &["RotaryPositionEmbedding"]),
    (OpKind::Attention, &["FlashAttentionScore"]),
    (OpKind::AttentionBackward, &["FlashAttentionScoreGrad"]),
    (OpKind::CrossEntropy, &["CrossEntropyLoss"]),
    (OpKind::CrossEntropyBackward, &["CrossEntropyLossGrad"]),
    (OpKind::AdamWStep, &["ApplyAdamWV2"]),
    (OpKind::AdamWSteps, &["ApplyAdamWV2"]),
];

/// The operations of aclnn that a fused operation of the contract needs; `None` where it is always composed.
pub(crate) fn needs(op: OpKind) -> Option<&'static [&'static str]> {
    FUSED.iter().find(|(o, _)| *o == op).map(|(_, ops)| *ops)
}

/// Operations that only move elements, and so take every type.
const MOVING: &[OpKind] = &[
    OpKind::Copy,
    OpKind::CopyInto,
    OpKind::Fill,
    OpKind::Arange,
    OpKind::Cast,
    OpKind::Select,
    OpKind::IndexSelect,
    OpKind::Gather,
    OpKind::Concat,
    OpKind::Random,
    OpKind::Embedding,
];

/// How a chip carries out an operation; `native` says whether its fused operations are there.
pub(crate) fn of(op: OpKind, dtypes: &[DType], chip: &Chip, native: bool) -> Support {
    let computed = chip.dtypes();
    if op == OpKind::Cast && dtypes.contains(&DType::BF16) && !chip.has_bf16() {
        return Support::Unsupported;
    }
    if !MOVING.contains(&op) && dtypes.iter().any(|d| !computed.contains(d)) {
        Support::Unsupported
    } else if op.is_primitive() || native || op == OpKind::Random || op == OpKind::Dropout {
        Support::Native
    } else {
        Support::Composed
    }
}
