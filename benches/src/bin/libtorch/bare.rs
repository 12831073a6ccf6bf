//! The same block written with tch alone, as a user of it would.

use super::ours::CHAIN;
use super::{Run, Sizes};
use anyhow::Result;
use tch::{Kind, TchError, Tensor};
use vlm_core::DType;

pub(super) fn place(device: &str, dtype: DType) -> (Kind, tch::Device) {
    let kind = match dtype {
        DType::BF16 => Kind::BFloat16,
        DType::F16 => Kind::Half,
        DType::F64 => Kind::Double,
        _ => Kind::Float,
    };
    let ordinal = device.strip_prefix("cuda:").and_then(|n| n.parse().ok());
    (kind, ordinal.map_or(tch::Device::Cpu, tch::Device::Cuda))
}

pub(super) fn chain(place: (Kind, tch::Device)) -> Result<Run> {
    let x = Tensor::f_ones([1], place)?;
    Ok(Box::new(move || {
        let _guard = tch::no_grad_guard();
        let mut y = x.shallow_clone();
        for _ in 0..CHAIN / 2 {
            y = y.f_add(&x)?.f_mul(&x)?;
        }
        let _ = std::hint::black_box(y);
        Ok(())
    }))
}

struct Block {
    weights: Vec<Tensor>,
    cos: Tensor,
    sin: Tensor,
    x: Tensor,
    s: Sizes,
}

fn numbers(shape: &[usize], scale: f64, place: (Kind, tch::Device)) -> Result<Tensor, TchError> {
    let shape: Vec<i64> = shape.iter().map(|&n| n as i64).collect();
    let n: i64 = shape.iter().product();
    let x = Tensor::f_arange(n, (Kind::Float, place.1))?.f_mul_scalar(0.37)?.f_sin()?.f_mul_scalar(scale)?;
    x.f_to_kind(place.0)?.f_reshape(&shape[..])
}

impl Block {
    fn new(place: (Kind, tch::Device), s: Sizes, train: bool) -> Result<Self> {
        let weight = |shape: &Vec<usize>| {
            let scale = if shape.len() == 1 { 1.0 } else { (s.hidden as f64).powf(-0.5) };
            Ok(numbers(shape, scale, place)?.set_requires_grad(train))
        };
        // As wide as a head: both halves have the same angles.
        let table = || -> Result<Tensor, TchError> {
            let half = numbers(&[1, 1, s.tokens, s.head() / 2], 1.0, place)?;
            Tensor::f_cat(&[&half, &half], -1)
        };
        let weights = s.weights().iter().map(weight).collect::<Result<_>>()?;
        Ok(Block { weights, cos: table()?, sin: table()?, x: numbers(&[1, s.tokens, s.hidden], 1.0, place)?, s })
    }

    fn rope(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let half = (self.s.head() / 2) as i64;
        let turned = Tensor::f_cat(&[x.f_narrow(3, half, half)?.f_neg()?, x.f_narrow(3, 0, half)?], -1)?;
        x.f_mul(&self.cos)?.f_add(&turned.f_mul(&self.sin)?)
    }

    fn forward(&self) -> Result<Tensor, TchError> {
        let [norm, q, k, v, o, norm2, gate, up, down] = &self.weights[..] else { unreachable!("nine weights") };
        let s = self.s;
        let (tokens, hidden, head) = (s.tokens as i64, s.hidden as i64, s.head() as i64);
        let none = None::<&Tensor>;
        let heads = |y: Tensor, n: usize| y.f_view([1, tokens, n as i64, head])?.f_transpose(1, 2);
        let y = self.x.f_rms_norm([hidden], Some(norm), 1e-6)?;
        let q = self.rope(&heads(y.f_linear(q, none)?, s.heads)?)?;
        let k = self.rope(&heads(y.f_linear(k, none)?, s.kv_heads)?)?;
        let v = heads(y.f_linear(v, none)?, s.kv_heads)?;
        let a = Tensor::f_scaled_dot_product_attention(&q, &k, &v, none, 0.0, true, None, true)?;
        let a = a.f_transpose(1, 2)?.f_reshape([1, tokens, hidden])?.f_linear(o, none)?;
        let x = self.x.f_add(&a)?;
        let y = x.f_rms_norm([hidden], Some(norm2), 1e-6)?;
        let y = y.f_linear(gate, none)?.f_silu()?.f_mul(&y.f_linear(up, none)?)?.f_linear(down, none)?;
        x.f_add(&y)
    }
}

pub(super) fn block(place: (Kind, tch::Device), s: Sizes, train: bool) -> Result<Run> {
    let block = Block::new(place, s, train)?;
    Ok(Box::new(move || {
        if train {
            // Returned, not kept in the parameters: neither side holds gradients from one step to the next.
            let loss = block.forward()?.f_sum(place.0)?;
            std::hint::black_box(Tensor::f_run_backward(&[loss], &block.weights, false, false)?);
        } else {
            let _guard = tch::no_grad_guard();
            let _ = std::hint::black_box(block.forward()?);
        }
        if let tch::Device::Cuda(ordinal) = place.1 {
            tch::Cuda::synchronize(ordinal as i64);
        }
        Ok(())
    }))
}
