//! Matrix products of floats.
//!
//! `FRACTAL_NZ` weights: the layout that the chip's product unit likes is opaque to callers, who may only make it by
//! `TransMatmulWeight` and hand it to products. Here it is row-major order like any other, so the conversion changes
//! nothing and a product reads a tensor marked as `FRACTAL_NZ` as it reads all.

// Operations have the names of the interface.
#![allow(non_snake_case)]

use super::product::{CubeRules, Matrices, Rounding, cube_rounding, multiply, promoted};
use crate::plan::{Cx, Fault, Planned, Refusal, invalid, of_shape, of_types, plan, same_type};
use crate::run::Run;
use crate::types::{DType, FLOATS, Scalar, Tensor, broadcast_dims, contiguous_strides};

const STRICT: CubeRules = CubeRules { last: 4, no_bf16_as_f16: true, hf32_of_f32_only: true };

/// A checked product of tensors with broadcasting of all but the last two dimensions.
struct Product {
    a: Tensor,
    b: Tensor,
    rounding: Rounding,
    /// Dimensions that the operands broadcast to, but for those of the matrices.
    batch: Vec<usize>,
    /// Of the result.
    dims: Vec<usize>,
}

impl Product {
    /// A vector counts as a row on the left and as a column on the right; its dimension is not in the result.
    fn new(x: &Tensor, mat2: &Tensor, rounding: Rounding) -> Result<Self, Refusal> {
        let a = if x.rank() == 1 {
            x.with_view(vec![1, x.dims[0]], vec![x.dims[0], x.strides[0]], x.offset)
        } else {
            x.clone()
        };
        let b = if mat2.rank() == 1 {
            mat2.with_view(vec![mat2.dims[0], 1], vec![mat2.strides[0], 1], mat2.offset)
        } else {
            mat2.clone()
        };
        let (a_batch, b_batch) = (&a.dims[..a.rank() - 2], &b.dims[..b.rank() - 2]);
        let misfit = || invalid(format!("shapes {:?} and {:?} do not multiply", x.dims, mat2.dims));
        let batch = broadcast_dims(&[a_batch, b_batch]).ok_or_else(misfit)?;
        if a.dims[a.rank() - 1] != b.dims[b.rank() - 2] {
            return Err(misfit());
        }
        let mut dims = batch.clone();
        if x.rank() > 1 {
            dims.push(a.dims[a.rank() - 2]);
        }
        if mat2.rank() > 1 {
            dims.push(b.dims[b.rank() - 1]);
        }
        Ok(Product { a, b, rounding, batch, dims })
    }

    /// For each matrix of the result, which one of `t` it is made from.
    fn sources(&self, t: &Tensor) -> Vec<usize> {
        let own = &t.dims[..t.rank() - 2];
        let view = t.with_view(own.to_vec(), contiguous_strides(own), 0);
        view.broadcast(&self.batch).map_or_else(Vec::new, |v| v.places().collect())
    }

    fn compute(&self, run: &Run<'_>) -> Result<Vec<f32>, Fault> {
        let mut c = vec![0.0; self.dims.iter().product()];
        if c.is_empty() {
            return Ok(c);
        }
        let (a, b) = (Matrices::read(run, &self.a, self.rounding)?, Matrices::read(run, &self.b, self.rounding)?);
        let own = &self.a.dims[..self.a.rank() - 2];
        let b_count: usize = self.b.dims[..self.b.rank() - 2].iter().product();
        let one_product = b_count == 1 && own.iter().product::<usize>() == self.batch.iter().product::<usize>();
        if let Some(rows) = a.stacked().filter(|_| one_product) {
            multiply(rows, b.get(0), &mut c, false);
            return Ok(c);
        }
        let (from_a, from_b) = (self.sources(&self.a), self.sources(&self.b));
        let size = c.len() / from_a.len();
        for (c, (i, j)) in c.chunks_exact_mut(size).zip(from_a.into_iter().zip(from_b)) {
            multiply(a.get(i), b.get(j), c, false);
        }
        Ok(c)
    }
}

/// Requires floats of `ranks` dimensions.
fn operand(cx: &Cx, what: &str, t: &Tensor, ranks: std::ops::RangeInclusive<usize>) -> Result<(), Refusal> {
    of_types(cx, what, t, FLOATS)?;
    if ranks.contains(&t.rank()) {
        Ok(())
    } else {
        Err(invalid(format!("{what} has {} dimensions, expected {ranks:?}", t.rank())))
    }
}

fn planned(product: Product, out: &Tensor) -> Planned {
    of_shape("out", out, &product.dims)?;
    let out = out.clone();
    plan(move |run| {
        let c = product.compute(run)?;
        run.put_f32(&out, &c)
    })
}

pub(crate) fn Matmul(cx: &Cx, x: &Tensor, mat2: &Tensor, out: &Tensor, cube_math_type: i8) -> Planned {
    operand(cx, "self", x, 1..=6)?;
    operand(cx, "mat2", mat2, 1..=6)?;
    operand(cx, "out", out, 0..=6)?;
    let dtype = promoted(x, mat2)?;
    // For two vectors, cubeMathType is documented to have no effect.
    let dot = x.rank() == 1 && mat2.rank() == 1;
    let rounding = if dot { Rounding::Keep } else { cube_rounding(cx, STRICT, dtype, cube_math_type)? };
    planned(Product::new(x, mat2, rounding)?, out)
}

pub(crate) fn Mm(cx: &Cx, x: &Tensor, mat2: &Tensor, out: &Tensor, cube_math_type: i8) -> Planned {
    operand(cx, "self", x, 2..=2)?;
    operand(cx, "mat2", mat2, 2..=2)?;
    operand(cx, "out", out, 2..=2)?;
    let rounding = cube_rounding(cx, STRICT, promoted(x, mat2)?, cube_math_type)?;
    planned(Product::new(x, mat2, rounding)?, out)
}

pub(crate) fn BatchMatMul(cx: &Cx, x: &Tensor, mat2: &Tensor, out: &Tensor, cube_math_type: i8) -> Planned {
    operand(cx, "self", x, 3..=3)?;
    operand(cx, "mat2", mat2, 3..=3)?;
    operand(cx, "out", out, 3..=3)?;
    let rules = CubeRules { last: 3, no_bf16_as_f16: false, hf32_of_f32_only: false };
    let rounding = cube_rounding(cx, rules, promoted(x, mat2)?, cube_math_type)?;
    planned(Product::new(x, mat2, rounding)?, out)
}

#[allow(clippy::too_many_arguments)]
pub(crate) fn Addmm(
    cx: &Cx,
    x: &Tensor,
    mat1: &Tensor,
    mat2: &Tensor,
    beta: Scalar,
    alpha: Scalar,
    out: &Tensor,
    cube_math_type: i8,
) -> Planned {
    operand(cx, "self", x, 1..=2)?;
    operand(cx, "mat1", mat1, 2..=2)?;
    operand(cx, "mat2", mat2, 2..=2)?;
    operand(cx, "out", out, 2..=2)?;
    let dtype = promoted(mat1, mat2)?;
    promoted(x, mat1)?;
    promoted(x, mat2)?;
    let last = if cx.chip.f32_products_as_f16 { 3 } else { 4 };
    let product = Product::new(mat1, mat2, cube_rounding(cx, CubeRules { last, ..STRICT }, dtype, cube_math_type)?)?;
    of_shape("out", out, &product.dims)?;
    let x = x.broadcast(&product.dims).ok_or_else(|| {
        invalid(format!("self has shape {:?}, which does not broadcast to {:?}", x.dims, product.dims))
    })?;
    let (out, beta, alpha) = (out.clone(), beta.f64() as f32, alpha.f64() as f32);
    plan(move |run| {
        let mut c = product.compute(run)?;
        for (c, x) in c.iter_mut().zip(run.f32s(&x)?) {
            *c = beta * x + alpha * *c;
        }
        run.put_f32(&out, &c)
    })
}

pub(crate) fn Mv(cx: &Cx, x: &Tensor, vec: &Tensor, out: &Tensor, cube_math_type: i8) -> Planned {
    operand(cx, "self", x, 2..=2)?;
    operand(cx, "vec", vec, 1..=1)?;
    operand(cx, "out", out, 1..=1)?;
    same_type("self and vec", x, vec)?;
    same_type("self and out", x, out)?;
    let rounding = cube_rounding(cx, CubeRules { last: 3, ..STRICT }, x.dtype, cube_math_type)?;
    planned(Product::new(x, vec, rounding)?, out)
}

/// Changes nothing: see the head of this file.
pub(crate) fn TransMatmulWeight(cx: &Cx, mm_weight_ref: &Tensor) -> Planned {
    let t = mm_weight_ref;
    // F32 is not documented, but ggml converts such weights too.
    of_types(cx, "mmWeightRef", t, &[DType::F16, DType::BF16, DType::I8, DType::F32])?;
    if !(2..=6).contains(&t.rank()) || t.is_empty() {
        return Err(invalid(format!("mmWeightRef has shape {:?}, expected 2 to 6 dimensions, none of them 0", t.dims)));
    }
    plan(|_| Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{Bench, assert_close, refusal};

    #[test]
    fn multiplies_matrices_and_vectors() {
        let mut b = Bench::new();
        let x = b.tensor(DType::F32, &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let v = b.tensor(DType::F32, &[3], &[1.0, 1.0, 1.0]);
        let w = b.tensor(DType::F32, &[2], &[1.0, -1.0]);
        let (mv, vm, dot) = (b.empty(DType::F32, &[2]), b.empty(DType::F32, &[3]), b.empty(DType::F32, &[]));
        let p = Matmul(&b.cx, &x, &v, &mv, 0);
        b.run(p).unwrap();
        let p = Matmul(&b.cx, &w, &x, &vm, 0);
        b.run(p).unwrap();
        let p = Matmul(&b.cx, &v, &v, &dot, 0);
        b.run(p).unwrap();
        assert_eq!(b.values(&mv), [6.0, 15.0]);
        assert_eq!(b.values(&vm), [-3.0; 3]);
        assert_eq!(b.values(&dot), [3.0]);
        let p = Mv(&b.cx, &x, &v, &mv, 1);
        b.run(p).unwrap();
        assert_eq!(b.values(&mv), [6.0, 15.0]);
        assert_eq!(refusal(Matmul(&b.cx, &x, &x, &mv, 0)), 161_002);
    }

    #[test]
    fn broadcasts_batches_and_reads_views() {
        let mut b = Bench::new();
        // [2, 1, 1, 2] times [3, 2, 2], the latter a transposed view.
        let x = b.tensor(DType::F16, &[2, 1, 1, 2], &[1.0, 2.0, 3.0, 4.0]);
        let y = b.tensor(DType::F16, &[3, 2, 2], &(0..12).map(f64::from).collect::<Vec<_>>());
        let y = y.with_view(vec![3, 2, 2], vec![4, 1, 2], 0);
        let out = b.empty(DType::F32, &[2, 3, 1, 2]);
        let p = Matmul(&b.cx, &x, &y, &out, 1);
        b.run(p).unwrap();
        // Rows of the stored matrices: (0 1) (2 3) | (4 5) (6 7) | (8 9) (10 11).
        let expected = [2.0, 8.0, 14.0, 20.0, 26.0, 32.0, 4.0, 18.0, 32.0, 46.0, 60.0, 74.0];
        assert_eq!(b.values(&out), expected);
        // A batch on the left only goes through one product.
        let w = b.tensor(DType::F16, &[2, 1], &[1.0, 1.0]);
        let out = b.empty(DType::F16, &[2, 1, 1, 1]);
        let p = Matmul(&b.cx, &x, &w, &out, 0);
        b.run(p).unwrap();
        assert_eq!(b.values(&out), [3.0, 7.0]);
    }

    #[test]
    fn rounds_operands_as_cube_math_type_says() {
        let mut b = Bench::new();
        let fine = 1.0 + 2f64.powi(-11) + 2f64.powi(-12) + 2f64.powi(-20);
        let x = b.tensor(DType::F32, &[1, 1], &[fine]);
        let one = b.tensor(DType::F32, &[1, 1], &[1.0]);
        let large = b.tensor(DType::F32, &[1, 1], &[1e6]);
        let out = b.empty(DType::F32, &[1, 1]);
        for (cube, expected) in
            [(0, fine), (1, 1.0 + 2f64.powi(-10)), (2, 1.0 + 2f64.powi(-10)), (3, 1.0 + 2f64.powi(-10)), (4, fine)]
        {
            let p = Mm(&b.cx, &x, &one, &out, cube);
            b.run(p).unwrap();
            assert_eq!(b.values(&out), [expected], "cubeMathType {cube}");
        }
        let p = Mm(&b.cx, &large, &one, &out, 2);
        b.run(p).unwrap();
        assert_eq!(b.values(&out), [f64::INFINITY]);
        assert_eq!(refusal(Mm(&b.cx, &x, &one, &out, 5)), 161_002);
        let bf = b.tensor(DType::BF16, &[1, 1], &[1.0]);
        assert_eq!(refusal(Mm(&b.cx, &bf, &bf, &out, 2)), 161_002);
        assert_eq!(refusal(Mm(&b.cx, &bf, &bf, &out, 3)), 161_002);
        // As ggml passes them: the types are promoted first.
        let p = Mm(&b.cx, &x, &bf, &out, 2);
        b.run(p).unwrap();
        let half = b.tensor(DType::F16, &[1, 1], &[1.0]);
        assert_eq!(refusal(Mm(&b.cx, &half, &bf, &out, 1)), 161_002);
    }

    #[test]
    fn refuses_f32_products_that_the_chip_has_not() {
        let mut b = Bench::on("Ascend310P3");
        let x = b.tensor(DType::F32, &[1, 1, 1], &[1.0 + 2f64.powi(-12)]);
        let out = b.empty(DType::F32, &[1, 1, 1]);
        assert_eq!(refusal(BatchMatMul(&b.cx, &x, &x, &out, 0)), 161_002);
        assert_eq!(refusal(BatchMatMul(&b.cx, &x, &x, &out, 3)), 161_002);
        let p = BatchMatMul(&b.cx, &x, &x, &out, 1);
        b.run(p).unwrap();
        assert_eq!(b.values(&out), [1.0]);
    }

    #[test]
    fn adds_a_broadcast_bias() {
        let mut b = Bench::new();
        let x = b.tensor(DType::F32, &[2, 2], &[1.0, 2.0, 3.0, 4.0]);
        let bias = b.tensor(DType::F32, &[2], &[10.0, 20.0]);
        let out = b.empty(DType::F32, &[2, 2]);
        let (beta, alpha) = (Scalar::float(DType::F32, 0.5), Scalar::int(DType::I64, 2));
        let p = Addmm(&b.cx, &bias, &x, &x, beta, alpha, &out, 0);
        b.run(p).unwrap();
        assert_close(&b.values(&out), &[19.0, 30.0, 35.0, 54.0], 0.0);
        // In place.
        let p = Addmm(&b.cx, &out, &x, &x, beta, alpha, &out, 0);
        b.run(p).unwrap();
        assert_close(&b.values(&out), &[23.5, 35.0, 47.5, 71.0], 0.0);
        let wrong = b.empty(DType::F32, &[3]);
        assert_eq!(refusal(Addmm(&b.cx, &wrong, &x, &x, beta, alpha, &out, 0)), 161_002);
    }

    #[test]
    fn converted_weights_multiply_as_before() {
        let mut b = Bench::new();
        let x = b.tensor(DType::F16, &[1, 2], &[1.0, 2.0]);
        let mut w = b.tensor(DType::F16, &[2, 2], &[1.0, 2.0, 3.0, 4.0]);
        let p = TransMatmulWeight(&b.cx, &w);
        b.run(p).unwrap();
        w.format = 29;
        let (w, out) = (w.with_view(vec![2, 2], vec![1, 2], 0), b.empty(DType::F32, &[1, 2]));
        let p = Mm(&b.cx, &x, &w, &out, 2);
        b.run(p).unwrap();
        assert_eq!(b.values(&out), [5.0, 11.0]);
    }

    #[test]
    fn empty_products_are_zero() {
        let mut b = Bench::new();
        let (x, y) = (b.tensor(DType::F32, &[2, 0], &[]), b.tensor(DType::F32, &[0, 2], &[]));
        let out = b.tensor(DType::F32, &[2, 2], &[1.0; 4]);
        let p = Mm(&b.cx, &x, &y, &out, 0);
        b.run(p).unwrap();
        assert_eq!(b.values(&out), [0.0; 4]);
    }
}
