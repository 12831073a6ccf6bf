//! Choosing, masks, triangles and comparisons.

#![allow(non_snake_case)] // Operations have the names of the interface.

use super::map::{NUMBERS, Other, of};
use crate::plan::{Cx, Planned, broadcast, invalid, of_shape, of_types, plan, same_type};
use crate::types::{DType, Scalar, Tensor};

/// `self` where the condition is true, else `other`.
pub(crate) fn SWhere(cx: &Cx, condition: &Tensor, x: &Tensor, other: &Tensor, out: &Tensor) -> Planned {
    of_types(cx, "condition", condition, &[DType::Bool, DType::U8])?;
    of_types(cx, "self", x, NUMBERS)?;
    of_types(cx, "other", other, NUMBERS)?;
    let dims = broadcast(&[condition, x, other])?;
    of_shape("out", out, &dims)?;
    let wide = |t: &Tensor| t.broadcast(&dims).ok_or_else(|| invalid("the shapes do not broadcast"));
    let (c, x, other, out) = (wide(condition)?, wide(x)?, wide(other)?, out.clone());
    plan(move |run| {
        let c = run.bools(&c)?;
        if x.dtype.is_float() || other.dtype.is_float() {
            let (mut a, b) = (run.f64s(&x)?, run.f64s(&other)?);
            a.iter_mut().zip(b).zip(c).for_each(|((a, b), c)| {
                if !c {
                    *a = b
                }
            });
            return run.put_f64(&out, &a);
        }
        let (mut a, b) = (run.i64s(&x)?, run.i64s(&other)?);
        a.iter_mut().zip(b).zip(c).for_each(|((a, b), c)| {
            if !c {
                *a = b
            }
        });
        run.put_i64(&out, &a)
    })
}

/// Elements become `value` where the mask is true.
pub(crate) fn InplaceMaskedFillScalar(cx: &Cx, x: &Tensor, mask: &Tensor, value: Scalar) -> Planned {
    of_types(cx, "selfRef", x, NUMBERS)?;
    of_types(cx, "mask", mask, &[DType::Bool, DType::U8])?;
    let Some(mask) = mask.broadcast(&x.dims) else {
        return Err(invalid(format!("mask of shape {:?} does not broadcast to {:?}", mask.dims, x.dims)));
    };
    let x = x.clone();
    plan(move |run| {
        let mask = run.bools(&mask)?;
        if x.dtype.is_float() {
            let mut v = run.f64s(&x)?;
            v.iter_mut().zip(mask).for_each(|(v, m)| {
                if m {
                    *v = value.f64()
                }
            });
            return run.put_f64(&x, &v);
        }
        let mut v = run.i64s(&x)?;
        v.iter_mut().zip(mask).for_each(|(v, m)| {
            if m {
                *v = value.i64()
            }
        });
        run.put_i64(&x, &v)
    })
}

/// The triangle of the last two dimensions where `keep(column - row)`; the rest is 0.
fn triangle(cx: &Cx, x: &Tensor, out: &Tensor, keep: impl Fn(i64) -> bool + Send + Sync + 'static) -> Planned {
    of_types(cx, "self", x, NUMBERS)?;
    same_type("self and out", x, out)?;
    of_shape("out", out, &x.dims)?;
    let [.., _, columns] = x.dims[..] else {
        return Err(invalid(format!("shape {:?} has less than 2 dimensions", x.dims)));
    };
    let rows = x.dims[x.rank() - 2];
    let (x, out) = (x.clone(), out.clone());
    plan(move |run| {
        let mut v = run.f64s(&x)?;
        for (i, v) in v.iter_mut().enumerate() {
            let (row, column) = (i / columns % rows, i % columns);
            if !keep(column as i64 - row as i64) {
                *v = 0.0;
            }
        }
        run.put_f64(&out, &v)
    })
}

pub(crate) fn Tril(cx: &Cx, x: &Tensor, diagonal: i64, out: &Tensor) -> Planned {
    triangle(cx, x, out, move |d| d <= diagonal)
}

pub(crate) fn Triu(cx: &Cx, x: &Tensor, diagonal: i64, out: &Tensor) -> Planned {
    triangle(cx, x, out, move |d| d >= diagonal)
}

pub(crate) fn InplaceTriu(cx: &Cx, x: &Tensor, diagonal: i64) -> Planned {
    Triu(cx, x, diagonal, x)
}

/// A comparison, in floats if either is one; written in whatever type `out` has.
fn compare(cx: &Cx, a: Other, b: Other, out: &Tensor, f: fn(f64, f64) -> bool, g: fn(i64, i64) -> bool) -> Planned {
    let mut tensors = Vec::new();
    for (what, t) in [("self", &a), ("other", &b)] {
        if let Other::Tensor(t) = t {
            of_types(cx, what, t, NUMBERS)?;
            tensors.push(t);
        }
    }
    of_types(cx, "out", out, NUMBERS)?;
    let dims = broadcast(&tensors)?;
    of_shape("out", out, &dims)?;
    let wide = |o: Other| match o {
        Other::Tensor(t) => t.broadcast(&dims).map(Other::Tensor).ok_or_else(|| invalid("the shapes do not broadcast")),
        number @ Other::Number(_) => Ok(number),
    };
    let (a, b, out) = (wide(a)?, wide(b)?, out.clone());
    let is_float = |o: &Other| match o {
        Other::Tensor(t) => t.dtype.is_float(),
        Other::Number(s) => s.dtype.is_float(),
    };
    let float = is_float(&a) || is_float(&b);
    plan(move |run| {
        let n = out.count();
        let v: Vec<bool> = if float {
            let values = |o: &Other| match o {
                Other::Tensor(t) => run.f64s(t),
                Other::Number(s) => Ok(vec![s.f64(); n]),
            };
            values(&a)?.into_iter().zip(values(&b)?).map(|(a, b)| f(a, b)).collect()
        } else {
            let values = |o: &Other| match o {
                Other::Tensor(t) => run.i64s(t),
                Other::Number(s) => Ok(vec![s.i64(); n]),
            };
            values(&a)?.into_iter().zip(values(&b)?).map(|(a, b)| g(a, b)).collect()
        };
        run.put_bools(&out, &v)
    })
}

macro_rules! comparisons {
    ($($tensor:ident $f:expr, $g:expr;)*) => {
        $(pub(crate) fn $tensor(cx: &Cx, x: &Tensor, other: &Tensor, out: &Tensor) -> Planned {
            compare(cx, of(x), of(other), out, $f, $g)
        })*
    };
}

comparisons! {
    EqTensor |a, b| a == b, |a, b| a == b;
    NeTensor |a, b| a != b, |a, b| a != b;
    LtTensor |a, b| a < b, |a, b| a < b;
    LeTensor |a, b| a <= b, |a, b| a <= b;
    GtTensor |a, b| a > b, |a, b| a > b;
    GeTensor |a, b| a >= b, |a, b| a >= b;
}

pub(crate) fn EqScalar(cx: &Cx, x: &Tensor, other: Scalar, out: &Tensor) -> Planned {
    compare(cx, of(x), Other::Number(other), out, |a, b| a == b, |a, b| a == b)
}

pub(crate) fn NeScalar(cx: &Cx, x: &Tensor, other: Scalar, out: &Tensor) -> Planned {
    compare(cx, of(x), Other::Number(other), out, |a, b| a != b, |a, b| a != b)
}

pub(crate) fn GtScalar(cx: &Cx, x: &Tensor, other: Scalar, out: &Tensor) -> Planned {
    compare(cx, of(x), Other::Number(other), out, |a, b| a > b, |a, b| a > b)
}

pub(crate) fn IsFinite(cx: &Cx, x: &Tensor, out: &Tensor) -> Planned {
    of_types(cx, "self", x, NUMBERS)?;
    of_shape("out", out, &x.dims)?;
    let (x, out) = (x.clone(), out.clone());
    plan(move |run| {
        let v: Vec<bool> = run.f64s(&x)?.into_iter().map(f64::is_finite).collect();
        run.put_bools(&out, &v)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{Bench, refusal};
    use crate::types::DType::{BF16, Bool, F32, I64};

    #[test]
    fn choices_and_masks_broadcast() {
        let mut b = Bench::new();
        let c = b.tensor(Bool, &[2, 1], &[1.0, 0.0]);
        let x = b.tensor(BF16, &[2], &[1.0, 2.0]);
        let y = b.tensor(BF16, &[1], &[9.0]);
        let out = b.empty(BF16, &[2, 2]);
        let p = SWhere(&b.cx, &c, &x, &y, &out);
        b.run(p).unwrap();
        assert_eq!(b.values(&out), [1.0, 2.0, 9.0, 9.0]);
        let p = InplaceMaskedFillScalar(&b.cx, &out, &c, Scalar::float(F32, f64::NEG_INFINITY));
        b.run(p).unwrap();
        assert_eq!(b.values(&out), [f64::NEG_INFINITY, f64::NEG_INFINITY, 9.0, 9.0]);
        assert_eq!(refusal(SWhere(&b.cx, &x, &x, &y, &out)), 161_002);
    }

    #[test]
    fn triangles_count_from_the_diagonal() {
        let mut b = Bench::new();
        let x = b.tensor(F32, &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let out = b.empty(F32, &[2, 3]);
        let p = Tril(&b.cx, &x, 0, &out);
        b.run(p).unwrap();
        assert_eq!(b.values(&out), [1.0, 0.0, 0.0, 4.0, 5.0, 0.0]);
        let p = Triu(&b.cx, &x.with_view(vec![3, 2], vec![1, 3], 0), 1, &x.with_view(vec![3, 2], vec![1, 3], 0));
        b.run(p).unwrap();
        assert_eq!(b.values(&x), [0.0, 0.0, 0.0, 4.0, 0.0, 0.0]);
    }

    #[test]
    fn large_integers_are_compared_exactly() {
        let mut b = Bench::new();
        let x = b.empty(I64, &[2]);
        let p = crate::ops::InplaceFillScalar(&b.cx, &x, Scalar::int(I64, (1 << 53) + 1));
        b.run(p).unwrap();
        let out = b.empty(Bool, &[2]);
        let p = EqScalar(&b.cx, &x, Scalar::int(I64, 1 << 53), &out);
        b.run(p).unwrap();
        assert_eq!(b.values(&out), [0.0, 0.0]);
        let nan = b.tensor(F32, &[2], &[f64::NAN, 1.0]);
        let p = NeTensor(&b.cx, &nan, &nan, &out);
        b.run(p).unwrap();
        assert_eq!(b.values(&out), [1.0, 0.0]);
    }
}
