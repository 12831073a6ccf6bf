//! Every differentiable operation of [`Tensor`] against finite differences in `f64` on the reference device, and every
//! other one refusing.

use vlm_core::autograd::{GradcheckOptions, checkpoint, gradcheck, no_grad};
use vlm_core::backend::{RandomKey, RopeStyle};
use vlm_core::tensor::{AttentionOptions, RopeTables};
use vlm_core::{DType, Device, ErrorKind, Result, Tensor};

fn device() -> Device {
    Device::reference()
}

/// Numbers without ties, zeros or whole numbers, where functions with corners are smooth.
fn input(shape: &[usize], salt: usize) -> Tensor {
    let n: usize = shape.iter().product();
    let data: Vec<f64> = (0..n).map(|i| (((i * 37 + salt * 17 + 5) % 89) as f64 - 44.0) / 30.0 + 0.0131).collect();
    Tensor::from_slice(&data, shape, &device()).unwrap()
}

fn positive(shape: &[usize], salt: usize) -> Tensor {
    input(shape, salt).abs().unwrap().add_scalar(0.3).unwrap()
}

fn ints(values: &[i64], shape: &[usize]) -> Tensor {
    Tensor::from_slice(values, shape, &device()).unwrap()
}

type Function = Box<dyn Fn(&[Tensor]) -> Result<Tensor>>;

fn case(
    name: &'static str,
    inputs: Vec<Tensor>,
    f: impl Fn(&[Tensor]) -> Result<Tensor> + 'static,
) -> (&'static str, Vec<Tensor>, Function) {
    (name, inputs, Box::new(f))
}

macro_rules! unary {
    ($($method:ident: $input:expr),* $(,)?) => { vec![$(case(stringify!($method), vec![$input], |t| t[0].$method())),*] };
}

fn elementwise() -> Vec<(&'static str, Vec<Tensor>, Function)> {
    let x = || input(&[2, 3], 1);
    let p = || positive(&[2, 3], 1);
    let mut all = unary! {
        neg: x(), abs: x(), sign: x(), exp: x(), log: p(), log1p: p(), expm1: x(), sqrt: p(), rsqrt: p(), reciprocal: p(),
        square: x(), sin: x(), cos: x(), tanh: x(), sigmoid: x(), erf: x(), relu: x(), gelu: x(), gelu_tanh: x(),
        quick_gelu: x(), silu: x(), softplus: x(), floor: x(), ceil: x(), round: x(),
    };
    let wide = || input(&[4, 1, 3], 7);
    all.extend([
        case("add", vec![x(), wide()], |t| &t[0] + &t[1]),
        case("sub", vec![x(), wide()], |t| &t[0] - &t[1]),
        case("mul", vec![x(), wide()], |t| &t[0] * &t[1]),
        case("div", vec![x(), positive(&[4, 1, 3], 3)], |t| &t[0] / &t[1]),
        case("pow", vec![p(), input(&[3], 2)], |t| t[0].pow(&t[1])),
        case("maximum", vec![x(), wide()], |t| t[0].maximum(&t[1])),
        case("minimum", vec![x(), wide()], |t| t[0].minimum(&t[1])),
        case("remainder", vec![x(), positive(&[3], 4)], |t| t[0].remainder(&t[1])),
        case("affine", vec![x()], |t| t[0].affine(-1.5, 2.0)),
        case("powf", vec![p()], |t| t[0].powf(2.5)),
        case("clamp", vec![x()], |t| t[0].clamp(-0.5, 0.7)),
        case("where", vec![x(), input(&[1, 3], 2)], |t| {
            t[0].where_cond(&t[0].detach().gt(&t[0].zeros_like()?)?, &t[1])
        }),
        case("masked_fill", vec![x()], |t| t[0].masked_fill(&t[0].detach().gt(&t[0].zeros_like()?)?, 3.0)),
        case("dropout", vec![input(&[5, 7], 1)], |t| t[0].dropout(0.4, RandomKey { seed: 3, stream: 1 })),
        case("same operand twice", vec![x()], |t| &t[0] * &t[0]),
    ]);
    all
}

fn reductions_and_shapes() -> Vec<(&'static str, Vec<Tensor>, Function)> {
    let x = || input(&[2, 3, 4], 1);
    vec![
        case("sum", vec![x()], |t| t[0].sum([0, 2], true)),
        case("sum_all", vec![x()], |t| t[0].sum_all()),
        case("mean", vec![x()], |t| t[0].mean(1, false)),
        case("var", vec![x()], |t| t[0].var(-1, 1, false)),
        case("max", vec![x()], |t| t[0].max([0, 1], false)),
        case("min", vec![x()], |t| t[0].min(2, true)),
        case("prod", vec![x()], |t| t[0].prod(2, false)),
        case("prod with one zero", vec![Tensor::from_slice(&[0.0, 2.0, 3.0], [3], &device()).unwrap()], |t| {
            t[0].prod(0, false)
        }),
        case("cumsum", vec![x()], |t| t[0].cumsum(1)),
        case("reshape", vec![x()], |t| t[0].transpose(0, 2)?.reshape([6, 4])),
        case("flatten", vec![x()], |t| t[0].flatten(0, 1)),
        case("permute", vec![x()], |t| t[0].permute(&[2, 0, 1])),
        case("t", vec![x()], |t| t[0].t()),
        case("contiguous", vec![x()], |t| t[0].t()?.contiguous()),
        case("unsqueeze", vec![x()], |t| t[0].unsqueeze(-1)),
        case("squeeze", vec![input(&[2, 1, 3], 1)], |t| t[0].squeeze(1)),
        case("broadcast_to", vec![input(&[1, 3], 1)], |t| t[0].broadcast_to([2, 4, 3])),
        case("narrow", vec![x()], |t| t[0].narrow(1, 1, 2)),
        case("select", vec![x()], |t| t[0].select(2, 3)),
        case("slice", vec![x()], |t| t[0].slice(2, 0, 4, 3)),
        case("cat", vec![x(), input(&[2, 1, 4], 3)], |t| Tensor::cat(&[&t[0], &t[1], &t[0]], 1)),
        case("stack", vec![x(), input(&[2, 3, 4], 3)], |t| Tensor::stack(&[&t[0], &t[1]], 1)),
        case("chunk", vec![x()], |t| {
            let c = t[0].chunk(3, 2)?;
            &c[0] * &c[1]
        }),
        case("repeat_interleave", vec![x()], |t| t[0].repeat_interleave(2, 1)),
        case("pad", vec![x()], |t| t[0].pad(1, 1, 2, 0.5)),
        case("index_select", vec![x()], |t| t[0].index_select(1, &ints(&[2, 0, 2, 2], &[4]))),
        case("index_add", vec![x(), input(&[2, 4, 4], 2)], |t| t[0].index_add(1, &ints(&[2, 0, 2, 1], &[4]), &t[1])),
        case("index_copy", vec![x(), input(&[2, 1, 4], 2)], |t| t[0].index_copy(1, &ints(&[2], &[1]), &t[1])),
        case("gather", vec![x()], |t| t[0].gather(1, &ints(&[0, 2, 1, 1, 2, 2, 0, 0], &[2, 1, 4]))),
        case("scatter_add", vec![x(), input(&[2, 1, 4], 2)], |t| {
            t[0].scatter_add(1, &ints(&[0, 2, 1, 1, 2, 2, 0, 0], &[2, 1, 4]), &t[1])
        }),
        case("embedding", vec![input(&[5, 3], 1)], |t| t[0].embedding(&ints(&[4, 0, 4, 1], &[2, 2]))),
        case("sort", vec![x()], |t| Ok(t[0].sort(1, true)?.0)),
        case("topk", vec![x()], |t| Ok(t[0].topk(2, 2, true)?.0)),
        case("to_device", vec![x()], |t| {
            t[0].to_device(&Device::from_kernels(
                "other",
                std::sync::Arc::new(vlm_core::backend::reference::ReferenceDevice::new()),
            ))?
            .tanh()?
            .to_device(&device())
        }),
    ]
}

fn rope_tables() -> RopeTables {
    let angles = input(&[1, 3, 2], 5).to_dtype(DType::F32).unwrap();
    RopeTables { cos: angles.cos().unwrap(), sin: angles.sin().unwrap() }
}

fn fused() -> Vec<(&'static str, Vec<Tensor>, Function)> {
    let x = || input(&[2, 3, 4], 1);
    let qkv = |heads: usize| vec![input(&[2, 4, 3, 4], 1), input(&[2, heads, 3, 4], 2), input(&[2, heads, 3, 5], 3)];
    let attend = |o: AttentionOptions| move |t: &[Tensor]| t[0].scaled_dot_product_attention(&t[1], &t[2], &o);
    let mask =
        Tensor::from_slice(&[true, false, true, true, true, false, false, false, true], [3, 3], &device()).unwrap();
    vec![
        case("matmul", vec![x(), input(&[4, 2], 2)], |t| t[0].matmul(&t[1])),
        case("matmul batched", vec![x(), input(&[2, 4, 5], 2)], |t| t[0].matmul(&t[1])),
        case("matmul vectors", vec![input(&[4], 1), input(&[4], 2)], |t| t[0].matmul(&t[1])),
        case("linear", vec![x(), input(&[5, 4], 2), input(&[5], 3)], |t| t[0].linear(&t[1], Some(&t[2]))),
        case("linear without bias", vec![x(), input(&[5, 4], 2)], |t| t[0].linear(&t[1], None)),
        case("quantized_linear", vec![x(), input(&[3], 2)], |t| {
            let data = ints(&[17, 200, 3, 129, 250, 7], &[3, 2]).to_dtype(DType::U8)?;
            let scales = Tensor::full([3, 2], 0.1, DType::F32, &device())?;
            t[0].quantized_linear(&data, &scales, Some(&t[1]), 4, 2)
        }),
        case("softmax", vec![x()], |t| t[0].softmax(1)),
        case("log_softmax", vec![x()], |t| t[0].log_softmax(-1)),
        case("layer_norm", vec![x(), input(&[4], 2), input(&[4], 3)], |t| {
            t[0].layer_norm(Some(&t[1]), Some(&t[2]), 1e-3)
        }),
        case("layer_norm plain", vec![x()], |t| t[0].layer_norm(None, None, 1e-3)),
        case("rms_norm", vec![x(), input(&[4], 2)], |t| t[0].rms_norm(Some(&t[1]), 1e-3, 0.0)),
        case("rms_norm with offset", vec![x(), input(&[4], 2)], |t| t[0].rms_norm(Some(&t[1]), 1e-3, 1.0)),
        case("swiglu", vec![x(), input(&[2, 3, 4], 2)], |t| t[0].swiglu(&t[1])),
        case("geglu", vec![x(), input(&[2, 3, 4], 2)], |t| t[0].geglu(&t[1])),
        case("rope half", vec![input(&[2, 2, 3, 5], 1)], |t| t[0].rope(&rope_tables(), RopeStyle::Half)),
        case("rope interleaved", vec![input(&[2, 2, 3, 5], 1)], |t| t[0].rope(&rope_tables(), RopeStyle::Interleaved)),
        case("attention", qkv(4), attend(AttentionOptions::default())),
        case("attention grouped causal", qkv(2), attend(AttentionOptions { causal: true, ..Default::default() })),
        case(
            "attention window",
            qkv(1),
            attend(AttentionOptions { causal: true, window: Some(2), ..Default::default() }),
        ),
        case(
            "attention masked",
            qkv(2),
            attend(AttentionOptions { mask: Some(mask), scale: Some(0.7), ..Default::default() }),
        ),
        case(
            "attention segments",
            qkv(4),
            attend(AttentionOptions { segments: Some([0, 1, 3].into()), ..Default::default() }),
        ),
        case("cross_entropy", vec![input(&[3, 5], 1)], |t| t[0].cross_entropy(&ints(&[4, -100, 0], &[3]), -100)),
        case("linear_cross_entropy", vec![input(&[3, 4], 1), input(&[5, 4], 2)], |t| {
            t[0].linear_cross_entropy(&t[1], &ints(&[4, -100, 0], &[3]), -100)
        }),
        case("checkpoint", vec![x(), input(&[4, 4], 2)], |t| {
            checkpoint(|t| t[0].matmul(&t[1])?.gelu(), &[&t[0], &t[1]])
        }),
    ]
}

#[test]
fn every_rule_agrees_with_finite_differences() {
    for (name, inputs, f) in elementwise().into_iter().chain(reductions_and_shapes()).chain(fused()) {
        gradcheck(f, &inputs, &GradcheckOptions::default()).unwrap_or_else(|e| panic!("{name}: {e:?}"));
    }
}

#[test]
fn operations_without_a_rule_refuse() {
    let x = input(&[2, 3], 1).requires_grad().unwrap();
    let one = Tensor::ones([2, 3], DType::F64, &device()).unwrap();
    let two = ints(&[0, 1], &[2]);
    let cases: Vec<(&str, Result<Tensor>)> = vec![
        ("floor_divide", x.floor_divide(&one)),
        ("cumprod", x.cumprod(0)),
        ("index_copy", x.index_copy(0, &two, &one)),
        ("write_slice", x.clone().write_slice(0, 0, &one)),
    ];
    for (name, result) in cases {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::NoGradient, "{name}");
    }
    assert!(no_grad(|| x.floor_divide(&one)).is_ok());
    assert!(x.detach().floor_divide(&one).is_ok());
}

#[test]
fn gradients_are_complete_and_used_once() {
    let x = input(&[3], 1).requires_grad().unwrap();
    let unused = input(&[3], 2).requires_grad().unwrap();
    let loss = x.square().unwrap().sum_all().unwrap();
    let grads = loss.backward().unwrap();
    assert_eq!(grads.len(), 1);
    assert_eq!(grads.require(&unused).unwrap_err().kind(), ErrorKind::MissingGradient);
    assert_eq!(grads.require(&x.detach()).unwrap_err().kind(), ErrorKind::MissingGradient);
    assert_eq!(loss.backward().unwrap_err().kind(), ErrorKind::MissingGradient);
    assert_eq!(x.square().unwrap().backward().unwrap_err().kind(), ErrorKind::Shape);
    assert_eq!(input(&[], 1).backward().unwrap_err().kind(), ErrorKind::MissingGradient);
}

#[test]
fn a_long_chain_neither_overflows_the_stack_nor_loses_a_gradient() {
    let x = Tensor::scalar(1.0f64, &device()).unwrap().requires_grad().unwrap();
    let mut y = x.clone();
    for _ in 0..200_000 {
        y = y.add_scalar(0.0).unwrap();
    }
    assert_eq!(y.backward().unwrap().require(&x).unwrap().item::<f64>().unwrap(), 1.0);
    let mut dropped = x.clone();
    for _ in 0..200_000 {
        dropped = dropped.add_scalar(0.0).unwrap();
    }
    drop(dropped);
}

#[test]
fn checkpointing_reaches_parameters_inside() {
    let w = input(&[3, 3], 2).requires_grad().unwrap();
    let x = input(&[2, 3], 1);
    let inside = w.clone();
    let plain = x.matmul(&w).unwrap().tanh().unwrap().sum_all().unwrap().backward().unwrap();
    let saved =
        checkpoint(move |t| t[0].matmul(&inside)?.tanh(), &[&x]).unwrap().sum_all().unwrap().backward().unwrap();
    assert_eq!(
        saved.require(&w).unwrap().to_vec::<f64>().unwrap(),
        plain.require(&w).unwrap().to_vec::<f64>().unwrap()
    );
}

#[test]
fn half_floats_get_gradients_of_their_own_type() {
    for dtype in [DType::F16, DType::BF16, DType::F32] {
        let x = input(&[2, 4], 1).to_dtype(dtype).unwrap().requires_grad().unwrap();
        let w = input(&[3, 4], 2).to_dtype(dtype).unwrap().requires_grad().unwrap();
        let loss = x.linear(&w, None).unwrap().gelu().unwrap().to_dtype(DType::F32).unwrap().sum_all().unwrap();
        let grads = loss.backward().unwrap();
        for leaf in [&x, &w] {
            assert_eq!(grads.require(leaf).unwrap().dtype(), dtype);
        }
    }
}
