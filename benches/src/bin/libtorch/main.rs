//! What our stack costs above bare libtorch: the same transformer block as our tensors compute it and as tch does, one
//! after the other in turns. One JSON line.
//!
//! `--task op` adds single elements, `block` runs the block forward, `train` runs it forward and back: our tape beside
//! libtorch's autograd. With `--side` one of them alone runs, which is how the memory of a training step is measured.
#![allow(clippy::print_stdout)] // It is what the program is for.

mod bare;
mod ours;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use serde_json::json;
use std::time::Instant;
use vlm_bench::{open, peak_rss_mib, reset_peak_rss, rss_mib};
use vlm_core::DType;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Task {
    Op,
    Block,
    Train,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Side {
    Ours,
    Bare,
}

#[derive(Debug, Parser)]
#[command(about = "Our stack beside bare libtorch")]
struct Args {
    #[arg(long, default_value = "torch-cpu")]
    device: String,
    #[arg(long, default_value = "f32")]
    dtype: String,
    #[arg(long, default_value_t = 1)]
    threads: usize,
    #[arg(long, value_enum)]
    task: Task,
    /// One side alone.
    #[arg(long, value_enum)]
    side: Option<Side>,
    /// With `--side`: both sides' tensors come from our pool, which counts them.
    #[arg(long)]
    counted: bool,
    /// Tokens; channels of the block; pairs of runs.
    #[arg(long, default_value_t = 1024)]
    tokens: usize,
    #[arg(long, default_value_t = 1024)]
    hidden: usize,
    #[arg(long, default_value_t = 15)]
    runs: usize,
}

/// The block's sizes.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    tokens: usize,
    hidden: usize,
    heads: usize,
    kv_heads: usize,
    inner: usize,
}

impl Sizes {
    fn new(tokens: usize, hidden: usize) -> Self {
        let heads = (hidden / 64).max(2);
        Sizes { tokens, hidden, heads, kv_heads: heads / 2, inner: hidden * 11 / 4 }
    }

    fn head(self) -> usize {
        self.hidden / self.heads
    }

    /// Names are those of Llama; the shapes of all weights.
    fn weights(self) -> Vec<Vec<usize>> {
        let (h, kv, i) = (self.hidden, self.kv_heads * self.head(), self.inner);
        vec![vec![h], vec![h, h], vec![kv, h], vec![kv, h], vec![h, h], vec![h], vec![i, h], vec![i, h], vec![h, i]]
    }
}

/// Seconds of one call.
fn clock(f: &mut dyn FnMut() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    f()?;
    Ok(start.elapsed().as_secs_f64())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

type Run = Box<dyn FnMut() -> Result<()>>;

/// The side's work, made ready.
fn make(args: &Args, side: Side) -> Result<Run> {
    let dtype: DType = args.dtype.parse()?;
    let (s, train) = (Sizes::new(args.tokens, args.hidden), args.task == Task::Train);
    if side == Side::Bare {
        let place = bare::place(&args.device, dtype);
        return if args.task == Task::Op { bare::chain(place) } else { bare::block(place, s, train) };
    }
    let device = open(&args.device, args.threads)?;
    if args.task == Task::Op { ours::chain(&device, dtype) } else { ours::block(&device, dtype, s, train) }
}

fn main() -> Result<()> {
    let args = Args::parse();
    tch::set_num_threads(i32::try_from(args.threads)?);
    let line = match args.side {
        Some(side) => alone(&args, side)?,
        None => together(&args)?,
    };
    println!("{line}");
    Ok(())
}

fn word(value: impl std::fmt::Debug) -> String {
    format!("{value:?}").to_lowercase()
}

/// One side in a process of its own. Without us nothing of ours is there: libtorch has its own allocator.
fn alone(args: &Args, side: Side) -> Result<serde_json::Value> {
    let counter = if args.counted || side == Side::Ours { Some(open(&args.device, args.threads)?) } else { None };
    let mut run = make(args, side)?;
    let mut held = None;
    if let Some(device) = &counter {
        device.kernels().trim()?;
        held = Some(device.kernels().memory_stats().allocated);
    }
    let before = rss_mib();
    reset_peak_rss();
    let first = clock(&mut run)?;
    let step = peak_rss_mib() - before;
    let times = (0..args.runs).map(|_| clock(&mut run)).collect::<Result<Vec<_>>>()?;
    let counted = counter.zip(held).map(|(device, held)| {
        let peak = device.kernels().memory_stats().peak_allocated;
        peak.saturating_sub(held) as f64 / f64::from(1 << 20)
    });
    Ok(json!({
        "task": word(args.task), "side": word(side), "device": args.device, "dtype": args.dtype, "tokens": args.tokens,
        "hidden": args.hidden, "threads": args.threads, "first_s": first, "median_s": median(times),
        "rss_before_mib": before, "first_step_mib": step, "peak_mib": peak_rss_mib() - before,
        "peak_allocated_mib": counted,
    }))
}

/// Both in turns, so that what slows the machine for a while slows both.
fn together(args: &Args) -> Result<serde_json::Value> {
    let (mut ours, mut bare) = (make(args, Side::Ours)?, make(args, Side::Bare)?);
    let device = open(&args.device, args.threads)?;
    let operations = match args.task {
        Task::Op => ours::CHAIN,
        _ => ours::count(&device, args.dtype.parse()?, Sizes::new(args.tokens, args.hidden))?,
    };
    clock(&mut bare)?;
    clock(&mut ours)?;
    // Repeated until a run lasts long enough to be timed.
    let n = (0.02 / clock(&mut bare)?.max(1e-9)).ceil().clamp(1.0, 10_000.0) as usize;
    let many = |f: &mut Run| clock(&mut || (0..n).try_for_each(|_| f())).map(|t| t / n as f64);
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for run in 0..args.runs {
        if run % 2 == 0 {
            a.push(many(&mut ours)?);
            b.push(many(&mut bare)?);
        } else {
            b.push(many(&mut bare)?);
            a.push(many(&mut ours)?);
        }
    }
    let ratio = median(a.iter().zip(&b).map(|(a, b)| a / b).collect());
    let apart = median(a.iter().zip(&b).map(|(a, b)| a - b).collect());
    Ok(json!({
        "task": word(args.task), "device": args.device, "dtype": args.dtype, "tokens": args.tokens, "hidden": args.hidden,
        "threads": args.threads, "operations": operations, "ours_s": median(a), "bare_s": median(b), "ratio": ratio,
        "us_per_operation": apart / operations as f64 * 1e6,
    }))
}
