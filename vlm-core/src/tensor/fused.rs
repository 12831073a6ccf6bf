//! Fused operations: softmax, norms, gates, rotary embedding, attention.

use super::Tensor;
use super::linalg::same_dtype;
use crate::autograd::record;
use crate::backend::{AttentionArgs, RopeArgs, RopeStyle, UnaryOp};
use crate::{DType, Dims, Error, ErrorKind, Result};
use std::sync::Arc;

/// Cosines and sines of the angles of a rotary embedding, `[b or 1, s, r / 2]`, `f32`.
///
/// Built by [`nn::rope`](crate::nn); several position axes (M-RoPE) are a matter of how the table is filled.
#[derive(Clone, Debug)]
pub struct RopeTables {
    /// Cosines.
    pub cos: Tensor,
    /// Sines.
    pub sin: Tensor,
}

/// What limits who sees whom in [`Tensor::scaled_dot_product_attention`].
#[derive(Clone, Debug, Default)]
pub struct AttentionOptions {
    /// Broadcast to `[b, h, s_q, s_kv]`: `bool` (true: may be seen) or a float added to the scaled scores. It gets no
    /// gradient.
    pub mask: Option<Tensor>,
    /// Query `i` sees keys up to `i + s_kv - s_q`.
    pub causal: bool,
    /// With `causal`, only the last `window` of them.
    pub window: Option<usize>,
    /// Factor of the scores; `1 / sqrt(d)` if not set.
    pub scale: Option<f64>,
    /// Boundaries `[0, n_1, n_1 + n_2, …, s]` of sequences packed into one row; each sees itself alone.
    pub segments: Option<Arc<[usize]>>,
}

impl Tensor {
    fn fused(&self, storage: crate::backend::StorageRef) -> Tensor {
        Tensor::from_storage(storage, *self.shape(), self.device())
    }

    /// `e^x / Σ e^x` along `dim`.
    ///
    /// # Errors
    /// [`ErrorKind::DType`] for integers, [`ErrorKind::Index`] for a dimension outside of the rank.
    pub fn softmax(&self, dim: isize) -> Result<Tensor> {
        self.needs_float("softmax")?;
        let d = self.shape().dim("softmax", dim)?;
        let out = self.fused(self.device().kernels().softmax(self.view(), d)?);
        Ok(record(out.clone(), "softmax", &[self], || {
            move |grad: Tensor, sink| {
                let storage = grad.device().kernels().softmax_backward(out.view(), grad.view(), d)?;
                sink.put(0, grad.fused(storage))
            }
        }))
    }

    /// `x - ln Σ e^x` along `dim`.
    ///
    /// # Errors
    /// As [`Tensor::softmax`].
    pub fn log_softmax(&self, dim: isize) -> Result<Tensor> {
        self.needs_float("log_softmax")?;
        let d = self.shape().dim("log_softmax", dim)?;
        let out = self.fused(self.device().kernels().log_softmax(self.view(), d)?);
        Ok(record(out.clone(), "log_softmax", &[self], || {
            move |grad: Tensor, sink| {
                let storage = grad.device().kernels().log_softmax_backward(out.view(), grad.view(), d)?;
                sink.put(0, grad.fused(storage))
            }
        }))
    }

    fn check_affine(&self, op: &'static str, vectors: [Option<&Tensor>; 2]) -> Result<()> {
        self.needs_float(op)?;
        let Some(&d) = self.shape().last() else {
            return Err(Error::new(ErrorKind::Shape, op, "a scalar has no dimension to normalise over"));
        };
        for vector in vectors.into_iter().flatten() {
            self.device().check_same(vector.device(), op)?;
            same_dtype(op, self, vector)?;
            if *vector.shape() != [d] {
                let message =
                    format!("input {} needs weight and bias of [{d}], found {}", self.shape(), vector.shape());
                return Err(Error::new(ErrorKind::Shape, op, message));
            }
        }
        Ok(())
    }

    /// `(x - mean) / sqrt(var + eps) * weight + bias` over the last dimension `d`; `weight` and `bias` are `[d]`
    /// (Ba et al. 2016).
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] or [`ErrorKind::DType`] if weight or bias do not fit; a bias without a weight is refused.
    pub fn layer_norm(&self, weight: Option<&Tensor>, bias: Option<&Tensor>, eps: f64) -> Result<Tensor> {
        const OP: &str = "layer_norm";
        self.check_affine(OP, [weight, bias])?;
        if weight.is_none() && bias.is_some() {
            return Err(Error::new(ErrorKind::Config, OP, "a bias needs a weight beside it"));
        }
        let kernels = self.device().kernels();
        let out = self.fused(kernels.layer_norm(self.view(), weight.map(Tensor::view), bias.map(Tensor::view), eps)?);
        let inputs: Vec<&Tensor> = [Some(self), weight, bias].into_iter().flatten().collect();
        Ok(record(out, OP, &inputs, || {
            let (x, weight, biased) = (self.detach(), weight.map(Tensor::detach), bias.is_some());
            move |grad: Tensor, sink| {
                let affine = weight.is_some() && (sink.wants(1) || (biased && sink.wants(2)));
                let w = weight.as_ref();
                let kernels = x.device().kernels();
                let (dx, dw, db) =
                    kernels.layer_norm_backward(x.view(), w.map(Tensor::view), grad.view(), eps, affine)?;
                sink.put(0, x.fused(dx))?;
                if let (Some(w), Some(dw)) = (w, dw) {
                    sink.put(1, w.fused(dw))?;
                }
                if let (Some(w), Some(db), true) = (w, db, biased) {
                    sink.put(2, w.fused(db))?;
                }
                Ok(())
            }
        }))
    }

    /// `x / sqrt(mean(x²) + eps) * (weight + offset)` over the last dimension (Zhang and Sennrich 2019). `offset` is 1
    /// for Gemma, else 0.
    ///
    /// # Errors
    /// As [`Tensor::layer_norm`].
    pub fn rms_norm(&self, weight: Option<&Tensor>, eps: f64, offset: f64) -> Result<Tensor> {
        const OP: &str = "rms_norm";
        self.check_affine(OP, [weight, None])?;
        let out = self.fused(self.device().kernels().rms_norm(self.view(), weight.map(Tensor::view), eps, offset)?);
        let inputs: Vec<&Tensor> = [Some(self), weight].into_iter().flatten().collect();
        Ok(record(out, OP, &inputs, || {
            let (x, weight) = (self.detach(), weight.map(Tensor::detach));
            move |grad: Tensor, sink| {
                let (w, kernels) = (weight.as_ref(), x.device().kernels());
                let affine = w.is_some() && sink.wants(1);
                let (dx, dw) =
                    kernels.rms_norm_backward(x.view(), w.map(Tensor::view), grad.view(), eps, offset, affine)?;
                sink.put(0, x.fused(dx))?;
                if let (Some(w), Some(dw)) = (w, dw) { sink.put(1, w.fused(dw)) } else { Ok(()) }
            }
        }))
    }

    fn glu(&self, name: &'static str, op: UnaryOp, up: &Tensor) -> Result<Tensor> {
        self.needs_float(name)?;
        self.device().check_same(up.device(), name)?;
        same_dtype(name, self, up)?;
        if self.shape() != up.shape() {
            let message = format!("gate {} and up {} have different shapes", self.shape(), up.shape());
            return Err(Error::new(ErrorKind::Shape, name, message));
        }
        let out = self.fused(self.device().kernels().glu(op, self.view(), up.view())?);
        Ok(record(out, name, &[self, up], || {
            let (gate, up) = (self.detach(), up.detach());
            move |grad: Tensor, sink| {
                let kernels = gate.device().kernels();
                let (dgate, dup) = kernels.glu_backward(op, gate.view(), up.view(), grad.view())?;
                sink.put(0, gate.fused(dgate))?;
                sink.put(1, up.fused(dup))
            }
        }))
    }

    /// `silu(self) * up` (Shazeer 2020).
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] or [`ErrorKind::DType`] if they differ.
    pub fn swiglu(&self, up: &Tensor) -> Result<Tensor> {
        self.glu("swiglu", UnaryOp::Silu, up)
    }

    /// `gelu_tanh(self) * up` (Shazeer 2020, in the approximation that Gemma uses).
    ///
    /// # Errors
    /// As [`Tensor::swiglu`].
    pub fn geglu(&self, up: &Tensor) -> Result<Tensor> {
        self.glu("geglu", UnaryOp::GeluTanh, up)
    }

    /// Rotary position embedding of `[b, h, s, d]` (Su et al. 2021).
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] if the tables do not fit, [`ErrorKind::DType`] if they are not `f32`.
    pub fn rope(&self, tables: &RopeTables, style: RopeStyle) -> Result<Tensor> {
        const OP: &str = "rope";
        self.needs_float(OP)?;
        let [b, _, s, d] = self.dims::<4>().map_err(|e| e.with("in", OP))?;
        let (cos, sin) = (&tables.cos, &tables.sin);
        for table in [cos, sin] {
            self.device().check_same(table.device(), OP)?;
            if table.dtype() != DType::F32 {
                return Err(Error::new(ErrorKind::DType, OP, format!("tables are f32, not {}", table.dtype())));
            }
        }
        let fits = cos.shape() == sin.shape()
            && cos.rank() == 3
            && [1, b].contains(&cos.shape()[0])
            && cos.shape()[1] == s
            && 2 * cos.shape()[2] <= d;
        if !fits {
            let message = format!("input {} and tables {}, {}", self.shape(), cos.shape(), sin.shape());
            return Err(Error::new(ErrorKind::Shape, OP, message)
                .hint("tables are [batch or 1, sequence, rotated channels / 2] for an input [batch, heads, sequence, channels]"));
        }
        let rotate = move |x: &Tensor, cos: &Tensor, sin: &Tensor, inverse| -> Result<Tensor> {
            let args = RopeArgs { x: x.view(), cos: cos.view(), sin: sin.view(), style, inverse };
            Ok(x.fused(x.device().kernels().rope(args)?))
        };
        let out = rotate(self, cos, sin, false)?;
        Ok(record(out, OP, &[self], || {
            let (cos, sin) = (cos.detach(), sin.detach());
            move |grad: Tensor, sink| sink.put(0, rotate(&grad, &cos, &sin, true)?)
        }))
    }

    /// Scaled dot-product attention: queries `[b, h, s_q, d]`, keys `[b, h_kv, s_kv, d]`, values
    /// `[b, h_kv, s_kv, d_v]` give `[b, h, s_q, d_v]`; `h` is a multiple of `h_kv` (grouped queries, Ainslie et al.
    /// 2023). A query that sees no key gives zeros.
    ///
    /// # Gradient
    /// For queries, keys and values. The probabilities are computed again instead of kept (Dao et al. 2022).
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] naming what does not fit, [`ErrorKind::DType`] if element types differ,
    /// [`ErrorKind::NoGradient`] if the mask tracks gradients.
    pub fn scaled_dot_product_attention(&self, k: &Tensor, v: &Tensor, options: &AttentionOptions) -> Result<Tensor> {
        const OP: &str = "scaled_dot_product_attention";
        let mask = self.check_attention(OP, k, v, options)?;
        let ([b, h, s_q, d], d_v) = (self.dims::<4>()?, v.shape()[3]);
        let full = Dims::from_slice(&[b, h, s_q, k.shape()[2]]);
        let mask = mask.map(|m| m.with_layout(m.layout().broadcast_to(&full)));
        let call = Call {
            q: self.detach(),
            k: k.detach(),
            v: v.detach(),
            mask,
            scale: options.scale.unwrap_or(1.0 / (d as f64).sqrt()),
            causal: options.causal,
            window: options.window,
            segments: options.segments.clone(),
        };
        let save = crate::autograd::tracks(&[self, k, v]);
        let (storage, lse) = self.device().kernels().attention(call.args(), save)?;
        let joined = Tensor::from_storage(storage, Dims::from_slice(&[b, s_q, h, d_v]), self.device());
        let out = joined.with_layout(joined.layout().transpose(1, 2));
        let Some(lse) = lse.filter(|_| save) else { return Ok(out) };
        let lse = Tensor::from_storage(lse, Dims::from_slice(&[b, h, s_q]), self.device());
        Ok(record(out.clone(), OP, &[self, k, v], || {
            move |grad: Tensor, sink| {
                let kernels = call.q.device().kernels();
                let (dq, dk, dv) = kernels.attention_backward(call.args(), out.view(), lse.view(), grad.view())?;
                sink.put(0, call.q.fused(dq))?;
                sink.put(1, call.k.fused(dk))?;
                sink.put(2, call.v.fused(dv))
            }
        }))
    }

    /// Checks everything that attention needs; returns the mask as a float.
    fn check_attention(
        &self,
        op: &'static str,
        k: &Tensor,
        v: &Tensor,
        o: &AttentionOptions,
    ) -> Result<Option<Tensor>> {
        self.needs_float(op)?;
        for other in [k, v] {
            self.device().check_same(other.device(), op)?;
            same_dtype(op, self, other)?;
        }
        let wrong = |what: &str| {
            let message = format!("{what}: queries {}, keys {}, values {}", self.shape(), k.shape(), v.shape());
            Err(Error::new(ErrorKind::Shape, op, message))
        };
        let (Ok([b, h, s_q, d]), Ok([bk, hk, s_kv, dk]), Ok([bv, hv, sv, _])) =
            (self.dims::<4>(), k.dims::<4>(), v.dims::<4>())
        else {
            return wrong("expected [batch, heads, sequence, channels]");
        };
        if (b, d) != (bk, dk) || (bk, hk, s_kv) != (bv, hv, sv) {
            return wrong("sizes do not fit");
        }
        if hk == 0 || !h.is_multiple_of(hk) {
            return wrong("query heads are no multiple of key heads");
        }
        if let Some(bounds) = &o.segments {
            let sound = s_q == s_kv
                && bounds.first() == Some(&0)
                && bounds.last() == Some(&s_q)
                && bounds.windows(2).all(|w| w[0] <= w[1]);
            if !sound {
                return wrong("segments are not ascending boundaries from 0 to the sequence length");
            }
        }
        if o.window == Some(0) || (o.window.is_some() && !o.causal) {
            return Err(Error::new(ErrorKind::Config, op, "a window must be positive and needs causal attention"));
        }
        let Some(mask) = &o.mask else { return Ok(None) };
        crate::autograd::forbid(op, &[mask])?;
        self.device().check_same(mask.device(), op)?;
        let full = Dims::from_slice(&[b, h, s_q, s_kv]);
        if mask.shape().broadcast(&full, op)? != full {
            return wrong("the mask does not broadcast to the scores");
        }
        if mask.dtype() == DType::Bool {
            let zero = Tensor::zeros((), DType::F32, mask.device())?;
            let never = Tensor::full((), f64::NEG_INFINITY, DType::F32, mask.device())?;
            return zero.where_cond(mask, &never).map(Some);
        }
        if mask.dtype() == self.dtype() || mask.dtype() == DType::F32 {
            return Ok(Some(mask.detach()));
        }
        mask.to_dtype(DType::F32).map(Some)
    }
}

/// The operands of one attention, kept for its gradient.
struct Call {
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Option<Tensor>,
    scale: f64,
    causal: bool,
    window: Option<usize>,
    segments: Option<Arc<[usize]>>,
}

impl Call {
    fn args(&self) -> AttentionArgs<'_> {
        AttentionArgs {
            q: self.q.view(),
            k: self.k.view(),
            v: self.v.view(),
            mask: self.mask.as_ref().map(Tensor::view),
            scale: self.scale,
            causal: self.causal,
            window: self.window,
            segments: self.segments.clone(),
        }
    }
}
