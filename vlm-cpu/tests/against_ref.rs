//! Whole functions and their gradients on `cpu` against `ref`, at sizes that use every code path of the kernels: ragged
//! ends, several blocks and tiles, more than one thread.

use vlm_core::backend::{RandomKey, RopeStyle};
use vlm_core::tensor::{AttentionOptions, RopeTables};
use vlm_core::{DType, Device, Result, Tensor};

fn devices() -> (Device, Device) {
    vlm_cpu::register().unwrap();
    (Device::open("cpu").unwrap(), Device::reference())
}

fn input(shape: &[usize], stream: u64) -> Tensor {
    Tensor::randn(shape, RandomKey { seed: 11, stream }, DType::F64, &Device::reference()).unwrap()
}

/// The result and all gradients of `f`, in `f64`.
fn run(device: &Device, dtype: DType, inputs: &[Tensor], f: &dyn Fn(&[Tensor]) -> Result<Tensor>) -> Vec<Vec<f64>> {
    // Both devices start from numbers rounded to the type under test.
    let leaf = |t: &Tensor| t.to_dtype(dtype).unwrap().to_device(device).unwrap().requires_grad().unwrap();
    let leaves: Vec<Tensor> = inputs.iter().map(leaf).collect();
    let out = f(&leaves).unwrap();
    let weights =
        Tensor::randn(out.shape(), RandomKey { seed: 5, stream: 5 }, DType::F32, &Device::reference()).unwrap();
    let weights = weights.to_dtype(dtype).unwrap().to_dtype(out.dtype()).unwrap().to_device(device).unwrap();
    let mut grads = out.backward_with(&weights).unwrap();
    let mut all = vec![out.detach()];
    all.extend(leaves.iter().filter_map(|l| grads.remove(l)));
    all.iter().map(|t| t.to_dtype(DType::F64).unwrap().to_vec::<f64>().unwrap()).collect()
}

fn compare(name: &str, inputs: &[Tensor], f: impl Fn(&[Tensor]) -> Result<Tensor>) {
    let (cpu, reference) = devices();
    for (dtype, tolerance) in [(DType::F64, 1e-11), (DType::F32, 2e-5), (DType::BF16, 2.5e-2), (DType::F16, 4e-3)] {
        let (got, want) = (run(&cpu, dtype, inputs, &f), run(&reference, dtype, inputs, &f));
        assert_eq!(got.len(), want.len(), "{name}");
        for (i, (got, want)) in got.iter().zip(&want).enumerate() {
            let scale = want.iter().fold(0.0f64, |m, v| m.max(v.abs()));
            let worst = |m: f64, d: f64| if d >= 0.0 { m.max(d) } else { f64::INFINITY };
            let worst = got.iter().zip(want).map(|(g, w)| (g - w).abs()).fold(0.0f64, worst);
            assert!(worst <= tolerance * scale, "{name} {dtype} result {i}: off by {worst:e} at scale {scale:e}");
        }
    }
}

#[test]
fn attention_in_all_its_forms() {
    let qkv = |h: usize, s: usize, kv: usize| {
        vec![input(&[2, h, s, 16], 1), input(&[2, 2, kv, 16], 2), input(&[2, 2, kv, 24], 3)]
    };
    let with = |o: AttentionOptions| move |t: &[Tensor]| t[0].scaled_dot_product_attention(&t[1], &t[2], &o);
    let causal = || AttentionOptions { causal: true, ..Default::default() };
    compare("plain", &qkv(2, 70, 300), with(AttentionOptions::default()));
    compare("grouped causal", &qkv(4, 130, 130), with(causal()));
    compare("decode", &qkv(4, 1, 290), with(causal()));
    compare("window", &qkv(4, 90, 90), with(AttentionOptions { window: Some(17), ..causal() }));
    let segments = Some([0, 13, 13, 77, 90].into());
    compare("segments", &qkv(2, 90, 90), with(AttentionOptions { segments, ..Default::default() }));
    compare("mask", &qkv(4, 70, 300), move |t| {
        let seen: Vec<bool> = (0..2 * 300).map(|i| i % 7 != 3 && i % 300 > 20).collect();
        let mask = Some(Tensor::from_slice(&seen, [2, 1, 1, 300], t[0].device())?);
        t[0].scaled_dot_product_attention(&t[1], &t[2], &AttentionOptions { mask, causal: true, ..Default::default() })
    });
}

#[test]
fn rows_and_reductions() {
    let x = || input(&[3, 37, 131], 1);
    let (w, b) = (|| input(&[131], 2), || input(&[131], 3));
    compare("softmax", &[x()], |t| t[0].softmax(-1));
    compare("softmax of another dimension", &[x()], |t| t[0].softmax(1));
    compare("log_softmax", &[x()], |t| t[0].log_softmax(-1));
    compare("layer_norm", &[x(), w(), b()], |t| t[0].layer_norm(Some(&t[1]), Some(&t[2]), 1e-5));
    compare("rms_norm", &[x(), w()], |t| t[0].rms_norm(Some(&t[1]), 1e-5, 1.0));
    compare("sum of rows", &[x()], |t| t[0].sum(-1, false));
    compare("sum of columns", &[x()], |t| t[0].sum([0, 1], false));
    compare("sum of the middle", &[x()], |t| t[0].sum(1, true));
    compare("sum of all", &[x()], |t| t[0].sum_all());
    compare("mean", &[x()], |t| t[0].mean([0, 2], false));
    compare("max", &[x()], |t| t[0].max(1, false));
    compare("cumsum", &[input(&[3, 5, 7], 1)], |t| t[0].cumsum(1));
}

#[test]
fn products_and_losses() {
    let targets = |t: &Tensor, n: usize, v: i64| {
        let classes: Vec<i64> = (0..n as i64).map(|i| if i % 5 == 2 { -100 } else { i * 7 % v }).collect();
        Tensor::from_slice(&classes, n, t.device())
    };
    compare("matmul", &[input(&[70, 65], 1), input(&[65, 33], 2)], |t| t[0].matmul(&t[1]));
    compare("batched", &[input(&[3, 1, 17, 20], 1), input(&[4, 20, 9], 2)], |t| t[0].matmul(&t[1]));
    compare("transposed", &[input(&[3, 20, 17], 1), input(&[3, 9, 20], 2)], |t| t[0].t()?.matmul(&t[1].t()?));
    let linear = [input(&[2, 35, 64], 1), input(&[100, 64], 2), input(&[100], 3)];
    compare("linear", &linear, |t| t[0].linear(&t[1], Some(&t[2])));
    compare("one row", &[input(&[1, 64], 1), input(&[100, 64], 2)], |t| t[0].linear(&t[1], None));
    compare("cross_entropy", &[input(&[21, 40], 1)], |t| t[0].cross_entropy(&targets(&t[0], 21, 40)?, -100));
    compare("linear_cross_entropy", &[input(&[21, 16], 1), input(&[40, 16], 2)], |t| {
        t[0].linear_cross_entropy(&t[1], &targets(&t[0], 21, 40)?, -100)
    });
}

#[test]
fn elements_pairs_and_picks() {
    let (a, b) = (|| input(&[5, 40, 70], 1), || input(&[40, 1], 2));
    compare("add", &[a(), b()], |t| &t[0] + &t[1]);
    compare("mul", &[a(), b()], |t| &t[0] * &t[1]);
    compare("transposed pair", &[a(), input(&[70, 40], 2)], |t| &t[0] * &t[1].t()?);
    compare("gelu", &[a()], |t| t[0].gelu());
    compare("gelu_tanh", &[a()], |t| t[0].gelu_tanh());
    compare("silu", &[a()], |t| t[0].silu());
    compare("tanh", &[a()], |t| t[0].tanh());
    compare("swiglu", &[a(), input(&[5, 40, 70], 3)], |t| t[0].swiglu(&t[1]));
    compare("dropout", &[a()], |t| t[0].dropout(0.3, RandomKey { seed: 9, stream: 1 }));
    compare("permute", &[a()], |t| t[0].permute(&[2, 0, 1])?.contiguous()?.tanh());
    compare("cat", &[a(), input(&[5, 3, 70], 3)], |t| Tensor::cat(&[&t[0], &t[1]], 1));
    compare("embedding", &[input(&[9, 30], 1)], |t| {
        t[0].embedding(&Tensor::from_slice(&[1i64, 8, 8, 0, 1, 8], [2, 3], t[0].device())?)
    });
    // One table for both devices: sines may differ in their last bit.
    let angles = input(&[1, 40, 16], 4).to_dtype(DType::F32).unwrap();
    let (cos, sin) = (angles.cos().unwrap(), angles.sin().unwrap());
    compare("rope", &[input(&[2, 3, 40, 35], 1)], move |t| {
        let there = |table: &Tensor| table.to_device(t[0].device());
        t[0].rope(&RopeTables { cos: there(&cos)?, sin: there(&sin)? }, RopeStyle::Half)
    });
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let (cpu, _) = devices();
    let inputs = [input(&[4, 150, 96], 1), input(&[96, 96], 2), input(&[96], 3)];
    let f = |t: &[Tensor]| {
        let y = t[0].linear(&t[1], Some(&t[2]))?.layer_norm(Some(&t[2]), None, 1e-5)?.gelu()?;
        let heads = y.reshape([4, 150, 6, 16])?.transpose(1, 2)?;
        let o = AttentionOptions { causal: true, ..Default::default() };
        heads.scaled_dot_product_attention(&heads, &heads, &o)?.softmax(-1)?.sum([0, 1, 2], false)
    };
    let before = vlm_cpu::num_threads();
    for dtype in [DType::F32, DType::BF16] {
        let all = [1, 2, 3].map(|n| {
            vlm_cpu::set_num_threads(n);
            run(&cpu, dtype, &inputs, &f)
        });
        assert!(all[0] == all[1] && all[1] == all[2], "{dtype}");
    }
    vlm_cpu::set_num_threads(before);
}
