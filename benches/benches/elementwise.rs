//! Single operations: what a call costs, and what an element costs.

use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use vlm_core::{DType, Device, Tensor};

fn add(c: &mut Criterion) {
    let device = vlm_bench::open("cpu", 1).expect("the device opens");
    for n in [1usize, 16 * 1024] {
        let a = Tensor::ones(n, DType::F32, &device).expect("it fits");
        let mut group = c.benchmark_group(format!("add of {n} f32"));
        group.bench_function("tensor", |b| b.iter(|| a.add(black_box(&a))));
        let raw = vec![1.0f32; n];
        group.bench_function("raw loop that allocates", |b| {
            b.iter(|| black_box(&raw).iter().zip(black_box(&raw)).map(|(x, y)| x + y).collect::<Vec<f32>>())
        });
    }
    let reference = Device::reference();
    let a = Tensor::ones(1, DType::F32, &reference).expect("it fits");
    c.bench_function("add of 1 f32 on ref", |b| b.iter(|| a.add(black_box(&a))));
}

fn functions(c: &mut Criterion) {
    let device = vlm_bench::open("cpu", 1).expect("the device opens");
    let x = Tensor::randn(1 << 16, vlm_core::backend::RandomKey { seed: 1, stream: 1 }, DType::F32, &device)
        .expect("it fits");
    let mut group = c.benchmark_group("functions of 64k f32");
    group.bench_function("exp", |b| b.iter(|| x.exp()));
    group.bench_function("gelu", |b| b.iter(|| x.gelu()));
    group.bench_function("silu", |b| b.iter(|| x.silu()));
    group.bench_function("to bf16", |b| b.iter(|| x.to_dtype(DType::BF16)));
}

criterion_group!(benches, add, functions);
criterion_main!(benches);
