//! The second tier: the operations that every backend has.

use crate::numbers::{DemoStorage, Numbers, floats, read, read_wholes, wholes};
use crate::{DemoDevice, elementwise, index, reduce};
use std::cmp::Ordering;
use std::sync::Arc;
use vlm_core::backend::reference::math;
use vlm_core::backend::{
    ArgReduceOp, BinaryOp, CompareOp, CumulativeOp, OpKind, Primitives, ReduceOp, ScatterOp, StorageRef, Support,
    UnaryOp, View, unsupported,
};
use vlm_core::{DType, Dims, Error, Result, Scalar};

#[cold]
fn refuse(op: OpKind, what: impl std::fmt::Debug, x: &View<'_>) -> Error {
    unsupported("demo", op, what, x.dtype())
}

impl Primitives for DemoDevice {
    fn fill(&self, dtype: DType, len: usize, value: Scalar) -> Result<StorageRef> {
        let again = std::iter::repeat_n(value, len);
        Ok(if dtype.is_float() {
            floats(again.map(Scalar::to_f64), dtype)
        } else {
            wholes(again.map(Scalar::to::<i64>), dtype)
        })
    }

    fn arange(&self, dtype: DType, start: f64, step: f64, len: usize) -> Result<StorageRef> {
        Ok(floats((0..len).map(|i| start + i as f64 * step), dtype))
    }

    fn cast(&self, x: View<'_>, dtype: DType) -> Result<StorageRef> {
        Ok(match read(&x)? {
            Numbers::Float(v) => floats(v, dtype),
            Numbers::Whole(v) => wholes(v, dtype),
        })
    }

    fn unary(&self, op: UnaryOp, x: View<'_>) -> Result<StorageRef> {
        let unknown = || refuse(OpKind::Unary, op, &x);
        Ok(match read(&x)? {
            Numbers::Float(v) => floats(v.into_iter().map(elementwise::unary(op).ok_or_else(unknown)?), x.dtype()),
            Numbers::Whole(v) => {
                wholes(v.into_iter().map(elementwise::unary_whole(op).ok_or_else(unknown)?), x.dtype())
            }
        })
    }

    fn binary(&self, op: BinaryOp, a: View<'_>, b: View<'_>) -> Result<StorageRef> {
        let unknown = || refuse(OpKind::Binary, op, &a);
        match (read(&a)?, read(&b)?) {
            (Numbers::Float(x), Numbers::Float(y)) => {
                let f = elementwise::binary(op).ok_or_else(unknown)?;
                Ok(floats(x.into_iter().zip(y).map(|(x, y)| f(x, y)), a.dtype()))
            }
            (Numbers::Whole(x), Numbers::Whole(y)) => {
                let f = elementwise::binary_whole(op).ok_or_else(unknown)?;
                Ok(wholes(x.into_iter().zip(y).map(|(x, y)| f(x, y)), a.dtype()))
            }
            _ => Err(unknown()),
        }
    }

    fn compare(&self, op: CompareOp, a: View<'_>, b: View<'_>) -> Result<StorageRef> {
        let unknown = || refuse(OpKind::Compare, op, &a);
        let test = |truth: bool| i64::from(truth);
        match (read(&a)?, read(&b)?) {
            (Numbers::Float(x), Numbers::Float(y)) => {
                let holds = elementwise::compare(op).ok_or_else(unknown)?;
                Ok(wholes(x.iter().zip(&y).map(|(x, y)| test(holds(x, y))), DType::Bool))
            }
            (Numbers::Whole(x), Numbers::Whole(y)) => {
                let holds = elementwise::compare(op).ok_or_else(unknown)?;
                Ok(wholes(x.iter().zip(&y).map(|(x, y)| test(holds(x, y))), DType::Bool))
            }
            _ => Err(unknown()),
        }
    }

    fn select(&self, cond: View<'_>, a: View<'_>, b: View<'_>) -> Result<StorageRef> {
        let cond = read_wholes(&cond)?;
        fn pick<T>(cond: Vec<i64>, a: Vec<T>, b: Vec<T>) -> Vec<T> {
            cond.into_iter().zip(a.into_iter().zip(b)).map(|(c, (a, b))| if c == 0 { b } else { a }).collect()
        }
        let numbers = match (read(&a)?, read(&b)?) {
            (Numbers::Float(x), Numbers::Float(y)) => Numbers::Float(pick(cond, x, y)),
            (Numbers::Whole(x), Numbers::Whole(y)) => Numbers::Whole(pick(cond, x, y)),
            _ => return Err(refuse(OpKind::Select, "different element types", &a)),
        };
        Ok(Arc::new(DemoStorage { dtype: a.dtype(), numbers }))
    }

    fn reduce(&self, op: ReduceOp, x: View<'_>, dims: Dims) -> Result<StorageRef> {
        // Reduced dimensions last, so that what belongs together follows one another.
        let kept: Vec<usize> = (0..x.layout.rank()).filter(|d| !dims.contains(d)).collect();
        let order: Vec<usize> = kept.iter().chain(dims.iter()).copied().collect();
        let layout = x.layout.permute(&order);
        let groups: usize = kept.iter().map(|&d| x.shape()[d]).product();
        let each: usize = dims.iter().map(|&d| x.shape()[d]).product();
        match read(&View::new(x.storage, &layout))? {
            Numbers::Float(v) => {
                let sum = || reduce::fold(&v, groups, each, 0.0, |a, b| a + b);
                let out = match op {
                    ReduceOp::Sum => sum(),
                    ReduceOp::Mean => sum().into_iter().map(|s| s / each as f64).collect(),
                    ReduceOp::Prod => reduce::fold(&v, groups, each, 1.0, |a, b| a * b),
                    ReduceOp::Max => reduce::fold(&v, groups, each, f64::NEG_INFINITY, math::maximum),
                    ReduceOp::Min => reduce::fold(&v, groups, each, f64::INFINITY, math::minimum),
                    _ => return Err(refuse(OpKind::Reduce, op, &x)),
                };
                Ok(floats(out, x.dtype()))
            }
            Numbers::Whole(v) => {
                let (out, dtype) = match op {
                    ReduceOp::Sum => (reduce::fold(&v, groups, each, 0, i64::wrapping_add), DType::I64),
                    ReduceOp::Prod => (reduce::fold(&v, groups, each, 1, i64::wrapping_mul), DType::I64),
                    ReduceOp::Max => (reduce::fold(&v, groups, each, i64::MIN, i64::max), x.dtype()),
                    ReduceOp::Min => (reduce::fold(&v, groups, each, i64::MAX, i64::min), x.dtype()),
                    ReduceOp::Any => (reduce::fold(&v, groups, each, 0, |a, b| a | b), x.dtype()),
                    ReduceOp::All => (reduce::fold(&v, groups, each, 1, |a, b| a & b), x.dtype()),
                    _ => return Err(refuse(OpKind::Reduce, op, &x)),
                };
                Ok(wholes(out, dtype))
            }
        }
    }

    fn arg_reduce(&self, op: ArgReduceOp, x: View<'_>, dim: usize) -> Result<StorageRef> {
        let larger = match op {
            ArgReduceOp::Max => true,
            ArgReduceOp::Min => false,
            _ => return Err(refuse(OpKind::ArgReduce, op, &x)),
        };
        let order: Vec<usize> = (0..x.layout.rank()).filter(|&d| d != dim).chain([dim]).collect();
        let (layout, each) = (x.layout.permute(&order), x.shape()[dim]);
        let found = match read(&View::new(x.storage, &layout))? {
            Numbers::Float(v) => reduce::best(&v, each, reduce::nan_or(larger)),
            Numbers::Whole(v) => reduce::best(&v, each, |a, b| if larger { a > b } else { a < b }),
        };
        Ok(wholes(found, DType::I64))
    }

    fn cumulative(&self, op: CumulativeOp, x: View<'_>, dim: usize) -> Result<StorageRef> {
        let (n, inner) = (x.shape()[dim], x.shape()[dim + 1..].iter().product());
        match (read(&x)?, op) {
            (Numbers::Float(v), CumulativeOp::Sum) => Ok(floats(reduce::run(v, n, inner, |a, b| a + b), x.dtype())),
            (Numbers::Float(v), CumulativeOp::Prod) => Ok(floats(reduce::run(v, n, inner, |a, b| a * b), x.dtype())),
            (Numbers::Whole(v), CumulativeOp::Sum) => {
                Ok(wholes(reduce::run(v, n, inner, i64::wrapping_add), DType::I64))
            }
            (Numbers::Whole(v), CumulativeOp::Prod) => {
                Ok(wholes(reduce::run(v, n, inner, i64::wrapping_mul), DType::I64))
            }
            _ => Err(refuse(OpKind::Cumulative, op, &x)),
        }
    }

    fn matmul(&self, a: View<'_>, b: View<'_>) -> Result<StorageRef> {
        let rank = a.layout.rank();
        let (m, k, n) = (a.shape()[rank - 2], a.shape()[rank - 1], b.shape()[rank - 1]);
        let places = a.shape()[..rank - 2].iter().product::<usize>() * m * n;
        // The operands of element `i` of the result: a row of `a`, a column of `b`.
        let terms = |i: usize| {
            let (matrix, row, column) = (i / (m * n), i / n % m, i % n);
            (0..k).map(move |p| ((matrix * m + row) * k + p, (matrix * k + p) * n + column))
        };
        match (read(&a)?, read(&b)?) {
            (Numbers::Float(x), Numbers::Float(y)) => {
                Ok(floats((0..places).map(|i| terms(i).map(|(p, q)| x[p] * y[q]).sum()), a.dtype()))
            }
            (Numbers::Whole(x), Numbers::Whole(y)) => {
                let dot = |i| terms(i).fold(0i64, |sum, (p, q)| sum.wrapping_add(x[p].wrapping_mul(y[q])));
                Ok(wholes((0..places).map(dot), a.dtype()))
            }
            _ => Err(refuse(OpKind::Matmul, "different element types", &a)),
        }
    }

    fn index_select(&self, x: View<'_>, dim: usize, indices: View<'_>) -> Result<StorageRef> {
        let places = index::slices(x.shape(), dim, &read_wholes(&indices)?);
        Ok(at_places(&x, read(&x)?, &places))
    }

    fn index_update(
        &self,
        op: ScatterOp,
        dst: StorageRef,
        shape: Dims,
        dim: usize,
        indices: View<'_>,
        src: View<'_>,
    ) -> Result<StorageRef> {
        index::put(op, dst, &index::slices(&shape, dim, &read_wholes(&indices)?), &src)
    }

    fn gather(&self, x: View<'_>, dim: usize, indices: View<'_>) -> Result<StorageRef> {
        let places = index::elements(x.shape(), dim, indices.shape(), &read_wholes(&indices)?);
        Ok(at_places(&x, read(&x)?, &places))
    }

    fn scatter(
        &self,
        op: ScatterOp,
        dst: StorageRef,
        shape: Dims,
        dim: usize,
        indices: View<'_>,
        src: View<'_>,
    ) -> Result<StorageRef> {
        index::put(op, dst, &index::elements(&shape, dim, indices.shape(), &read_wholes(&indices)?), &src)
    }

    fn sort(&self, x: View<'_>, dim: usize, descending: bool) -> Result<(StorageRef, StorageRef)> {
        let (n, inner) = (x.shape()[dim], x.shape()[dim + 1..].iter().product::<usize>());
        let turn = |by: Ordering| if descending { by.reverse() } else { by };
        let numbers = read(&x)?;
        let order = match &numbers {
            // NaN counts as larger than everything.
            Numbers::Float(v) => {
                reduce::order(v, n, inner, |a, b| turn(a.partial_cmp(b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))))
            }
            Numbers::Whole(v) => reduce::order(v, n, inner, |a, b| turn(a.cmp(b))),
        };
        let former = order.iter().map(|&p| (p / inner.max(1) % n.max(1)) as i64);
        let former = wholes(former, DType::I64);
        Ok((at_places(&x, numbers, &order), former))
    }

    fn supports(&self, op: OpKind, dtypes: &[DType]) -> Support {
        Support::from_lists(op, dtypes, &[], &DType::ALL)
    }
}

/// The elements of `x` at these places.
fn at_places(x: &View<'_>, numbers: Numbers, places: &[usize]) -> StorageRef {
    let numbers = match numbers {
        Numbers::Float(v) => Numbers::Float(places.iter().map(|&p| v[p]).collect()),
        Numbers::Whole(v) => Numbers::Whole(places.iter().map(|&p| v[p]).collect()),
    };
    Arc::new(DemoStorage { dtype: x.dtype(), numbers })
}
