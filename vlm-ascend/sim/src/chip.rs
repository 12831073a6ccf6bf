//! What the simulated chips are.

/// A chip that can be simulated.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Chip {
    /// What `aclrtGetSocName` says.
    pub(crate) soc: &'static str,
    /// Whether there is `BF16`.
    pub(crate) bf16: bool,
    /// Whether products of `F32` matrices are computed in `F16`; `cubeMathType` 0 and 3 are then refused for them.
    pub(crate) f32_products_as_f16: bool,
    /// Operations whose kernels the chip has not: their first phase answers 561003.
    pub(crate) without: &'static [&'static str],
    /// Whether work can be captured into graphs.
    pub(crate) graphs: bool,
}

const NOT_ON_310P: &[&str] = &[
    "ApplyAdamWV2",
    "FlashAttentionScore",
    "FlashAttentionScoreGrad",
    "FusedInferAttentionScoreV2",
    "RotaryPositionEmbedding",
    "RmsNormGrad",
    "WeightQuantBatchMatmulV2",
    "CrossEntropyLoss",
    "CrossEntropyLossGrad",
    "GeGluV3",
    "SwiGluGrad",
];

pub(crate) static CHIPS: &[Chip] = &[
    Chip { soc: "Ascend910B3", bf16: true, f32_products_as_f16: false, without: &[], graphs: true },
    Chip {
        soc: "Ascend910_9391",
        bf16: true,
        f32_products_as_f16: false,
        without: &["FlashAttentionScore", "FlashAttentionScoreGrad"],
        graphs: true,
    },
    Chip { soc: "Ascend310P3", bf16: false, f32_products_as_f16: true, without: NOT_ON_310P, graphs: false },
];

impl Chip {
    /// The chip of that name; the first is the default.
    pub(crate) fn named(soc: &str) -> Option<&'static Chip> {
        CHIPS.iter().find(|c| c.soc.eq_ignore_ascii_case(soc))
    }
}
