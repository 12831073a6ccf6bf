//! Products of matrices.

use super::Tensor;
use crate::autograd::record;
use crate::backend::QuantizedLinearArgs;
use crate::{DType, Error, ErrorKind, Result};

impl Tensor {
    /// Matrix product over the last two dimensions, leading ones broadcast: `[…, m, k] x […, k, n] -> […, m, n]`.
    /// A tensor of rank 1 counts as a row on the left and as a column on the right, and its dimension is dropped.
    ///
    /// Half floats are summed in `f32` and rounded once.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] if inner sizes differ or leading ones do not broadcast; [`ErrorKind::DType`] for `bool`;
    /// [`ErrorKind::Device`] for operands on different devices.
    pub fn matmul(&self, rhs: &Tensor) -> Result<Tensor> {
        const OP: &str = "matmul";
        self.device().check_same(rhs.device(), OP)?;
        if self.rank() == 0 || rhs.rank() == 0 {
            let message = format!("expected matrices, found shapes {} and {}", self.shape(), rhs.shape());
            return Err(Error::new(ErrorKind::Shape, OP, message));
        }
        if self.rank() == 1 {
            return self.unsqueeze(0)?.matmul(rhs)?.squeeze(if rhs.rank() == 1 { 0 } else { -2 });
        }
        if rhs.rank() == 1 {
            return self.matmul(&rhs.unsqueeze(1)?)?.squeeze(-1);
        }
        let dtype = self.dtype().promote(rhs.dtype());
        if dtype == DType::Bool {
            return Err(Error::new(ErrorKind::DType, OP, "not defined for bool"));
        }
        let (a, b) = (self.to_dtype(dtype)?, rhs.to_dtype(dtype)?);
        let ([m, k], [k2, n]) = (last_two(&a), last_two(&b));
        if k != k2 {
            let message = format!("shapes {} and {}: inner sizes {k} and {k2} differ", a.shape(), b.shape());
            return Err(Error::new(ErrorKind::Shape, OP, message));
        }
        let lead = |t: &Tensor| crate::Dims::from_slice(&t.shape()[..t.rank() - 2]);
        let batch = lead(&a).broadcast(&lead(&b), OP)?;
        let with = |m, n| crate::Dims::from_slice(&[&batch[..], &[m, n]].concat());
        let (la, lb) = (a.layout().broadcast_to(&with(m, k)), b.layout().broadcast_to(&with(k, n)));
        let storage = a.device().kernels().matmul(a.view_as(&la), b.view_as(&lb))?;
        let out = Tensor::from_storage(storage, with(m, n), a.device());
        if !dtype.is_float() {
            return Ok(crate::autograd::constant(out));
        }
        Ok(record(out, OP, &[&a, &b], || {
            let (sa, sb) = (*a.shape(), *b.shape());
            let (ka, kb) = (b.tracks_grad().then(|| a.detach()), a.tracks_grad().then(|| b.detach()));
            move |grad: Tensor, sink| {
                if let Some(b) = kb {
                    sink.with(0, || grad.matmul(&b.t()?)?.sum_to(&sa))?;
                }
                if let Some(a) = ka {
                    sink.with(1, || a.t()?.matmul(&grad)?.sum_to(&sb))?;
                }
                Ok(())
            }
        }))
    }

    /// `self w^T + bias` over the last dimension: `self [..., k]`, `w [n, k]`, `bias [n]` gives `[..., n]`.
    ///
    /// # Gradient
    /// For all three. The input is kept only if the weight's gradient is asked for, and the other way round.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] if sizes do not fit; [`ErrorKind::DType`] if element types differ.
    pub fn linear(&self, w: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
        const OP: &str = "linear";
        self.needs_float(OP)?;
        let k = *self.shape().last().unwrap_or(&0);
        if w.rank() != 2 || self.rank() == 0 || w.shape()[1] != k {
            let message = format!("input {} does not fit weight {}", self.shape(), w.shape());
            return Err(Error::new(ErrorKind::Shape, OP, message).hint("the weight is [out_features, in_features]"));
        }
        let n = w.shape()[0];
        for other in [Some(w), bias].into_iter().flatten() {
            self.device().check_same(other.device(), OP)?;
            same_dtype(OP, self, other)?;
        }
        if let Some(b) = bias.filter(|b| *b.shape() != [n]) {
            let message = format!("the bias has shape {}, the weight {}", b.shape(), w.shape());
            return Err(Error::new(ErrorKind::Shape, OP, message));
        }
        let rows = self.count() / k.max(1);
        let rows = if k == 0 { self.shape()[..self.rank() - 1].iter().product() } else { rows };
        let x = self.reshape([rows, k])?;
        let kernels = self.device().kernels();
        let storage = kernels.linear(x.view(), w.view(), bias.map(Tensor::view))?;
        let out = Tensor::from_storage(storage, crate::Dims::from_slice(&[rows, n]), self.device());
        let inputs: &[&Tensor] = if let Some(b) = bias { &[&x, w, b] } else { &[&x, w] };
        let out = record(out, OP, inputs, || {
            let (kx, kw) = (w.tracks_grad().then(|| x.detach()), x.tracks_grad().then(|| w.detach()));
            let biased = bias.is_some();
            move |grad: Tensor, sink| {
                if let Some(w) = kw {
                    sink.with(0, || grad.matmul(&w))?;
                }
                if let Some(x) = kx {
                    sink.with(1, || grad.t()?.matmul(&x))?;
                }
                if biased {
                    sink.with(2, || grad.sum(0, false))?;
                }
                Ok(())
            }
        });
        let last = self.rank() - 1;
        out.reshape(self.shape().with(last, n))
    }

    /// `self w^T + bias` with symmetric weights of 8 or 4 bits: `w = (q - 2^(bits-1)) * scale`.
    ///
    /// `data` is `u8`: `[n, k]` for 8 bits, `[n, k / 2]` for 4 (low half: even column); `scales` is `f32`,
    /// `[n, k / group]`.
    ///
    /// # Gradient
    /// For the input (the weights are frozen by nature) and the bias.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`], [`ErrorKind::DType`] or [`ErrorKind::Config`] naming what does not fit.
    pub fn quantized_linear(
        &self,
        data: &Tensor,
        scales: &Tensor,
        bias: Option<&Tensor>,
        bits: u32,
        group: usize,
    ) -> Result<Tensor> {
        const OP: &str = "quantized_linear";
        self.needs_float(OP)?;
        if !matches!(bits, 4 | 8) {
            return Err(Error::new(ErrorKind::Config, OP, format!("expected 8 or 4 bits, found {bits}")));
        }
        for other in [Some(data), Some(scales), bias].into_iter().flatten() {
            self.device().check_same(other.device(), OP)?;
        }
        if data.dtype() != DType::U8 || scales.dtype() != DType::F32 {
            let message = format!("expected u8 data and f32 scales, found {} and {}", data.dtype(), scales.dtype());
            return Err(Error::new(ErrorKind::DType, OP, message));
        }
        let k = *self.shape().last().unwrap_or(&0);
        let n = *data.shape().first().unwrap_or(&0);
        let per_byte = 8 / bits as usize;
        let fits = group > 0 && k > 0 && k.is_multiple_of(group) && k.is_multiple_of(per_byte);
        if !fits || *data.shape() != [n, k / per_byte] || *scales.shape() != [n, k / group] {
            let message = format!("input {}, data {}, scales {}", self.shape(), data.shape(), scales.shape());
            return Err(Error::new(ErrorKind::Shape, OP, message).with("bits", bits).with("group", group));
        }
        if let Some(b) = bias {
            same_dtype(OP, self, b)?;
            if *b.shape() != [n] {
                return Err(Error::new(ErrorKind::Shape, OP, format!("expected a bias of [{n}], found {}", b.shape())));
            }
        }
        let x = self.reshape([self.count() / k, k])?;
        let (data, scales) = (data.contiguous()?, scales.contiguous()?);
        let args = |x: &Tensor, bias: Option<&Tensor>| -> Result<Tensor> {
            let args = QuantizedLinearArgs {
                x: x.view(),
                data: data.view(),
                scales: scales.view(),
                bias: bias.map(Tensor::view),
                bits,
                group,
            };
            let storage = x.device().kernels().quantized_linear(args)?;
            Ok(Tensor::from_storage(storage, crate::Dims::from_slice(&[x.shape()[0], n]), x.device()))
        };
        let out = args(&x, bias)?;
        let inputs: &[&Tensor] = if let Some(b) = bias { &[&x, b] } else { &[&x] };
        let out = record(out, OP, inputs, || {
            let (data, scales, biased) = (data.detach(), scales.detach(), bias.is_some());
            move |grad: Tensor, sink| {
                sink.with(0, || grad.matmul(&dequantize(&data, &scales, bits, group)?.to_dtype(grad.dtype())?))?;
                if biased { sink.with(1, || grad.sum(0, false)) } else { Ok(()) }
            }
        });
        out.reshape(self.shape().with(self.rank() - 1, n))
    }
}

/// The weights `[n, k]` in `f32`.
fn dequantize(data: &Tensor, scales: &Tensor, bits: u32, group: usize) -> Result<Tensor> {
    let q = if bits == 4 {
        let sixteen = Tensor::full((), 16, DType::U8, data.device())?;
        Tensor::stack(&[data.remainder(&sixteen)?, data.floor_divide(&sixteen)?], -1)?.flatten(1, 2)?
    } else {
        data.clone()
    };
    let [n, k] = q.dims()?;
    let centred = (q.to_dtype(DType::F32)? - f64::from(1u32 << (bits - 1)))?;
    (centred.reshape([n, k / group, group])? * scales.unsqueeze(-1)?)?.reshape([n, k])
}

fn last_two(t: &Tensor) -> [usize; 2] {
    [t.shape()[t.rank() - 2], t.shape()[t.rank() - 1]]
}

pub(super) fn same_dtype(op: &'static str, a: &Tensor, b: &Tensor) -> Result<()> {
    if a.dtype() == b.dtype() {
        return Ok(());
    }
    let message = format!("element types {} and {} differ", a.dtype(), b.dtype());
    Err(Error::new(ErrorKind::DType, op, message).hint("convert one of them with to_dtype"))
}
