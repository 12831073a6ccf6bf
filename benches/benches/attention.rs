//! Attention, forward and with its gradient.

use criterion::{Criterion, criterion_group, criterion_main};
use vlm_core::backend::RandomKey;
use vlm_core::tensor::AttentionOptions;
use vlm_core::{DType, Tensor};

fn attention(c: &mut Criterion) {
    let device = vlm_bench::open("cpu", 2).expect("the device opens");
    for (name, heads, kv, s, causal) in [
        ("12 x 1024", 12, 12, 1024, false),
        ("9/3 x 1152 causal", 9, 3, 1152, true),
        ("9/3 decode at 1152", 9, 3, 1152, true),
    ] {
        let queries = if name.contains("decode") { 1 } else { s };
        let randn = |heads: usize, s: usize| {
            Tensor::randn([1, heads, s, 64], RandomKey { seed: 1, stream: 1 }, DType::BF16, &device).expect("it fits")
        };
        let (q, k, v) = (randn(heads, queries), randn(kv, s), randn(kv, s));
        let options = AttentionOptions { causal, ..AttentionOptions::default() };
        let mut group = c.benchmark_group(format!("attention bf16 {name}"));
        group.sample_size(20);
        group.bench_function("forward", |b| b.iter(|| q.scaled_dot_product_attention(&k, &v, &options)));
        let leaves = [&q, &k, &v].map(|t| t.requires_grad().expect("a float"));
        group.bench_function("forward and backward", |b| {
            b.iter(|| leaves[0].scaled_dot_product_attention(&leaves[1], &leaves[2], &options)?.backward_with(&q))
        });
    }
}

criterion_group!(benches, attention);
criterion_main!(benches);
