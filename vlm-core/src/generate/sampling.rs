//! Choosing a token.

use crate::random::Rng;
use crate::{Error, ErrorKind, Result};

/// The most likely token, the first of equals; with `rng` one drawn by its probability.
///
/// # Errors
/// [`ErrorKind::NonFinite`] if a logit is NaN or no token is left.
pub fn sample(logits: &[f32], rng: Option<&mut Rng>) -> Result<usize> {
    let bad = |what: &str| {
        let error = Error::new(ErrorKind::NonFinite, "generate", format!("{what} among {} logits", logits.len()));
        Err(error.hint("the weights or the inputs hold NaN, or the rules for the next token exclude every one"))
    };
    if logits.iter().any(|l| l.is_nan() || *l == f32::INFINITY) {
        return bad("a NaN or infinity");
    }
    let Some((best, max)) = logits.iter().copied().enumerate().reduce(|a, b| if b.1 > a.1 { b } else { a }) else {
        return bad("nothing");
    };
    if max == f32::NEG_INFINITY {
        return bad("no possible token");
    }
    let Some(rng) = rng else { return Ok(best) };
    let weight = |l: f32| f64::from(l - max).exp();
    let total: f64 = logits.iter().map(|&l| weight(l)).sum();
    let mut left = rng.uniform() * total;
    for (i, &l) in logits.iter().enumerate() {
        left -= weight(l);
        if left < 0.0 {
            return Ok(i);
        }
    }
    Ok(best)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::RandomKey;

    #[test]
    fn draws_follow_the_probabilities_and_the_seed() {
        let logits = [0.0f32, f32::NEG_INFINITY, 1.0, 2.0];
        let draw = |seed| {
            let mut rng = Rng::new(RandomKey { seed, stream: 0 });
            (0..20_000).map(|_| sample(&logits, Some(&mut rng)).unwrap()).collect::<Vec<_>>()
        };
        let drawn = draw(1);
        let total: f64 = [0.0f64, 1.0, 2.0].iter().map(|l| l.exp()).sum();
        for (id, p) in [(0, 1.0 / total), (1, 0.0), (2, 1f64.exp() / total), (3, 2f64.exp() / total)] {
            let share = drawn.iter().filter(|&&d| d == id).count() as f64 / 20_000.0;
            assert!((share - p).abs() < 0.015, "{id}: {share} for {p}");
        }
        assert_eq!(drawn, draw(1));
        assert_ne!(drawn, draw(2));
    }

    #[test]
    fn the_first_of_the_likeliest_is_taken_and_nan_refused() {
        assert_eq!(sample(&[1.0, 3.0, 3.0], None).unwrap(), 1);
        for bad in [&[1.0, f32::NAN][..], &[f32::NEG_INFINITY; 3], &[]] {
            assert_eq!(sample(bad, None).unwrap_err().kind(), ErrorKind::NonFinite);
        }
    }
}
