//! Softmax and its kin, along one dimension.

// Operations have the names of the interface.
#![allow(non_snake_case)]

use crate::plan::{Cx, Planned, Refusal, dimension, of_shape, of_types, plan, same_type};
use crate::types::{DType, FLOATS, FLOATS64, Tensor};

/// The rows along a dimension of a row-major array.
#[derive(Clone, Copy)]
struct Rows {
    len: usize,
    stride: usize,
}

impl Rows {
    fn new(t: &Tensor, dim: i64) -> Result<Self, Refusal> {
        let dim = dimension(t, dim)?;
        let len = t.dims.get(dim).copied().unwrap_or(1);
        Ok(Rows { len, stride: t.dims.iter().skip(dim + 1).product() })
    }

    /// The place of the first element of each row.
    fn starts(self, count: usize) -> impl Iterator<Item = usize> {
        let block = self.len * self.stride;
        (0..count.checked_div(block).unwrap_or(0)).flat_map(move |b| (b * block..).take(self.stride))
    }
}

/// What is computed in: `f32`, or `f64` where an operand has that.
trait Real: Copy + PartialOrd {
    const LOWEST: Self;
    fn of(x: f64) -> Self;
    fn f64(self) -> f64;
    fn sub(self, other: Self) -> Self;
    fn exp(self) -> Self;
    fn is_nan(self) -> bool;
}

macro_rules! real {
    ($T:ty) => {
        impl Real for $T {
            const LOWEST: Self = <$T>::NEG_INFINITY;
            fn of(x: f64) -> Self {
                x as $T
            }
            fn f64(self) -> f64 {
                f64::from(self)
            }
            fn sub(self, other: Self) -> Self {
                self - other
            }
            fn exp(self) -> Self {
                self.exp()
            }
            fn is_nan(self) -> bool {
                self.is_nan()
            }
        }
    };
}
real!(f32);
real!(f64);

/// Softmax of each row, or its logarithm, in place.
fn softmax<T: Real>(values: &mut [T], rows: Rows, log: bool) {
    for start in rows.starts(values.len()) {
        let at = |i: usize| start + i * rows.stride;
        let mut most = T::LOWEST;
        for i in 0..rows.len {
            let v = values[at(i)];
            if v > most || v.is_nan() {
                most = v;
            }
        }
        let mut sum = 0.0;
        if log {
            for i in 0..rows.len {
                sum += values[at(i)].sub(most).exp().f64();
            }
            let (most, sum) = (most.f64(), sum.ln());
            for i in 0..rows.len {
                let v = &mut values[at(i)];
                *v = T::of(v.f64() - most - sum);
            }
        } else {
            for i in 0..rows.len {
                let v = &mut values[at(i)];
                *v = v.sub(most).exp();
                sum += v.f64();
            }
            for i in 0..rows.len {
                let v = &mut values[at(i)];
                *v = T::of(v.f64() / sum);
            }
        }
    }
}

fn forward(cx: &Cx, x: &Tensor, dim: i64, out: &Tensor, log: bool) -> Planned {
    of_types(cx, "self", x, FLOATS64)?;
    of_types(cx, "out", out, FLOATS64)?;
    of_shape("out", out, &x.dims)?;
    let rows = Rows::new(x, dim)?;
    let (x, out) = (x.clone(), out.clone());
    plan(move |run| {
        if x.dtype == DType::F64 {
            let mut values = run.f64s(&x)?;
            softmax(&mut values, rows, log);
            run.put_f64(&out, &values)
        } else {
            let mut values = run.f32s(&x)?;
            softmax(&mut values, rows, log);
            run.put_f32(&out, &values)
        }
    })
}

fn backward(cx: &Cx, grad_output: &Tensor, output: &Tensor, dim: i64, out: &Tensor, log: bool) -> Planned {
    of_types(cx, "gradOutput", grad_output, FLOATS)?;
    of_types(cx, "out", out, FLOATS)?;
    same_type("gradOutput and output", grad_output, output)?;
    of_shape("output", output, &grad_output.dims)?;
    of_shape("out", out, &grad_output.dims)?;
    let rows = Rows::new(grad_output, dim)?;
    let (grad_output, output, out) = (grad_output.clone(), output.clone(), out.clone());
    plan(move |run| {
        let (mut grad, y) = (run.f32s(&grad_output)?, run.f32s(&output)?);
        for start in rows.starts(grad.len()) {
            let places = || (0..rows.len).map(|i| start + i * rows.stride);
            if log {
                let sum: f64 = places().map(|p| f64::from(grad[p])).sum();
                places().for_each(|p| grad[p] = (f64::from(grad[p]) - sum * f64::from(y[p].exp())) as f32);
            } else {
                let sum: f64 = places().map(|p| f64::from(grad[p]) * f64::from(y[p])).sum();
                places().for_each(|p| grad[p] = ((f64::from(grad[p]) - sum) * f64::from(y[p])) as f32);
            }
        }
        run.put_f32(&out, &grad)
    })
}

pub(crate) fn Softmax(cx: &Cx, x: &Tensor, dim: i64, out: &Tensor) -> Planned {
    forward(cx, x, dim, out, false)
}

pub(crate) fn LogSoftmax(cx: &Cx, x: &Tensor, dim: i64, out: &Tensor) -> Planned {
    forward(cx, x, dim, out, true)
}

pub(crate) fn SoftmaxBackward(cx: &Cx, grad_output: &Tensor, output: &Tensor, dim: i64, out: &Tensor) -> Planned {
    backward(cx, grad_output, output, dim, out, false)
}

pub(crate) fn LogSoftmaxBackward(cx: &Cx, grad_output: &Tensor, output: &Tensor, dim: i64, out: &Tensor) -> Planned {
    backward(cx, grad_output, output, dim, out, true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{Bench, assert_close, refusal};

    #[test]
    fn rows_of_any_dimension() {
        let mut b = Bench::new();
        let (two, three) = (2f64.ln(), 3f64.ln());
        let x = b.tensor(DType::F32, &[2, 2], &[0.0, two, three, 1000.0]);
        let out = b.empty(DType::F32, &[2, 2]);
        let p = Softmax(&b.cx, &x, 0, &out);
        b.run(p).unwrap();
        assert_close(&b.values(&out), &[0.25, 0.0, 0.75, 1.0], 1e-6);
        let p = LogSoftmax(&b.cx, &x, -1, &out);
        b.run(p).unwrap();
        let third = 3f64.ln();
        assert_close(&b.values(&out), &[-third, two - third, three - 1000.0, 0.0], 1e-6);
        // The transposed view.
        let x = x.with_view(vec![2, 2], vec![1, 2], 0);
        let p = Softmax(&b.cx, &x, 1, &out);
        b.run(p).unwrap();
        assert_close(&b.values(&out), &[0.25, 0.75, 0.0, 1.0], 1e-6);
        assert_eq!(refusal(Softmax(&b.cx, &x, 2, &out)), 161_002);
        let ints = b.empty(DType::I32, &[2, 2]);
        assert_eq!(refusal(Softmax(&b.cx, &ints, 0, &out)), 161_002);
    }

    #[test]
    fn other_types_and_masked_rows() {
        let mut b = Bench::new();
        let x = b.tensor(DType::F16, &[3], &[f64::NEG_INFINITY, 1.0, 1.0]);
        let out = b.empty(DType::F16, &[3]);
        let p = Softmax(&b.cx, &x, -1, &out);
        b.run(p).unwrap();
        assert_eq!(b.values(&out), [0.0, 0.5, 0.5]);
        let x = b.tensor(DType::F64, &[2], &[1.0, 2.0]);
        let out = b.empty(DType::F64, &[2]);
        let p = Softmax(&b.cx, &x, 0, &out);
        b.run(p).unwrap();
        let e = std::f64::consts::E;
        assert_close(&b.values(&out), &[1.0 / (1.0 + e), e / (1.0 + e)], 1e-14);
        let (x, out) = (b.tensor(DType::F32, &[], &[7.0]), b.empty(DType::F32, &[]));
        let p = Softmax(&b.cx, &x, 0, &out);
        b.run(p).unwrap();
        assert_eq!(b.values(&out), [1.0]);
        let (x, out) = (b.tensor(DType::F32, &[2, 0], &[]), b.empty(DType::F32, &[2, 0]));
        let p = Softmax(&b.cx, &x, 1, &out);
        b.run(p).unwrap();
    }

    #[test]
    fn gradients() {
        let mut b = Bench::new();
        let grad = b.tensor(DType::F32, &[1, 2], &[1.0, 3.0]);
        let y = b.tensor(DType::F32, &[1, 2], &[0.25, 0.75]);
        let log = b.tensor(DType::F32, &[1, 2], &[0.25f64.ln(), 0.75f64.ln()]);
        let out = b.empty(DType::F32, &[1, 2]);
        let p = SoftmaxBackward(&b.cx, &grad, &y, 1, &out);
        b.run(p).unwrap();
        // The mean gradient under `y` is 2.5.
        assert_close(&b.values(&out), &[-1.5 * 0.25, 0.5 * 0.75], 1e-6);
        let p = LogSoftmaxBackward(&b.cx, &grad, &log, 1, &out);
        b.run(p).unwrap();
        assert_close(&b.values(&out), &[1.0 - 4.0 * 0.25, 3.0 - 4.0 * 0.75], 1e-6);
        let wrong = b.empty(DType::F32, &[2, 1]);
        assert_eq!(refusal(SoftmaxBackward(&b.cx, &grad, &wrong, 1, &out)), 161_002);
    }
}
