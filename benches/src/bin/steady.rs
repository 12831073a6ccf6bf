//! A thousand training steps: does memory stay flat, and does the pool serve what is asked for?
#![allow(clippy::print_stdout)] // It is what the program is for.

use anyhow::Result;
use serde_json::json;
use vlm_bench::{open, rss_mib};
use vlm_core::models::clip::ClipVisionConfig;
use vlm_core::models::llava::{Llava, LlavaConfig};
use vlm_core::models::tower::{FeatureLayers, TowerConfig};
use vlm_core::models::{Model, VisionLanguageModel, VlmBatch};
use vlm_core::nn::{Builder, Initializer};
use vlm_core::train::optim::{AdamW, AdamWOptions, Optimizer, collect};
use vlm_core::{DType, Tensor};

const STEPS: usize = 1000;

fn config() -> LlavaConfig {
    let vision = ClipVisionConfig {
        hidden_size: 64,
        intermediate_size: 128,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        image_size: 16,
        patch_size: 4,
        ..ClipVisionConfig::default()
    };
    let mut config = LlavaConfig { image_token_index: 1, ..LlavaConfig::default() };
    (config.vision_config, config.vision_feature_layer) = (TowerConfig::Clip(vision), FeatureLayers::One(-1));
    (config.text_config.hidden_size, config.text_config.intermediate_size) = (96, 256);
    (config.text_config.num_hidden_layers, config.text_config.num_attention_heads) = (3, 4);
    config.text_config.vocab_size = 512;
    config
}

fn main() -> Result<()> {
    let device = open("cpu", std::thread::available_parallelism().map_or(1, usize::from))?;
    let model = Llava::new(&Builder::new(Initializer { seed: 1 }, DType::F32, &device), config())?;
    model.modules().set_trainable(|name| !name.contains("post_layernorm"))?;
    let params = model.modules().trainable();
    let mut optimizer = AdamW::new(AdamWOptions::default());
    let (mut early, mut before) = (0.0, device.kernels().memory_stats());
    for step in 0..STEPS {
        // Rows of another length each time, as in real data.
        let text = 8 + step % 13;
        let row = |r: usize| {
            (0..16).map(|_| 1).chain((0..text).map(|i| 2 + ((r * 31 + i * 7 + step) % 500) as i64)).collect()
        };
        let ids: Vec<Vec<i64>> = (0..8).map(row).collect();
        let labels = ids.iter().map(|r| r.iter().map(|&t| if t == 1 { -100 } else { t }).collect()).collect();
        let pixels = Tensor::ones([8, 3, 16, 16], DType::F32, &device)?;
        let batch =
            VlmBatch { input_ids: ids, labels: Some(labels), images: Some(pixels.into()), ..VlmBatch::default() };
        let mut grads = model.loss(&batch)?.mean()?.backward()?;
        let grads = collect(&params, &mut grads, false)?;
        optimizer.step(&params, &grads, 1e-4, 1.0)?;
        if step == 50 {
            (early, before) = (rss_mib(), device.kernels().memory_stats());
        }
    }
    let after = device.kernels().memory_stats();
    let (reused, fresh) = (after.reused - before.reused, after.fresh - before.fresh);
    println!(
        "{}",
        json!({
            "steps": STEPS, "rss_mib_at_50": early, "rss_mib_at_end": rss_mib(), "allocations": reused + fresh,
            "reused_share": reused as f64 / (reused + fresh).max(1) as f64,
        })
    );
    Ok(())
}
