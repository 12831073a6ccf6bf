//! What elementwise operations share: one value or two at a time, in the domain of the types.

use crate::plan::{Cx, Plan, Planned, Refusal, broadcast, invalid, of_shape, of_types, plan};
use crate::types::{DType, Scalar, Tensor};

/// Every type that is computed with.
pub(super) const NUMBERS: &[DType] = &[
    DType::F32,
    DType::F16,
    DType::BF16,
    DType::F64,
    DType::I64,
    DType::I32,
    DType::I16,
    DType::I8,
    DType::U8,
    DType::Bool,
];

/// `out = f(x)` in floats; integers are promoted to floats where the result is one.
pub(super) fn float_map(cx: &Cx, x: &Tensor, out: &Tensor, f: impl Fn(f64) -> f64 + Send + Sync + 'static) -> Planned {
    of_types(cx, "self", x, NUMBERS)?;
    of_types(cx, "out", out, NUMBERS)?;
    if !out.dtype.is_float() {
        return Err(invalid(format!("out has type {:?}, expected a float", out.dtype)));
    }
    of_shape("out", out, &x.dims)?;
    let (x, out) = (x.clone(), out.clone());
    plan(move |run| {
        if x.dtype == DType::F32 {
            let mut v = run.f32s(&x)?;
            v.iter_mut().for_each(|v| *v = f(f64::from(*v)) as f32);
            return run.put_f32(&out, &v);
        }
        let mut v = run.f64s(&x)?;
        v.iter_mut().for_each(|v| *v = f(*v));
        run.put_f64(&out, &v)
    })
}

/// `out = f(x)` in floats or, for integers, `g(x)`.
pub(super) fn number_map(
    cx: &Cx,
    x: &Tensor,
    out: &Tensor,
    f: impl Fn(f64) -> f64 + Send + Sync + 'static,
    g: impl Fn(i64) -> i64 + Send + Sync + 'static,
) -> Planned {
    if x.dtype.is_float() {
        return float_or_cast(cx, x, out, f);
    }
    of_types(cx, "self", x, NUMBERS)?;
    of_shape("out", out, &x.dims)?;
    let (x, out) = (x.clone(), out.clone());
    plan(move |run| {
        let mut v = run.i64s(&x)?;
        v.iter_mut().for_each(|v| *v = g(*v));
        run.put_i64(&out, &v)
    })
}

/// As [`float_map`], with a result of any type.
fn float_or_cast(cx: &Cx, x: &Tensor, out: &Tensor, f: impl Fn(f64) -> f64 + Send + Sync + 'static) -> Planned {
    of_types(cx, "self", x, NUMBERS)?;
    of_types(cx, "out", out, NUMBERS)?;
    of_shape("out", out, &x.dims)?;
    let (x, out) = (x.clone(), out.clone());
    plan(move |run| {
        let mut v = run.f64s(&x)?;
        v.iter_mut().for_each(|v| *v = f(*v));
        run.put_f64(&out, &v)
    })
}

/// A second operand: a tensor or a number.
#[derive(Clone)]
pub(super) enum Other {
    Tensor(Tensor),
    Number(Scalar),
}

impl Other {
    fn is_float(&self) -> bool {
        match self {
            Other::Tensor(t) => t.dtype.is_float(),
            Other::Number(s) => s.dtype.is_float(),
        }
    }
}

/// What a pair's result is made of.
pub(super) struct Pairs {
    a: Other,
    b: Other,
    dims: Vec<usize>,
    /// Whether either is a float: then the domain is floats.
    pub(super) float: bool,
}

impl Pairs {
    /// Checks types and broadcasts.
    pub(super) fn new(cx: &Cx, a: Other, b: Other) -> Result<Self, Refusal> {
        let mut tensors = Vec::new();
        for (what, t) in [("self", &a), ("other", &b)] {
            if let Other::Tensor(t) = t {
                of_types(cx, what, t, NUMBERS)?;
                tensors.push(t);
            }
        }
        let dims = broadcast(&tensors)?;
        let wide = |o: Other| match o {
            Other::Tensor(t) => match t.broadcast(&dims) {
                Some(t) => Ok(Other::Tensor(t)),
                None => Err(invalid("the shapes do not broadcast")),
            },
            number @ Other::Number(_) => Ok(number),
        };
        let float = a.is_float() || b.is_float();
        Ok(Pairs { a: wide(a)?, b: wide(b)?, dims, float })
    }

    /// The result of `f` for floats and `g` for integers, written to `out`.
    pub(super) fn write(
        self,
        cx: &Cx,
        out: &Tensor,
        f: impl Fn(f64, f64) -> f64 + Send + Sync + 'static,
        g: impl Fn(i64, i64) -> i64 + Send + Sync + 'static,
    ) -> Result<Plan, Refusal> {
        of_types(cx, "out", out, NUMBERS)?;
        of_shape("out", out, &self.dims)?;
        let out = out.clone();
        plan(move |run| {
            if self.float {
                let both_f32 = |o: &Other| match o {
                    Other::Tensor(t) => t.dtype == DType::F32,
                    Other::Number(_) => true,
                };
                if out.dtype == DType::F32 && both_f32(&self.a) && both_f32(&self.b) {
                    let values = |o: &Other| match o {
                        Other::Tensor(t) => run.f32s(t),
                        Other::Number(s) => Ok(vec![s.f64() as f32]),
                    };
                    let (mut a, b) = (values(&self.a)?, values(&self.b)?);
                    match (a.len(), b.len()) {
                        (_, 1) if !matches!(self.b, Other::Tensor(_)) => {
                            let b = match &self.b {
                                Other::Number(s) => s.f64(),
                                Other::Tensor(_) => f64::from(b[0]),
                            };
                            a.iter_mut().for_each(|x| *x = f(f64::from(*x), b) as f32);
                        }
                        (1, _) if !matches!(self.a, Other::Tensor(_)) => {
                            let first = match &self.a {
                                Other::Number(s) => s.f64(),
                                Other::Tensor(_) => f64::from(a[0]),
                            };
                            a = b.iter().map(|&y| f(first, f64::from(y)) as f32).collect();
                        }
                        _ => a.iter_mut().zip(&b).for_each(|(x, &y)| *x = f(f64::from(*x), f64::from(y)) as f32),
                    }
                    return run.put_f32(&out, &a);
                }
                let n = out.count();
                let values = |o: &Other| match o {
                    Other::Tensor(t) => run.f64s(t),
                    Other::Number(s) => Ok(vec![s.f64(); n]),
                };
                let (mut a, b) = (values(&self.a)?, values(&self.b)?);
                a.iter_mut().zip(&b).for_each(|(x, &y)| *x = f(*x, y));
                return run.put_f64(&out, &a);
            }
            let n = out.count();
            let values = |o: &Other| match o {
                Other::Tensor(t) => run.i64s(t),
                Other::Number(s) => Ok(vec![s.i64(); n]),
            };
            let (mut a, b) = (values(&self.a)?, values(&self.b)?);
            a.iter_mut().zip(&b).for_each(|(x, &y)| *x = g(*x, y));
            run.put_i64(&out, &a)
        })
    }
}

/// The operand as [`Other`].
pub(super) fn of(t: &Tensor) -> Other {
    Other::Tensor(t.clone())
}
