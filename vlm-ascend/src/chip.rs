//! What is known of the chips.

use vlm_core::DType;

/// A family of chips, by what `aclrtGetSocName` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Ascend 910A, the first training chip.
    A1,
    /// Ascend 910B1 to B4: Atlas A2.
    A2,
    /// Ascend 910_93…: Atlas A3.
    A3,
    /// Ascend 950.
    A5,
    /// Ascend 310P: Atlas inference cards.
    P310,
    /// Ascend 310B: Atlas 200I A2.
    B310,
    /// A name that is not known, treated as an A2 that may lack anything.
    Unknown,
}

/// One chip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chip {
    /// Its full name: `Ascend910B3`.
    pub soc: String,
    /// Its family.
    pub family: Family,
}

impl Chip {
    /// The chip of that name.
    pub fn of(soc: &str) -> Chip {
        let family = match soc.strip_prefix("Ascend").unwrap_or(soc) {
            // "910B" without a digit is the old chip's other name.
            s if s.starts_with("910B") && s[4..].starts_with(|c: char| c.is_ascii_digit()) => Family::A2,
            s if s.starts_with("910_93") => Family::A3,
            s if s.starts_with("910") => Family::A1,
            s if s.starts_with("950") => Family::A5,
            s if s.starts_with("310P") => Family::P310,
            s if s.starts_with("310B") => Family::B310,
            _ => Family::Unknown,
        };
        Chip { soc: soc.to_owned(), family }
    }

    /// Whether it has `bf16`.
    pub fn has_bf16(&self) -> bool {
        !matches!(self.family, Family::A1 | Family::P310)
    }

    /// The element types it computes with.
    pub fn dtypes(&self) -> Vec<DType> {
        let all = [DType::F32, DType::F16, DType::BF16, DType::I64, DType::I32, DType::U8, DType::Bool];
        all.into_iter().filter(|d| self.has_bf16() || *d != DType::BF16).collect()
    }

    /// `cubeMathType` of products: how far `f32` operands may be rounded. 0 keeps them; chips whose matrix unit has no `f32` only
    /// take 1, which computes in `f16`.
    pub fn cube_math_type(&self) -> i8 {
        if matches!(self.family, Family::A1 | Family::P310 | Family::B310) { 1 } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_families() {
        for (soc, family) in [
            ("Ascend910B3", Family::A2),
            ("Ascend910B4-1", Family::A2),
            ("Ascend910B", Family::A1),
            ("Ascend910A", Family::A1),
            ("Ascend910ProA", Family::A1),
            ("Ascend910_9391", Family::A3),
            ("Ascend310P3", Family::P310),
            ("Ascend310B1", Family::B310),
            ("Ascend950DT_9582", Family::A5),
            ("", Family::Unknown),
        ] {
            assert_eq!(Chip::of(soc).family, family, "{soc}");
        }
        assert!(!Chip::of("Ascend310P3").dtypes().contains(&DType::BF16));
    }
}
