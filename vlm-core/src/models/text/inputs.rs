//! What the language model reads, and who sees whom in it.

use crate::nn::Positions;
use crate::{Device, Result, Tensor};

/// A batch as the language model reads it.
#[derive(Clone, Debug)]
pub struct TextInputs<'a> {
    /// `[b, s, d]`: token embeddings with picture features in their places.
    pub embeds: Tensor,
    /// The position of each of them.
    pub positions: Positions,
    /// `[b][tokens in the cache + s]`, false for padding; `None`: nothing is padding.
    pub mask: Option<&'a [Vec<bool>]>,
    /// `[b][s]`: tokens of one group see each other both ways, those without one only what comes before.
    pub groups: Option<Vec<Vec<Option<usize>>>>,
    /// Features that are added to the result of the first layers at some places (DeepStack, Meng et al. 2024).
    pub deepstack: Option<Deepstack>,
}

/// Features for the results of the first layers.
#[derive(Clone, Debug)]
pub struct Deepstack {
    /// The rows of the flattened batch `[b · s]` that get something, `i64`.
    pub rows: Tensor,
    /// What they get after layer 0, 1, …, `[rows, d]` each.
    pub features: Vec<Tensor>,
}

impl TextInputs<'_> {
    /// The mask of padding, `[b, 1, 1, keys]`, if there is any: causality is left to the kernel.
    pub(super) fn padding(&self) -> Result<Option<Tensor>> {
        let Some(rows) = self.mask.filter(|rows| rows.iter().flatten().any(|real| !real)) else { return Ok(None) };
        let flat: Vec<bool> = rows.iter().flatten().copied().collect();
        Tensor::from_slice(&flat, [rows.len(), 1, 1, rows[0].len()], self.embeds.device()).map(Some)
    }

    /// The whole mask, `[b, 1, s, cached + s]`, where groups see both ways; `window` is how far all look back, those inside of
    /// a group only if `bounded`.
    pub(super) fn grouped(
        &self,
        groups: &[Vec<Option<usize>>],
        cached: usize,
        window: Option<usize>,
        bounded: bool,
        device: &Device,
    ) -> Result<Tensor> {
        let s = groups.first().map_or(0, Vec::len);
        let keys = cached + s;
        let mut flat = Vec::with_capacity(groups.len() * s * keys);
        for (row, groups) in groups.iter().enumerate() {
            for (i, group) in groups.iter().enumerate() {
                let at = cached + i;
                for key in 0..keys {
                    let near = key > at || window.is_none_or(|w| at - key < w);
                    let together = group.is_some() && key >= cached && groups[key - cached] == *group;
                    let real = self.mask.is_none_or(|mask| mask[row][key]);
                    let seen = if bounded { (key <= at || together) && near } else { key <= at && near || together };
                    flat.push(seen && real);
                }
            }
        }
        Tensor::from_slice(&flat, [groups.len(), 1, s, keys], device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DType;

    #[test]
    fn groups_see_forward_and_the_window_bounds_how_far_back() {
        let device = Device::reference();
        let embeds = Tensor::zeros([1, 4, 2], DType::F32, &device).unwrap();
        let positions = Positions::new(vec![vec![0, 1, 2, 3]]);
        let inputs = TextInputs { embeds, positions, mask: None, groups: None, deepstack: None };
        let seen_if = |groups: Vec<Option<usize>>, window, bounded| {
            inputs.grouped(&[groups], 0, window, bounded, &device).unwrap().to_vec::<bool>().unwrap()
        };
        let seen = |groups, window| seen_if(groups, window, true);
        let rows = |all: [&str; 4]| all.iter().flat_map(|r| r.chars().map(|c| c == 'x')).collect::<Vec<bool>>();
        let pair = vec![None, Some(0), Some(0), None];
        assert_eq!(seen(pair.clone(), None), rows(["x...", "xxx.", "xxx.", "xxxx"]));
        assert_eq!(seen(pair, Some(2)), rows(["x...", "xxx.", ".xx.", "..xx"]));
        assert_eq!(seen(vec![Some(0); 4], Some(2)), rows(["xxxx", "xxxx", ".xxx", "..xx"]));
        // PaliGemma 2's prompt sees itself whatever the window.
        let prompt = vec![Some(0), Some(0), Some(0), None];
        assert_eq!(seen_if(prompt, Some(2), false), rows(["xxx.", "xxx.", "xxx.", "..xx"]));
    }
}
