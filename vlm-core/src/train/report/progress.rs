//! How far a run is, how fast, and how long it still takes: numbers and one line of text.

use super::jsonl::LogEntry;
use super::metrics::Elapsed;
use std::collections::VecDeque;
use std::time::Duration;

/// Where a program shows progress: a bar, a log, nowhere (`()`). The library calls it, the program implements it.
pub trait ProgressSink: Send {
    /// A step is done.
    fn step(&mut self, progress: &Progress);
    /// Something worth a line of its own: a checkpoint was saved, an evaluation is done.
    fn message(&mut self, text: &str);
    /// The run is over, complete or not.
    fn finish(&mut self, progress: &Progress);
}

impl ProgressSink for () {
    fn step(&mut self, _: &Progress) {}
    fn message(&mut self, _: &str) {}
    fn finish(&mut self, _: &Progress) {}
}

/// Counts steps and tokens of a run and tells rate and remaining time.
#[derive(Clone, Debug)]
pub struct Progress {
    /// Steps done, those of resumed parts included.
    pub current_steps: u64,
    /// Steps in the whole run.
    pub total_steps: u64,
    /// Passes over the data so far.
    pub epoch: f64,
    /// The last step's loss.
    pub loss: f64,
    /// The last step's learning rate.
    pub lr: f64,
    /// The last step's gradient norm before clipping, if it was computed.
    pub grad_norm: Option<f64>,
    /// Tokens seen, those of resumed parts included.
    pub total_tokens: u64,
    elapsed: Elapsed,
    /// When a recent step ended (time of this part) and the token count then.
    recent: VecDeque<(Duration, u64)>,
}

/// Rates are taken over this many steps: steady, yet a change shows soon.
const WINDOW: usize = 64;

impl Progress {
    /// Starts (or, with `done` steps and `before` time behind it, continues) a run of `total_steps`.
    pub fn new(total_steps: u64, done: u64, total_tokens: u64, before: Duration) -> Self {
        Progress {
            current_steps: done,
            total_steps,
            epoch: 0.0,
            loss: f64::NAN,
            lr: 0.0,
            grad_norm: None,
            total_tokens,
            elapsed: Elapsed::start(before),
            recent: VecDeque::from([(Duration::ZERO, total_tokens)]),
        }
    }

    /// One more step is done, over `tokens` tokens.
    pub fn step(&mut self, loss: f64, lr: f64, epoch: f64, tokens: u64) {
        self.record(loss, lr, epoch, tokens, self.elapsed.this_part());
    }

    fn record(&mut self, loss: f64, lr: f64, epoch: f64, tokens: u64, now: Duration) {
        self.current_steps += 1;
        self.total_tokens += tokens;
        (self.loss, self.lr, self.epoch) = (loss, lr, epoch);
        self.recent.push_back((now, self.total_tokens));
        if self.recent.len() > WINDOW + 1 {
            self.recent.pop_front();
        }
    }

    /// Steps, time and tokens within the window; `None` before the first step or when no time has passed.
    fn window(&self) -> Option<(f64, f64, f64)> {
        let (first, last) = (self.recent.front()?, self.recent.back()?);
        let seconds = last.0.checked_sub(first.0)?.as_secs_f64();
        let steps = (self.recent.len() - 1) as f64;
        (seconds > 0.0).then_some((steps, seconds, last.1.saturating_sub(first.1) as f64))
    }

    /// Time since the start, all parts of a resumed run together.
    pub fn elapsed(&self) -> Duration {
        self.elapsed.total()
    }

    /// Recent tokens per second; 0 before the first step.
    pub fn tokens_per_second(&self) -> f64 {
        self.window().map_or(0.0, |(_, seconds, tokens)| tokens / seconds)
    }

    /// Recent steps per second; 0 before the first step.
    pub fn steps_per_second(&self) -> f64 {
        self.window().map_or(0.0, |(steps, seconds, _)| steps / seconds)
    }

    /// Time to the end at the recent rate; `None` before the first step.
    pub fn remaining(&self) -> Option<Duration> {
        let (steps, seconds, _) = self.window()?;
        let left = self.total_steps.saturating_sub(self.current_steps) as f64;
        Duration::try_from_secs_f64(left * seconds / steps).ok()
    }

    /// Percentage of steps done.
    pub fn percentage(&self) -> f64 {
        if self.total_steps == 0 { 100.0 } else { 100.0 * self.current_steps as f64 / self.total_steps as f64 }
    }

    /// One line: `step 120/400 · loss 0.4312 · lr 9.8e-5 · 1.2k tok/s · ETA 2:05`.
    pub fn line(&self) -> String {
        let eta = self.remaining().map_or_else(|| "?".to_owned(), clock);
        let norm = self.grad_norm.map_or_else(String::new, |n| format!(" · norm {n:.3}"));
        format!(
            "step {}/{} · loss {:.4} · lr {:.3e}{norm} · {} tok/s · ETA {eta}",
            self.current_steps,
            self.total_steps,
            self.loss,
            self.lr,
            short(self.tokens_per_second())
        )
    }

    /// The state as a line of `trainer_log.jsonl`.
    pub fn log_entry(&self) -> LogEntry {
        LogEntry {
            current_steps: self.current_steps,
            total_steps: self.total_steps,
            loss: Some(self.loss),
            lr: Some(self.lr),
            epoch: self.epoch,
            percentage: (self.percentage() * 100.0).round() / 100.0,
            elapsed_time: clock(self.elapsed()),
            remaining_time: self.remaining().map_or_else(|| "?".to_owned(), clock),
            throughput: Some((self.tokens_per_second() * 100.0).round() / 100.0),
            total_tokens: Some(self.total_tokens),
            grad_norm: self.grad_norm,
            ..LogEntry::default()
        }
    }
}

/// `h:mm:ss`, with days in front where there are any, as Python prints a `timedelta` (and so LLaMA-Factory).
pub fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let text = format!("{}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60);
    match days {
        0 => text,
        1 => format!("1 day, {text}"),
        n => format!("{n} days, {text}"),
    }
}

/// A number with at most three digits and a unit: `950`, `1.25k`, `3.40M`.
fn short(value: f64) -> String {
    match value {
        v if v.is_nan() || v < 0.0 => "?".to_owned(),
        v if v < 999.5 => format!("{v:.0}"),
        v if v < 999.5e3 => format!("{:.2}k", v / 1e3),
        v => format!("{:.2}M", v / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_and_remaining_time_follow_recent_steps() {
        let mut p = Progress::new(300, 100, 5_000, Duration::from_secs(3600));
        assert!(p.remaining().is_none() && p.line().ends_with("0 tok/s · ETA ?"), "{}", p.line());
        for i in 1..=100u64 {
            // The first steps are slow (warming up); the window forgets them.
            let at = if i < 30 { Duration::from_secs(i * 10) } else { Duration::from_secs(300 + i) };
            p.record(0.5, 1e-4, 1.5, 1_250, at);
        }
        assert_eq!((p.current_steps, p.total_tokens), (200, 130_000));
        assert_eq!(p.remaining(), Some(Duration::from_secs(100)));
        assert_eq!(p.line(), "step 200/300 · loss 0.5000 · lr 1.000e-4 · 1.25k tok/s · ETA 0:01:40");
        let entry = p.log_entry();
        assert_eq!((entry.percentage, entry.throughput, entry.total_tokens), (66.67, Some(1250.0), Some(130_000)));
        assert_eq!((entry.elapsed_time.as_str(), entry.remaining_time.as_str()), ("1:00:00", "0:01:40"));
    }

    #[test]
    fn times_and_counts_are_short() {
        for (seconds, want) in
            [(0, "0:00:00"), (3725, "1:02:05"), (86_400, "1 day, 0:00:00"), (200_000, "2 days, 7:33:20")]
        {
            assert_eq!(clock(Duration::from_secs(seconds)), want);
        }
        for (value, want) in [(0.0, "0"), (999.4, "999"), (999.6, "1.00k"), (1_234_567.0, "1.23M"), (f64::NAN, "?")] {
            assert_eq!(short(value), want);
        }
        assert_eq!(Progress::new(0, 0, 0, Duration::ZERO).percentage(), 100.0);
    }
}
