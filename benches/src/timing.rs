//! The clock.

use std::time::{Duration, Instant};

/// Seconds per call, one for each run, in the order they were taken.
#[derive(Clone, Debug)]
pub struct Times(pub Vec<f64>);

impl Times {
    /// The middle one.
    pub fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
    }
}

/// Times `f`, which is told the number of the call: warmed up, repeated so that a run takes `least`, `runs` times.
///
/// # Errors
/// Those of `f`.
pub fn time<E>(runs: usize, least: Duration, mut f: impl FnMut(usize) -> Result<(), E>) -> Result<Times, E> {
    let mut call = 0;
    let mut run = |n: usize| -> Result<Duration, E> {
        let start = Instant::now();
        for _ in 0..n {
            f(call)?;
            call += 1;
        }
        Ok(start.elapsed())
    };
    let mut n = 1;
    while run(n)? < least {
        n *= 2;
    }
    (0..runs).map(|_| Ok(run(n)?.as_secs_f64() / n as f64)).collect::<Result<_, E>>().map(Times)
}
