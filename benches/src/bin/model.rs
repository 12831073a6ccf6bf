//! One measurement of a whole model, as a JSON line.
#![allow(clippy::print_stdout, clippy::print_stderr)] // It is what the program is for.

use anyhow::Result;
use clap::{Parser, ValueEnum};
use serde_json::json;
use std::path::PathBuf;
use std::time::Instant;
use vlm_bench::{Times, open, peak_rss_mib, pictures};
use vlm_core::autograd::no_grad;
use vlm_core::lora::peft_config::ModuleNames;
use vlm_core::lora::{LoraAdapter, PeftConfig};
use vlm_core::models::{
    Images, ModelPart, VisionLanguageModel, VlmBatch, auto, load, read_config, set_trainable_parts,
};
use vlm_core::nn::{Builder, Initializer};
use vlm_core::train::optim::{AdamW, AdamWOptions, Optimizer, collect};
use vlm_core::{DType, Device};

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Task {
    /// Pictures through tower and projector.
    Encode,
    /// A prompt of `--seq` tokens.
    Prefill,
    /// `--new-tokens` tokens after a prompt of `--seq`, one at a time.
    Decode,
    /// A training step of all weights.
    Train,
    /// A training step of a LoRA adapter (r 8, all linear layers of the language model).
    Lora,
}

#[derive(Parser)]
#[command(about = "Measures one task of a model on a device")]
struct Arguments {
    /// The model's folder; without weights in it they are random.
    #[arg(long)]
    model: PathBuf,
    #[arg(long, default_value = "cpu")]
    device: String,
    #[arg(long, default_value = "f32")]
    dtype: DType,
    #[arg(long, default_value_t = std::thread::available_parallelism().map_or(1, usize::from))]
    threads: usize,
    #[arg(long, value_enum)]
    task: Task,
    #[arg(long, default_value_t = 1)]
    batch: usize,
    /// Tokens of a row, those of pictures included.
    #[arg(long, default_value_t = 128)]
    seq: usize,
    /// Pictures of a row (for encode: in all).
    #[arg(long, default_value_t = 0)]
    images: usize,
    #[arg(long, default_value_t = 32)]
    new_tokens: usize,
    #[arg(long, default_value_t = 5)]
    runs: usize,
}

struct Bench {
    arguments: Arguments,
    model: Box<dyn VisionLanguageModel>,
    device: Device,
}

impl Bench {
    /// Qwen2-VL has the settings of the language model at the top.
    fn vocabulary(&self) -> i64 {
        let config = self.model.config();
        config["text_config"]["vocab_size"].as_i64().or(config["vocab_size"].as_i64()).unwrap_or(1000)
    }

    fn images(&self, pictures: usize) -> Result<Images> {
        pictures::noise(&*self.model, pictures, self.arguments.dtype)
    }

    /// Rows of pictures first and text after, the same at every call.
    fn batch(&self, labels: bool) -> Result<VlmBatch> {
        let Arguments { batch, seq, images, .. } = self.arguments;
        let pixels = if images > 0 { Some(self.images(batch * images)?) } else { None };
        let per_row = match &pixels {
            Some(pixels) => no_grad(|| self.model.image_features(pixels))?.shape()[0] / batch,
            None => 0,
        };
        anyhow::ensure!(per_row < seq, "{images} pictures take {per_row} tokens, which leaves no text of --seq {seq}");
        let vocabulary = self.vocabulary();
        let id = |row: usize, i: usize| match i {
            i if i < per_row => self.model.image_token_id(),
            i => ((row * 31 + i * 7) as i64 % (vocabulary - 1)).max(1),
        };
        let plain = |id: i64| if id == self.model.image_token_id() { 1 } else { id };
        let rows: Vec<Vec<i64>> = (0..batch)
            .map(|row| (0..seq).map(|i| if i < per_row { id(row, i) } else { plain(id(row, i)) }).collect())
            .collect();
        let labels = labels.then(|| {
            rows.iter()
                .map(|r| r.iter().enumerate().map(|(i, &t)| if i < per_row { -100 } else { t }).collect())
                .collect()
        });
        Ok(VlmBatch { input_ids: rows, images: pixels, labels, ..VlmBatch::default() })
    }

    fn times(&self, mut f: impl FnMut() -> Result<f64>) -> Result<Times> {
        f()?;
        (0..self.arguments.runs).map(|_| f()).collect::<Result<_>>().map(Times)
    }

    fn clocked(&self, f: impl FnOnce() -> Result<()>) -> Result<f64> {
        let start = Instant::now();
        f()?;
        self.device.synchronize()?;
        Ok(start.elapsed().as_secs_f64())
    }

    /// Reads a prompt; returns the most likely next tokens.
    fn next(&self, batch: &VlmBatch, cache: &mut vlm_core::nn::KvCache) -> Result<Vec<i64>> {
        Ok(no_grad(|| {
            let hidden = self.model.hidden_states(batch, Some(cache))?;
            let last = hidden.select(1, hidden.size(1)? - 1)?;
            self.model.logits(&last)?.argmax(-1, false)?.to_vec()
        })?)
    }

    /// Times, tokens and pictures of one run.
    fn run(&self) -> Result<(Times, usize, usize)> {
        let Arguments { batch, seq, images, new_tokens, .. } = self.arguments;
        match self.arguments.task {
            Task::Encode => {
                let pixels = self.images(images.max(1))?;
                let times =
                    self.times(|| self.clocked(|| Ok(no_grad(|| self.model.image_features(&pixels)).map(drop)?)))?;
                Ok((times, 0, images.max(1)))
            }
            Task::Prefill => {
                let prompt = self.batch(false)?;
                let times = self.times(|| {
                    let mut cache = self.model.new_cache(seq)?;
                    self.clocked(|| self.next(&prompt, &mut cache).map(drop))
                })?;
                Ok((times, batch * seq, batch * images))
            }
            Task::Decode => {
                let prompt = self.batch(false)?;
                let times = self.times(|| {
                    let mut cache = self.model.new_cache(seq + new_tokens)?;
                    let mut ids = self.next(&prompt, &mut cache)?;
                    self.clocked(|| {
                        for _ in 0..new_tokens {
                            let one =
                                VlmBatch { input_ids: ids.iter().map(|&id| vec![id]).collect(), ..VlmBatch::default() };
                            ids = self.next(&one, &mut cache)?;
                        }
                        Ok(())
                    })
                })?;
                Ok((times, batch * new_tokens, 0))
            }
            Task::Train => {
                set_trainable_parts(&*self.model, &ModelPart::ALL)?;
                self.train()
            }
            Task::Lora => {
                let (model, config) = (&*self.model, PeftConfig::new(8, 16.0, ModuleNames::AllLinear));
                let text = |path: &str| model.part(path) == ModelPart::LanguageModel;
                let _adapter = LoraAdapter::inject_where(model, "default", config, 1, text)?;
                self.train()
            }
        }
    }

    fn train(&self) -> Result<(Times, usize, usize)> {
        let data = self.batch(true)?;
        let mut optimizer = AdamW::new(AdamWOptions::default());
        let params = self.model.modules().trainable();
        let times = self.times(|| {
            self.clocked(|| {
                let mut grads = self.model.loss(&data)?.mean()?.backward()?;
                // Without pictures the tower takes no part and has no gradient.
                let grads = collect(&params, &mut grads, self.arguments.images == 0)?;
                Ok(optimizer.step(&params, &grads, 1e-4, 1.0)?)
            })
        })?;
        Ok((times, self.arguments.batch * self.arguments.seq, self.arguments.batch * self.arguments.images))
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let device = open(&arguments.device, arguments.threads)?;
    let start = Instant::now();
    let has_weights =
        ["model.safetensors", "model.safetensors.index.json"].iter().any(|f| arguments.model.join(f).exists());
    let model = if has_weights {
        load(&arguments.model, Some(arguments.dtype), &device)?
    } else {
        eprintln!("{} holds no weights: they are random", arguments.model.display());
        auto::build(&Builder::new(Initializer { seed: 1 }, arguments.dtype, &device), &read_config(&arguments.model)?)?
            .vision_language()?
    };
    let load_s = start.elapsed().as_secs_f64();
    let bench = Bench { arguments, model, device };
    let (times, tokens, images) = bench.run()?;
    let s = times.median();
    let per_s = |n: usize| if n > 0 { json!(n as f64 / s) } else { json!(null) };
    let Arguments { task, device, dtype, threads, .. } = &bench.arguments;
    let line = json!({
        "task": format!("{task:?}").to_lowercase(), "device": device, "dtype": dtype.name(), "threads": threads,
        "median_s": s, "runs_s": times.0, "tokens_per_s": per_s(tokens), "images_per_s": per_s(images),
        "peak_rss_mib": peak_rss_mib(), "load_s": load_s,
    });
    println!("{line}");
    Ok(())
}
