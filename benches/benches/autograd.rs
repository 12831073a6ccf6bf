//! What the tape costs: a chain of operations of one element, forward and backward.

use criterion::{Criterion, criterion_group, criterion_main};
use vlm_core::{DType, Result, Tensor};

/// Half additions, half products, as in the comparison with libtorch.
fn chain(x: &Tensor, operations: usize) -> Result<Tensor> {
    let mut y = x.clone();
    for i in 0..operations {
        y = if i % 2 == 0 { y.add(x)? } else { y.mul(x)? };
    }
    Ok(y)
}

fn autograd(c: &mut Criterion) {
    let device = vlm_bench::open("cpu", 1).expect("the device opens");
    let x = Tensor::full(1, 0.5, DType::F32, &device).expect("it fits");
    let leaf = x.requires_grad().expect("a float");
    let mut group = c.benchmark_group("chain of 100 operations of 1 f32");
    group.bench_function("forward without gradients", |b| b.iter(|| chain(&x, 100)));
    group.bench_function("forward", |b| b.iter(|| chain(&leaf, 100)));
    group.bench_function("forward and backward", |b| b.iter(|| chain(&leaf, 100)?.backward()));
}

criterion_group!(benches, autograd);
criterion_main!(benches);
