//! A training step of a small model.

use criterion::{Criterion, criterion_group, criterion_main};
use vlm_core::models::clip::ClipVisionConfig;
use vlm_core::models::llava::{Llava, LlavaConfig};
use vlm_core::models::tower::TowerConfig;
use vlm_core::models::{Model, VisionLanguageModel, VlmBatch};
use vlm_core::nn::{Builder, Initializer};
use vlm_core::train::optim::{AdamW, AdamWOptions, Optimizer, collect};
use vlm_core::{DType, Result};

fn step(c: &mut Criterion) {
    let device = vlm_bench::open("cpu", 2).expect("the device opens");
    let vision = ClipVisionConfig {
        hidden_size: 64,
        intermediate_size: 128,
        num_hidden_layers: 1,
        num_attention_heads: 4,
        ..ClipVisionConfig::default()
    };
    let mut config = LlavaConfig { image_token_index: 1, ..LlavaConfig::default() };
    config.vision_config = TowerConfig::Clip(vision);
    config.text_config.vocab_size = 512;
    config.text_config.hidden_size = 128;
    config.text_config.intermediate_size = 384;
    config.text_config.num_hidden_layers = 4;
    config.text_config.num_attention_heads = 4;
    for dtype in [DType::F32, DType::BF16] {
        let model =
            Llava::new(&Builder::new(Initializer { seed: 1 }, dtype, &device), config.clone()).expect("it is sound");
        model.modules().set_trainable(|name| name.starts_with("language_model")).expect("floats");
        let params = model.modules().trainable();
        let ids: Vec<Vec<i64>> = (0..8).map(|r| (0..64).map(|i| 2 + (r * 31 + i * 7) % 500).collect()).collect();
        let batch = VlmBatch { labels: Some(ids.clone()), input_ids: ids, ..VlmBatch::default() };
        let mut optimizer = AdamW::new(AdamWOptions::default());
        let mut step = || -> Result<()> {
            let mut grads = model.loss(&batch)?.mean()?.backward()?;
            let grads = collect(&params, &mut grads, false)?;
            optimizer.step(&params, &grads, 1e-4, 1.0)
        };
        c.bench_function(&format!("training step, 4 layers of 128, 8 x 64 tokens, {dtype}"), |b| b.iter(&mut step));
    }
}

criterion_group!(benches, step);
criterion_main!(benches);
