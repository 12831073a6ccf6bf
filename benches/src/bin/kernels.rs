//! Kernels beside the machine's limits, one JSON line each.
#![allow(clippy::print_stdout)] // It is what the program is for.

use anyhow::Result;
use clap::Parser;
use serde_json::json;
use std::time::Duration;
use vlm_bench::{Times, limits, open, time};
use vlm_core::autograd::no_grad;
use vlm_core::backend::RandomKey;
use vlm_core::tensor::AttentionOptions;
use vlm_core::{DType, Device, Tensor};

#[derive(Parser)]
#[command(about = "Times matrix products, attention, norms and softmax beside the machine's limits")]
struct Arguments {
    /// The device, such as cpu.
    #[arg(long, default_value = "cpu")]
    device: String,
    /// The element type: f32, bf16 or f16.
    #[arg(long, default_value = "f32")]
    dtype: DType,
    /// Threads of the device cpu.
    #[arg(long, default_value_t = std::thread::available_parallelism().map_or(1, usize::from))]
    threads: usize,
    /// Fewer and shorter runs.
    #[arg(long)]
    quick: bool,
    /// Only kernels whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
}

/// Rows and columns of the weights: n x k.
const SHAPES: [(usize, usize); 7] =
    [(576, 576), (1536, 576), (768, 768), (3072, 768), (768, 3072), (8960, 1536), (1536, 8960)];
/// Weights in turn, so that they come from memory.
const ROTATED: usize = 128 << 20;

struct Bench {
    arguments: Arguments,
    device: Device,
    limit_gflops: f64,
    limit_gb_s: f64,
}

impl Bench {
    fn randn(&self, shape: &[usize], stream: u64) -> Result<Tensor> {
        Ok(Tensor::randn(shape, RandomKey { seed: 1, stream }, self.arguments.dtype, &self.device)?)
    }

    fn time(&self, f: impl Fn(usize) -> vlm_core::Result<()>) -> Result<Times> {
        let (runs, least) = if self.arguments.quick { (3, 20) } else { (7, 100) };
        Ok(no_grad(|| {
            time(runs, Duration::from_millis(least), |i| {
                f(i)?;
                self.device.synchronize()
            })
        })?)
    }

    /// Prints one line; `flops` and `bytes` are those of one call, 0 where they mean nothing.
    fn print(&self, kernel: &str, [m, n, k]: [usize; 3], times: &Times, flops: f64, bytes: f64) {
        let s = times.median();
        let line = json!({
            "kernel": kernel, "dtype": self.arguments.dtype.name(), "threads": self.arguments.threads, "m": m, "n": n, "k": k,
            "median_s": s, "gflops": flops / s / 1e9, "gb_s": bytes / s / 1e9,
            "limit_gflops": self.limit_gflops, "limit_gb_s": self.limit_gb_s,
        });
        println!("{line}");
    }

    fn wanted(&self, kernel: &str) -> bool {
        kernel.contains(&self.arguments.only)
    }

    fn matmuls(&mut self) -> Result<()> {
        for (n, k) in SHAPES {
            let size = self.arguments.dtype.size();
            let weights: Vec<Tensor> =
                (0..ROTATED.div_ceil(n * k * size)).map(|i| self.randn(&[n, k], i as u64)).collect::<Result<_>>()?;
            for m in [1, 128, 1024] {
                // The machine's limits drift: measured beside what they are compared with.
                if m == 1 {
                    self.limit_gb_s = limits::gb_per_s(self.arguments.threads);
                } else {
                    self.limit_gflops = limits::gflops(self.arguments.dtype, self.arguments.threads);
                }
                let x = self.randn(&[m, k], 1000)?;
                let times = self.time(|i| x.linear(&weights[i % weights.len()], None).map(drop))?;
                self.print("matmul", [m, n, k], &times, 2.0 * (m * n * k) as f64, (n * k * size) as f64);
            }
        }
        Ok(())
    }

    fn attention(&self, name: &str, heads: usize, kv: usize, s: usize, causal: bool) -> Result<()> {
        let d = 64;
        let (q, k, v) =
            (self.randn(&[1, heads, s, d], 1)?, self.randn(&[1, kv, s, d], 2)?, self.randn(&[1, kv, s, d], 3)?);
        let options = AttentionOptions { causal, ..AttentionOptions::default() };
        let share = if causal { 0.5 } else { 1.0 };
        let flops = 4.0 * (heads * s * s * d) as f64 * share;
        let times = self.time(|_| q.scaled_dot_product_attention(&k, &v, &options).map(drop))?;
        self.print(&format!("{name}_forward"), [s, heads, d], &times, flops, 0.0);
        let leaves = [q.requires_grad()?, k.requires_grad()?, v.requires_grad()?];
        let (runs, least) = if self.arguments.quick { (3, 20) } else { (7, 100) };
        let grad = self.randn(&[1, heads, s, d], 4)?;
        let times = time(runs, Duration::from_millis(least), |_| -> vlm_core::Result<()> {
            leaves[0].scaled_dot_product_attention(&leaves[1], &leaves[2], &options)?.backward_with(&grad)?;
            self.device.synchronize()
        })?;
        // Backward has five products where forward has two.
        self.print(&format!("{name}_both"), [s, heads, d], &times, flops * 3.5, 0.0);
        Ok(())
    }

    fn rows(&self) -> Result<()> {
        let (m, n) = (1024, 2048);
        let (x, w) = (self.randn(&[m, n], 1)?, self.randn(&[n], 2)?);
        let bytes = (2 * m * n * self.arguments.dtype.size()) as f64;
        let print = |name: &str, times: Times| self.print(name, [m, n, 0], &times, 0.0, bytes);
        print("rms_norm", self.time(|_| x.rms_norm(Some(&w), 1e-5, 0.0).map(drop))?);
        print("layer_norm", self.time(|_| x.layer_norm(Some(&w), Some(&w), 1e-5).map(drop))?);
        print("softmax", self.time(|_| x.softmax(-1).map(drop))?);
        Ok(())
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let device = open(&arguments.device, arguments.threads)?;
    let (limit_gflops, limit_gb_s) =
        (limits::gflops(arguments.dtype, arguments.threads), limits::gb_per_s(arguments.threads));
    let mut bench = Bench { arguments, device, limit_gflops, limit_gb_s };
    if bench.wanted("matmul") {
        bench.matmuls()?;
    }
    if bench.wanted("attention") {
        bench.attention("attention", 12, 12, 1024, false)?;
        bench.attention("attention_causal_grouped", 9, 3, 1152, true)?;
    }
    if bench.wanted("rows") {
        bench.rows()?;
    }
    Ok(())
}
