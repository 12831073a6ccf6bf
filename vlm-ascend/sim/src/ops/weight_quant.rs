//! Products with quantised weights.

// Operations have the names of the interface.
#![allow(non_snake_case)]

use super::product::{Matrices, Matrix, Rounding, multiply};
use crate::plan::{Cx, Planned, Refusal, invalid, of_shape, of_types, plan, same_type};
use crate::types::{DType, Tensor};
use half::{bf16, f16};

/// Requires a matrix that lies in memory as it is or transposed.
fn dense(what: &str, t: &Tensor) -> Result<(), Refusal> {
    let (mut dims, mut strides) = (t.dims.clone(), t.strides.clone());
    dims.reverse();
    strides.reverse();
    if t.is_contiguous() || t.with_view(dims, strides, t.offset).is_contiguous() {
        return Ok(());
    }
    Err(invalid(format!("{what} is neither contiguous nor a transposed contiguous matrix: strides {:?}", t.strides)))
}

/// The parameter as one row for each group of rows of the weight.
fn parameter(what: &str, t: &Tensor, groups: usize, n: usize, grouped: bool) -> Result<Tensor, Refusal> {
    let allowed = match (&t.dims[..], grouped) {
        ([g, w], true) => (*g, *w) == (groups, n),
        ([w] | [1, w], false) => *w == n || *w == 1,
        _ => false,
    };
    t.broadcast(&[groups, n]).filter(|_| allowed).ok_or_else(|| {
        invalid(format!("{what} has shape {:?}, which fits neither {n} columns nor {groups} groups", t.dims))
    })
}

/// `y = x ((weight + offset) * scale) + bias`, with a scale for the whole weight, for each column, or for each column and
/// group of rows. What it would quantise of the result is not simulated.
#[allow(clippy::too_many_arguments)]
pub(crate) fn WeightQuantBatchMatmulV2(
    cx: &Cx,
    x: &Tensor,
    weight: &Tensor,
    antiquant_scale: &Tensor,
    antiquant_offset: Option<&Tensor>,
    quant_scale: Option<&Tensor>,
    quant_offset: Option<&Tensor>,
    bias: Option<&Tensor>,
    antiquant_group_size: i32,
    y: &Tensor,
) -> Planned {
    of_types(cx, "x", x, &[DType::F16, DType::BF16])?;
    of_types(cx, "weight", weight, &[DType::I8, DType::I4])?;
    if quant_scale.is_some() || quant_offset.is_some() {
        return Err(invalid("quantScale and quantOffset: quantised results are not simulated"));
    }
    for (what, t) in [("x", x), ("weight", weight), ("y", y)] {
        if t.rank() != 2 || t.is_empty() {
            return Err(invalid(format!("{what} has shape {:?}, expected a matrix that is not empty", t.dims)));
        }
    }
    let (m, k, n) = (x.dims[0], x.dims[1], weight.dims[1]);
    if weight.dims[0] != k {
        return Err(invalid(format!("x of shape {:?} does not fit weight of shape {:?}", x.dims, weight.dims)));
    }
    if k > 65_535 || n > 65_535 {
        return Err(invalid(format!("weight has shape {:?}, where 65535 is the most", weight.dims)));
    }
    for (what, t) in [("x", x), ("weight", weight), ("antiquantScale", antiquant_scale)] {
        dense(what, t)?;
    }
    let inner = if weight.is_contiguous() && n > 1 { n } else { k };
    if weight.dtype == DType::I4 && inner % 2 != 0 {
        return Err(invalid(format!("weight has {inner} elements of four bits in a row, expected an even number")));
    }
    let group = match antiquant_group_size {
        0 => k,
        g if g >= 32 && g % 32 == 0 && (g as usize) < k => g as usize,
        g => return Err(invalid(format!("antiquantGroupSize {g} is neither 0 nor a multiple of 32 below {k}"))),
    };
    let (groups, grouped) = (k.div_ceil(group), antiquant_group_size != 0);
    same_type("x and antiquantScale", x, antiquant_scale)?;
    same_type("x and y", x, y)?;
    of_shape("y", y, &[m, n])?;
    let scale = parameter("antiquantScale", antiquant_scale, groups, n, grouped)?;
    let offset = match antiquant_offset {
        Some(t) => {
            same_type("x and antiquantOffset", x, t)?;
            of_shape("antiquantOffset", t, &antiquant_scale.dims)?;
            dense("antiquantOffset", t)?;
            Some(parameter("antiquantOffset", t, groups, n, grouped)?)
        }
        None => None,
    };
    let bias = match bias {
        Some(t) => {
            of_types(cx, "bias", t, &[if x.dtype == DType::BF16 { DType::F32 } else { DType::F16 }])?;
            if !matches!(t.dims[..], [w] | [1, w] if w == n) {
                return Err(invalid(format!("bias has shape {:?}, expected {n} elements", t.dims)));
            }
            Some(t.clone())
        }
        None => None,
    };
    let (x, weight, y) = (x.clone(), weight.clone(), y.clone());
    plan(move |run| {
        let half = |v: f32| match x.dtype {
            DType::BF16 => bf16::from_f32(v).to_f32(),
            _ => f16::from_f32(v).to_f32(),
        };
        let mut w = run.f32s(&weight)?;
        let scales = run.f32s(&scale)?;
        let offsets = offset.as_ref().map(|t| run.f32s(t)).transpose()?;
        for (row, w) in w.chunks_exact_mut(n).enumerate() {
            let at = row / group * n;
            if let Some(offsets) = &offsets {
                w.iter_mut().zip(&offsets[at..]).for_each(|(w, o)| *w += o);
            }
            // The product unit takes the weight in the type of `x`.
            w.iter_mut().zip(&scales[at..]).for_each(|(w, s)| *w = half(*w * s));
        }
        let mut c = vec![0.0; m * n];
        multiply(Matrices::read(run, &x, Rounding::Keep)?.get(0), Matrix::new(&w, k, n), &mut c, false);
        if let Some(bias) = &bias {
            let bias = run.f32s(bias)?;
            c.chunks_exact_mut(n).for_each(|row| row.iter_mut().zip(&bias).for_each(|(c, b)| *c += b));
        }
        run.put_f32(&y, &c)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{Bench, assert_close, refusal};

    const K: usize = 64;

    /// `x` of ones, and a transposed weight of two columns.
    fn operands(b: &mut Bench, dtype: DType) -> (Tensor, Tensor) {
        let x = b.tensor(DType::F16, &[1, K], &[1.0; K]);
        let values: Vec<f64> = (0..2 * K).map(|i| ((i * i * 3 + i) % 16) as f64 - 8.0).collect();
        let w = b.tensor(dtype, &[2, K], &values);
        (x, w.with_view(vec![K, 2], vec![1, K], 0))
    }

    #[test]
    fn scales_by_column() {
        for dtype in [DType::I8, DType::I4] {
            let mut b = Bench::new();
            let (x, w) = operands(&mut b, dtype);
            let stored = b.values(&w);
            let sums: Vec<f64> = (0..2).map(|c| (0..K).map(|r| stored[2 * r + c]).sum()).collect();
            let scale = b.tensor(DType::F16, &[1, 2], &[0.5, 0.25]);
            let offset = b.tensor(DType::F16, &[1, 2], &[1.0, -2.0]);
            let bias = b.tensor(DType::F16, &[2], &[100.0, 0.0]);
            let y = b.empty(DType::F16, &[1, 2]);
            let p = WeightQuantBatchMatmulV2(&b.cx, &x, &w, &scale, Some(&offset), None, None, Some(&bias), 0, &y);
            b.run(p).unwrap();
            assert_close(&b.values(&y), &[(sums[0] + 64.0) * 0.5 + 100.0, (sums[1] - 128.0) * 0.25], 1e-3);
        }
    }

    #[test]
    fn scales_by_group() {
        let mut b = Bench::new();
        let (x, w) = operands(&mut b, DType::I4);
        let stored = b.values(&w);
        // Scales as ggml lays them out: a row for each column.
        let scale = b.tensor(DType::F16, &[2, 2], &[1.0, 2.0, 0.5, 4.0]).with_view(vec![2, 2], vec![1, 2], 0);
        let y = b.empty(DType::F16, &[1, 2]);
        let p = WeightQuantBatchMatmulV2(&b.cx, &x, &w, &scale, None, None, None, None, 32, &y);
        b.run(p).unwrap();
        let sum = |c: usize, g: usize| (32 * g..32 * g + 32).map(|r| stored[2 * r + c]).sum::<f64>();
        assert_close(&b.values(&y), &[sum(0, 0) + 2.0 * sum(0, 1), 0.5 * sum(1, 0) + 4.0 * sum(1, 1)], 1e-3);
        let refused = WeightQuantBatchMatmulV2(&b.cx, &x, &w, &scale, None, None, None, None, 64, &y);
        assert_eq!(refusal(refused), 161_002);
        let refused = WeightQuantBatchMatmulV2(&b.cx, &x, &w, &scale, None, None, None, None, 0, &y);
        assert_eq!(refusal(refused), 161_002);
    }
}
