//! Which keys a query sees.

use crate::plan::{Fault, Refusal, fault, invalid};
use crate::run::Run;
use crate::types::Tensor;

/// Keys that a query sees, by how far they are from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Band {
    before: i64,
    after: i64,
    /// Whether the last query stands at the last key, rather than the first at the first.
    from_end: bool,
}

impl Band {
    /// The keys that query `i` of `queries` sees.
    pub(super) fn seen(&self, i: usize, queries: usize, keys: usize) -> std::ops::Range<usize> {
        let keys_i = keys as i64;
        let at = i as i64 + if self.from_end { keys_i - queries as i64 } else { 0 };
        let from = at.saturating_sub(self.before).clamp(0, keys_i);
        let to = at.saturating_add(self.after).saturating_add(1).clamp(from, keys_i);
        from as usize..to as usize
    }
}

/// What hides keys.
#[derive(Clone, Debug, Default)]
pub(super) struct Mask {
    /// As `[B, N, Sq, Skv]`, true where a key is hidden. It may be larger than there are queries and keys.
    pub(super) hidden: Option<Tensor>,
    pub(super) band: Option<Band>,
    /// A mask that has to be the triangle of that size that says nothing by itself.
    triangle: Option<Tensor>,
}

/// Side of the mask that modes 2 to 4 want.
const COMPRESSED: usize = 2048;

impl Mask {
    /// What `sparse_mode` makes of a mask, where one is given; `full` is the mask as `[B, N, Sq, Skv]`.
    pub(super) fn new(
        mask: &Tensor,
        sparse_mode: i64,
        pre_tokens: i64,
        next_tokens: i64,
        full: impl FnOnce(&Tensor) -> Result<Tensor, Refusal>,
    ) -> Result<Self, Refusal> {
        const FAR: i64 = i64::MAX;
        let (before, after, from_end) = match sparse_mode {
            0 => {
                let band = Band { before: pre_tokens, after: next_tokens, from_end: false };
                return Ok(Mask { hidden: Some(full(mask)?), band: Some(band), triangle: None });
            }
            1 => return Ok(Mask { hidden: Some(full(mask)?), band: None, triangle: None }),
            2 => (FAR, 0, false),
            3 => (FAR, 0, true),
            4 if pre_tokens.saturating_add(next_tokens) < 0 => {
                return Err(invalid(format!("preTokens {pre_tokens} and nextTokens {next_tokens} do not meet")));
            }
            4 => (pre_tokens, next_tokens, true),
            _ => return Err(invalid(format!("sparseMode {sparse_mode} is not simulated"))),
        };
        let lead = mask.rank().saturating_sub(2);
        if mask.dims[lead..] != [COMPRESSED; 2] || mask.dims[..lead].iter().any(|&d| d != 1) {
            let text =
                format!("attenMask has shape {:?}, expected {COMPRESSED} twice in sparseMode {sparse_mode}", mask.dims);
            return Err(invalid(text));
        }
        let triangle = mask.with_view(vec![COMPRESSED; 2], mask.strides[lead..].to_vec(), mask.offset);
        Ok(Mask { hidden: None, band: Some(Band { before, after, from_end }), triangle: Some(triangle) })
    }

    /// Finds out whether a compressed mask is what the caller is told to make it: true above the diagonal only. The chip
    /// would compute something wrong, so this is a fault here. Along the diagonal it is looked at everywhere.
    pub(super) fn check(&self, run: &Run<'_>) -> Result<(), Fault> {
        let Some(t) = &self.triangle else { return Ok(()) };
        let (down, right) = (t.strides[0], t.strides[1]);
        let diagonal = t.with_view(vec![COMPRESSED], vec![down + right], t.offset);
        let above = t.with_view(vec![COMPRESSED - 1], vec![down + right], t.offset + right);
        let corner = t.with_view(vec![1], vec![1], t.offset + (COMPRESSED - 1) * down);
        let hidden = |view: &Tensor| run.bools(view);
        if hidden(&diagonal)?.contains(&true) || hidden(&above)?.contains(&false) || hidden(&corner)?.contains(&true) {
            return Err(fault("attenMask is not the upper triangle that its sparseMode wants"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands() {
        let band = |before, after, from_end| Band { before, after, from_end };
        // Left-up and right-down causal, with more keys than queries and the reverse.
        assert_eq!(band(i64::MAX, 0, false).seen(1, 2, 4), 0..2);
        assert_eq!(band(i64::MAX, 0, true).seen(1, 2, 4), 0..4);
        assert_eq!(band(i64::MAX, 0, true).seen(0, 2, 4), 0..3);
        assert_eq!(band(i64::MAX, 0, true).seen(0, 4, 2), 0..0);
        assert_eq!(band(i64::MAX, 0, true).seen(2, 4, 2), 0..1);
        assert_eq!(band(1, 1, false).seen(2, 5, 5), 1..4);
        assert_eq!(band(i64::MAX, i64::MAX, true).seen(0, 5, 5), 0..5);
        assert_eq!(band(-1, 2, false).seen(0, 5, 5), 1..3);
    }
}
