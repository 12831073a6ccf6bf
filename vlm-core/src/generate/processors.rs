//! What changes logits before a token is chosen, in transformers' order.

use super::GenerationConfig;
use std::collections::HashSet;
use std::fmt::Debug;

/// Changes the logits of the next token of one row.
pub trait LogitsProcessor: Debug + Send {
    /// `seen` are the row's tokens so far, prompt first; `new` of them are the answer's.
    fn process(&self, logits: &mut [f32], seen: &[i64], new: usize);
}

/// The processors that a configuration asks for.
pub fn processors(config: &GenerationConfig) -> Vec<Box<dyn LogitsProcessor>> {
    let mut all: Vec<Box<dyn LogitsProcessor>> = Vec::new();
    if config.repetition_penalty != 1.0 {
        all.push(Box::new(RepetitionPenalty(config.repetition_penalty as f32)));
    }
    if config.no_repeat_ngram_size > 0 {
        all.push(Box::new(NoRepeat(config.no_repeat_ngram_size)));
    }
    if let Some(min) = config.min_new_tokens.filter(|&m| m > 0) {
        all.push(Box::new(MinLength { min, end: config.eos_token_id.clone() }));
    }
    if config.do_sample {
        if config.temperature != 1.0 {
            all.push(Box::new(Temperature(config.temperature as f32)));
        }
        if config.top_k > 0 {
            all.push(Box::new(TopK(config.top_k)));
        }
        if config.top_p < 1.0 {
            all.push(Box::new(TopP(config.top_p as f32)));
        }
        if config.min_p > 0.0 {
            all.push(Box::new(MinP(config.min_p as f32)));
        }
    }
    all
}

#[derive(Debug)]
struct RepetitionPenalty(f32);

impl LogitsProcessor for RepetitionPenalty {
    fn process(&self, logits: &mut [f32], seen: &[i64], _new: usize) {
        for id in seen.iter().copied().collect::<HashSet<_>>() {
            if let Some(l) = usize::try_from(id).ok().and_then(|id| logits.get_mut(id)) {
                *l = if *l < 0.0 { *l * self.0 } else { *l / self.0 };
            }
        }
    }
}

#[derive(Debug)]
struct NoRepeat(usize);

impl LogitsProcessor for NoRepeat {
    fn process(&self, logits: &mut [f32], seen: &[i64], _new: usize) {
        if seen.len() < self.0 {
            return;
        }
        let tail = &seen[seen.len() + 1 - self.0..];
        for run in seen.windows(self.0).filter(|run| &run[..self.0 - 1] == tail) {
            ban(logits, run[self.0 - 1]);
        }
    }
}

#[derive(Debug)]
struct MinLength {
    min: usize,
    end: Vec<i64>,
}

impl LogitsProcessor for MinLength {
    fn process(&self, logits: &mut [f32], _seen: &[i64], new: usize) {
        if new < self.min {
            self.end.iter().for_each(|&id| ban(logits, id));
        }
    }
}

#[derive(Debug)]
struct Temperature(f32);

impl LogitsProcessor for Temperature {
    fn process(&self, logits: &mut [f32], _seen: &[i64], _new: usize) {
        logits.iter_mut().for_each(|l| *l /= self.0);
    }
}

#[derive(Debug)]
struct TopK(usize);

impl LogitsProcessor for TopK {
    fn process(&self, logits: &mut [f32], _seen: &[i64], _new: usize) {
        if self.0 >= logits.len() {
            return;
        }
        let mut sorted = logits.to_vec();
        let (_, least, _) = sorted.select_nth_unstable_by(self.0 - 1, |a, b| b.total_cmp(a));
        let least = *least;
        logits.iter_mut().filter(|l| **l < least).for_each(|l| *l = f32::NEG_INFINITY);
    }
}

#[derive(Debug)]
struct TopP(f32);

impl LogitsProcessor for TopP {
    fn process(&self, logits: &mut [f32], _seen: &[i64], _new: usize) {
        let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let total: f32 = logits.iter().map(|l| (l - max).exp()).sum();
        // Least likely first: what lies within 1 - p from below goes, the likeliest always stays.
        let mut order: Vec<usize> = (0..logits.len()).filter(|&i| logits[i] > f32::NEG_INFINITY).collect();
        order.sort_by(|&a, &b| logits[a].total_cmp(&logits[b]));
        order.pop();
        let mut below = 0.0;
        for i in order {
            below += (logits[i] - max).exp() / total;
            if below > 1.0 - self.0 {
                break;
            }
            logits[i] = f32::NEG_INFINITY;
        }
    }
}

#[derive(Debug)]
struct MinP(f32);

impl LogitsProcessor for MinP {
    fn process(&self, logits: &mut [f32], _seen: &[i64], _new: usize) {
        let least = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max) + self.0.ln();
        logits.iter_mut().filter(|l| **l < least).for_each(|l| *l = f32::NEG_INFINITY);
    }
}

fn ban(logits: &mut [f32], id: i64) {
    if let Some(l) = usize::try_from(id).ok().and_then(|id| logits.get_mut(id)) {
        *l = f32::NEG_INFINITY;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(config: &GenerationConfig, logits: &[f32], seen: &[i64], new: usize) -> Vec<f32> {
        let mut logits = logits.to_vec();
        processors(config).iter().for_each(|p| p.process(&mut logits, seen, new));
        logits
    }

    fn drawn() -> GenerationConfig {
        GenerationConfig { do_sample: true, top_k: 0, ..GenerationConfig::default() }
    }

    const NO: f32 = f32::NEG_INFINITY;

    #[test]
    fn each_rule_does_what_transformers_does() {
        let l = [1.0, -1.0, 3.0, 2.0];
        let config = GenerationConfig { repetition_penalty: 2.0, ..GenerationConfig::default() };
        assert_eq!(after(&config, &l, &[0, 1, 1, -5, 99], 0), [0.5, -2.0, 3.0, 2.0]);
        let config = GenerationConfig { no_repeat_ngram_size: 2, ..GenerationConfig::default() };
        assert_eq!(after(&config, &l, &[1, 2, 0, 1], 0), [1.0, -1.0, NO, 2.0]);
        let config = GenerationConfig { min_new_tokens: Some(2), eos_token_id: vec![2], ..GenerationConfig::default() };
        assert_eq!(after(&config, &l, &[], 1)[2], NO);
        assert_eq!(after(&config, &l, &[], 2)[2], 3.0);
        assert_eq!(after(&GenerationConfig { temperature: 0.5, ..drawn() }, &l, &[], 0), [2.0, -2.0, 6.0, 4.0]);
        assert_eq!(after(&GenerationConfig { top_k: 2, ..drawn() }, &l, &[], 0), [NO, NO, 3.0, 2.0]);
        // Probabilities of l: 0.087, 0.012, 0.644, 0.237...
        assert_eq!(after(&GenerationConfig { top_p: 0.6, ..drawn() }, &l, &[], 0), [NO, NO, 3.0, NO]);
        assert_eq!(after(&GenerationConfig { top_p: 0.85, ..drawn() }, &l, &[], 0), [NO, NO, 3.0, 2.0]);
        assert_eq!(after(&GenerationConfig { min_p: 0.2, ..drawn() }, &l, &[], 0), [NO, NO, 3.0, 2.0]);
        assert_eq!(after(&drawn(), &l, &[], 0), l);
    }
}
