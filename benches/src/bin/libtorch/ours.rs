//! The block on our tensors.

use super::{Run, Sizes};
use anyhow::Result;
use std::sync::Arc;
use vlm_core::autograd::no_grad;
use vlm_core::backend::RopeStyle;
use vlm_core::backend::layers::{Count, Layered};
use vlm_core::tensor::{AttentionOptions, RopeTables};
use vlm_core::{DType, Device, Tensor};

/// Operations of one [`chain`].
pub(super) const CHAIN: usize = 100;

pub(super) fn chain(device: &Device, dtype: DType) -> Result<Run> {
    let x = Tensor::ones([1], dtype, device)?;
    Ok(Box::new(move || {
        let mut y = x.clone();
        for _ in 0..CHAIN / 2 {
            y = ((&y + &x)? * &x)?;
        }
        std::hint::black_box(y);
        Ok(())
    }))
}

struct Block {
    weights: Vec<Tensor>,
    tables: RopeTables,
    x: Tensor,
    s: Sizes,
}

/// Numbers of about 1, whatever their place.
fn numbers(shape: &[usize], scale: f64, dtype: DType, device: &Device) -> Result<Tensor> {
    let n: usize = shape.iter().product();
    Ok(((Tensor::arange(0.0, n as f64, 1.0, DType::F32, device)? * 0.37)?.sin()? * scale)?
        .to_dtype(dtype)?
        .reshape(shape)?)
}

impl Block {
    fn new(device: &Device, dtype: DType, s: Sizes, train: bool) -> Result<Self> {
        let weight = |shape: &Vec<usize>| -> Result<Tensor> {
            let w = numbers(shape, if shape.len() == 1 { 1.0 } else { (s.hidden as f64).powf(-0.5) }, dtype, device)?;
            Ok(if train { w.requires_grad()? } else { w })
        };
        let table = || numbers(&[1, s.tokens, s.head() / 2], 1.0, DType::F32, device);
        let x = numbers(&[1, s.tokens, s.hidden], 1.0, dtype, device)?;
        let weights = s.weights().iter().map(weight).collect::<Result<_>>()?;
        Ok(Block { weights, tables: RopeTables { cos: table()?, sin: table()? }, x, s })
    }

    fn forward(&self) -> vlm_core::Result<Tensor> {
        let [norm, q, k, v, o, norm2, gate, up, down] = &self.weights[..] else { unreachable!("nine weights") };
        let s = self.s;
        let heads = |y: Tensor, n: usize| y.reshape([1, s.tokens, n, s.head()])?.transpose(1, 2);
        let y = self.x.rms_norm(Some(norm), 1e-6, 0.0)?;
        let q = heads(y.linear(q, None)?, s.heads)?.rope(&self.tables, RopeStyle::Half)?;
        let k = heads(y.linear(k, None)?, s.kv_heads)?.rope(&self.tables, RopeStyle::Half)?;
        let v = heads(y.linear(v, None)?, s.kv_heads)?;
        let options = AttentionOptions { causal: true, ..AttentionOptions::default() };
        let a = q.scaled_dot_product_attention(&k, &v, &options)?;
        let a = a.transpose(1, 2)?.reshape([1, s.tokens, s.hidden])?.linear(o, None)?;
        let x = (&self.x + &a)?;
        let y = x.rms_norm(Some(norm2), 1e-6, 0.0)?;
        let y = y.linear(gate, None)?.swiglu(&y.linear(up, None)?)?.linear(down, None)?;
        &x + &y
    }
}

pub(super) fn block(device: &Device, dtype: DType, s: Sizes, train: bool) -> Result<Run> {
    let block = Block::new(device, dtype, s, train)?;
    let device = device.clone();
    Ok(Box::new(move || {
        if train {
            let grads = block.forward()?.sum_all()?.backward()?;
            for w in &block.weights {
                grads.require(w)?;
            }
        } else {
            std::hint::black_box(no_grad(|| block.forward())?);
        }
        Ok(device.synchronize()?)
    }))
}

/// How many calls of the contract one forward pass makes.
pub(super) fn count(device: &Device, dtype: DType, s: Sizes) -> Result<usize> {
    let count = Arc::new(Count::default());
    let counted = device.with_kernels(|inner| Arc::new(Layered::new(inner, count.clone())));
    let block = Block::new(&counted, dtype, s, false)?;
    count.reset();
    no_grad(|| block.forward())?;
    Ok(count.all().values().map(|c| c.calls as usize).sum())
}
