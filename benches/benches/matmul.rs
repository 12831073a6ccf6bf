//! Products at the shapes of small language models.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use vlm_core::backend::RandomKey;
use vlm_core::{DType, Tensor};

fn linear(c: &mut Criterion) {
    let device = vlm_bench::open("cpu", 2).expect("the device opens");
    for dtype in [DType::F32, DType::BF16] {
        let mut group = c.benchmark_group(format!("linear {dtype}"));
        for (m, n, k) in [(1, 1536, 576), (128, 1536, 576), (128, 3072, 768), (1024, 768, 3072)] {
            let randn = |shape: [usize; 2]| {
                Tensor::randn(shape, RandomKey { seed: 1, stream: 1 }, dtype, &device).expect("it fits")
            };
            let (x, w) = (randn([m, k]), randn([n, k]));
            group.throughput(Throughput::Elements((2 * m * n * k) as u64));
            group
                .bench_function(BenchmarkId::from_parameter(format!("{m}x{n}x{k}")), |b| b.iter(|| x.linear(&w, None)));
        }
    }
}

criterion_group!(benches, linear);
criterion_main!(benches);
