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
use vlm_bench::{open, peak_rss_mib, rss_mib};
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

fn main() -> Result<()> {
    let args = Args::parse();
    let device = open(&args.device, args.threads)?;
    tch::set_num_threads(i32::try_from(args.threads)?);
    let dtype: DType = args.dtype.parse()?;
    let (ops, mut ours, mut bare): (usize, Box<dyn FnMut() -> Result<()>>, Box<dyn FnMut() -> Result<()>>) =
        match args.task {
            Task::Op => (ours::CHAIN, ours::chain(&device, dtype)?, bare::chain(&device, dtype)?),
            task => {
                let s = Sizes::new(args.tokens, args.hidden);
                let train = task == Task::Train;
                (ours::count(&device, dtype, s)?, ours::block(&device, dtype, s, train)?, bare::block(&device, dtype, s, train)?)
            }
        };
    if let Some(side) = args.side {
        let f = if side == Side::Ours { &mut ours } else { &mut bare };
        let before = rss_mib();
        let times = (0..args.runs).map(|_| clock(f)).collect::<Result<Vec<_>>>()?;
        println!(
            "{}",
            json!({"task": format!("{:?}", args.task).to_lowercase(), "side": format!("{side:?}").to_lowercase(), "device": args.device,
                "dtype": args.dtype, "tokens": args.tokens, "hidden": args.hidden, "threads": args.threads,
                "median_s": median(times), "rss_before_mib": before, "peak_rss_mib": peak_rss_mib(), "step_mib": peak_rss_mib() - before})
        );
        return Ok(());
    }
    // Repeated until a run lasts long enough to be timed, the two in turns so that both see the same machine.
    clock(&mut bare)?;
    clock(&mut ours)?;
    let n = (0.02 / clock(&mut bare)?.max(1e-9)).ceil().clamp(1.0, 10_000.0) as usize;
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for run in 0..args.runs {
        let mut many = |f: &mut dyn FnMut() -> Result<()>| -> Result<f64> {
            clock(&mut || (0..n).try_for_each(|_| f())).map(|t| t / n as f64)
        };
        if run % 2 == 0 {
            a.push(many(&mut ours)?);
            b.push(many(&mut bare)?);
        } else {
            b.push(many(&mut bare)?);
            a.push(many(&mut ours)?);
        }
    }
    // Of each pair, so that what slows the machine for a while slows both.
    let ratio = median(a.iter().zip(&b).map(|(a, b)| a / b).collect());
    let apart = median(a.iter().zip(&b).map(|(a, b)| a - b).collect());
    println!(
        "{}",
        json!({"task": format!("{:?}", args.task).to_lowercase(), "device": args.device, "dtype": args.dtype, "tokens": args.tokens,
            "hidden": args.hidden, "threads": args.threads, "operations": ops, "ours_s": median(a), "bare_s": median(b),
            "ratio": ratio, "us_per_operation": apart / ops as f64 * 1e6})
    );
    Ok(())
}
