//! Operations of single elements and pairs.

use super::Tensor;
use crate::autograd::{constant, forbid, record};
use crate::backend::{BinaryOp, CompareOp, RandomKey, UnaryOp};
use crate::dtype::DTypeClass;
use crate::{DType, Error, ErrorKind, Result, Scalar, Shape};

/// Two operands brought to one shape and element type.
struct Pair<'a> {
    a: std::borrow::Cow<'a, Tensor>,
    b: std::borrow::Cow<'a, Tensor>,
    shape: Shape,
}

impl<'a> Pair<'a> {
    fn new(op: &'static str, a: &'a Tensor, b: &'a Tensor) -> Result<Self> {
        use std::borrow::Cow;
        a.device().check_same(b.device(), op)?;
        let shape = a.shape().broadcast(b.shape(), op)?;
        let cast = |t: &'a Tensor, d: DType| -> Result<Cow<'a, Tensor>> {
            if t.dtype() == d { Ok(Cow::Borrowed(t)) } else { t.to_dtype(d).map(Cow::Owned) }
        };
        let dtype = a.dtype().promote(b.dtype());
        Ok(Pair { a: cast(a, dtype)?, b: cast(b, dtype)?, shape })
    }
}

impl Tensor {
    #[inline]
    fn pair_storage(&self, op: BinaryOp, rhs: &Tensor, shape: &Shape) -> Result<Tensor> {
        let kernels = self.device().kernels();
        let storage = if self.shape() == shape && rhs.shape() == shape {
            kernels.binary(op, self.view(), rhs.view())?
        } else {
            let (a, b) = (self.layout().broadcast_to(shape), rhs.layout().broadcast_to(shape));
            kernels.binary(op, self.view_as(&a), rhs.view_as(&b))?
        };
        Ok(Tensor::from_storage(storage, *shape, self.device()))
    }

    /// `op` of both operands, recorded if one of them tracks gradients.
    ///
    /// Operands that fit as they are and have no history take a short way, which for small tensors is half the cost.
    fn binary(&self, name: &'static str, op: BinaryOp, rhs: &Tensor) -> Result<Tensor> {
        let alike =
            self.dtype() == rhs.dtype() && self.shape() == rhs.shape() && self.device().shares_memory(rhs.device());
        if !alike || self.tracks_grad() || rhs.tracks_grad() || !accepts(op, self.dtype().class()) {
            return self.binary_general(name, op, rhs);
        }
        let storage = self.device().kernels().binary(op, self.view(), rhs.view())?;
        Ok(Tensor::from_storage(storage, *self.shape(), self.device()))
    }

    /// As [`Tensor::binary`], for operands of any kind.
    #[inline(never)]
    fn binary_general(&self, name: &'static str, op: BinaryOp, rhs: &Tensor) -> Result<Tensor> {
        let Pair { a, b, shape } = Pair::new(name, self, rhs)?;
        if !accepts(op, a.dtype().class()) {
            let message = format!("not defined for {}", a.dtype());
            return Err(Error::new(ErrorKind::DType, name, message));
        }
        if matches!(op, BinaryOp::FloorDiv) {
            forbid(name, &[&a, &b])?;
        }
        let out = a.pair_storage(op, &b, &shape)?;
        if !crate::autograd::tracks(&[&a, &b]) {
            return Ok(out);
        }
        // What a rule keeps: only the operands that the other one's gradient needs.
        let (needs_a, needs_b) = (a.tracks_grad(), b.tracks_grad());
        let (sa, sb) = (*a.shape(), *b.shape());
        let keep = |t: &Tensor, needed: bool| needed.then(|| t.detach());
        let (ka, kb, ko) = match op {
            BinaryOp::Mul => (keep(&a, needs_b), keep(&b, needs_a), None),
            BinaryOp::Div => (None, Some(b.detach()), keep(&out, needs_b)),
            BinaryOp::Pow => (Some(a.detach()), Some(b.detach()), keep(&out, needs_b)),
            BinaryOp::Maximum | BinaryOp::Minimum => (Some(a.detach()), Some(b.detach()), None),
            BinaryOp::Remainder => (keep(&a, needs_b), keep(&b, needs_b), None),
            _ => (None, None, None),
        };
        Ok(record(out, name, &[&a, &b], || {
            move |grad: Tensor, sink: &mut crate::autograd::Sink<'_>| {
                let rule = PairRule { op, a: ka, b: kb, out: ko, grad };
                sink.with(0, || rule.left()?.sum_to(&sa))?;
                sink.with(1, || rule.right()?.sum_to(&sb))
            }
        }))
    }

    /// `self + rhs`. Integers wrap.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] if the shapes do not broadcast, [`ErrorKind::Device`] for operands on different devices.
    pub fn add(&self, rhs: &Tensor) -> Result<Tensor> {
        if self.dtype() == DType::Bool && rhs.dtype() == DType::Bool {
            return self.logical_or(rhs);
        }
        self.binary("add", BinaryOp::Add, rhs)
    }

    /// `self - rhs`. Integers wrap.
    ///
    /// # Errors
    /// As [`Tensor::add`]; [`ErrorKind::DType`] for two `bool` tensors.
    pub fn sub(&self, rhs: &Tensor) -> Result<Tensor> {
        self.binary("sub", BinaryOp::Sub, rhs)
    }

    /// `self * rhs`. Integers wrap.
    ///
    /// # Errors
    /// As [`Tensor::add`].
    pub fn mul(&self, rhs: &Tensor) -> Result<Tensor> {
        if self.dtype() == DType::Bool && rhs.dtype() == DType::Bool {
            return self.logical_and(rhs);
        }
        self.binary("mul", BinaryOp::Mul, rhs)
    }

    /// `self / rhs`. Integers and `bool` are divided as `f32`.
    ///
    /// # Errors
    /// As [`Tensor::add`].
    pub fn div(&self, rhs: &Tensor) -> Result<Tensor> {
        if !self.dtype().is_float() && !rhs.dtype().is_float() {
            return self.to_dtype(DType::F32)?.binary("div", BinaryOp::Div, rhs);
        }
        self.binary("div", BinaryOp::Div, rhs)
    }

    /// `floor(self / rhs)`. An integer divided by 0 gives 0.
    ///
    /// # Errors
    /// As [`Tensor::add`]; [`ErrorKind::NoGradient`] if an operand tracks gradients.
    pub fn floor_divide(&self, rhs: &Tensor) -> Result<Tensor> {
        self.binary("floor_divide", BinaryOp::FloorDiv, rhs)
    }

    /// `self - rhs * floor(self / rhs)`, with the sign of `rhs`. An integer divided by 0 gives 0.
    ///
    /// # Errors
    /// As [`Tensor::add`].
    pub fn remainder(&self, rhs: &Tensor) -> Result<Tensor> {
        self.binary("remainder", BinaryOp::Remainder, rhs)
    }

    /// `self` to the power of `rhs`; floats only.
    ///
    /// # Errors
    /// As [`Tensor::add`]; [`ErrorKind::DType`] for integers.
    pub fn pow(&self, rhs: &Tensor) -> Result<Tensor> {
        self.binary("pow", BinaryOp::Pow, rhs)
    }

    /// The larger element of each pair; NaN if either is. Equal elements share the gradient.
    ///
    /// # Errors
    /// As [`Tensor::add`].
    pub fn maximum(&self, rhs: &Tensor) -> Result<Tensor> {
        self.binary("maximum", BinaryOp::Maximum, rhs)
    }

    /// The smaller element of each pair; NaN if either is. Equal elements share the gradient.
    ///
    /// # Errors
    /// As [`Tensor::add`].
    pub fn minimum(&self, rhs: &Tensor) -> Result<Tensor> {
        self.binary("minimum", BinaryOp::Minimum, rhs)
    }

    fn logical(&self, name: &'static str, op: BinaryOp, rhs: &Tensor) -> Result<Tensor> {
        self.to_dtype(DType::Bool)?.binary(name, op, &rhs.to_dtype(DType::Bool)?)
    }

    /// Whether both are true (not 0).
    ///
    /// # Errors
    /// As [`Tensor::add`].
    pub fn logical_and(&self, rhs: &Tensor) -> Result<Tensor> {
        self.logical("logical_and", BinaryOp::And, rhs)
    }

    /// Whether either is true (not 0).
    ///
    /// # Errors
    /// As [`Tensor::add`].
    pub fn logical_or(&self, rhs: &Tensor) -> Result<Tensor> {
        self.logical("logical_or", BinaryOp::Or, rhs)
    }

    /// Whether exactly one is true (not 0).
    ///
    /// # Errors
    /// As [`Tensor::add`].
    pub fn logical_xor(&self, rhs: &Tensor) -> Result<Tensor> {
        self.logical("logical_xor", BinaryOp::Xor, rhs)
    }

    /// Whether it is false (0).
    ///
    /// # Errors
    /// Those of the device.
    pub fn logical_not(&self) -> Result<Tensor> {
        let x = self.to_dtype(DType::Bool)?;
        let storage = x.device().kernels().unary(UnaryOp::Not, x.view())?;
        Ok(constant(Tensor::from_storage(storage, *x.shape(), x.device())))
    }

    fn compare(&self, name: &'static str, op: CompareOp, rhs: &Tensor) -> Result<Tensor> {
        let Pair { a, b, shape } = Pair::new(name, self, rhs)?;
        let (la, lb) = (a.layout().broadcast_to(&shape), b.layout().broadcast_to(&shape));
        let storage = self.device().kernels().compare(op, a.view_as(&la), b.view_as(&lb))?;
        Ok(constant(Tensor::from_storage(storage, shape, self.device())))
    }

    /// `bool`: `self == rhs`.
    ///
    /// # Errors
    /// As [`Tensor::add`].
    pub fn eq(&self, rhs: &Tensor) -> Result<Tensor> {
        self.compare("eq", CompareOp::Eq, rhs)
    }

    /// `bool`: `self != rhs`, true for NaN.
    ///
    /// # Errors
    /// As [`Tensor::add`].
    pub fn ne(&self, rhs: &Tensor) -> Result<Tensor> {
        self.compare("ne", CompareOp::Ne, rhs)
    }

    /// `bool`: `self < rhs`.
    ///
    /// # Errors
    /// As [`Tensor::add`].
    pub fn lt(&self, rhs: &Tensor) -> Result<Tensor> {
        self.compare("lt", CompareOp::Lt, rhs)
    }

    /// `bool`: `self <= rhs`.
    ///
    /// # Errors
    /// As [`Tensor::add`].
    pub fn le(&self, rhs: &Tensor) -> Result<Tensor> {
        self.compare("le", CompareOp::Le, rhs)
    }

    /// `bool`: `self > rhs`.
    ///
    /// # Errors
    /// As [`Tensor::add`].
    pub fn gt(&self, rhs: &Tensor) -> Result<Tensor> {
        self.compare("gt", CompareOp::Gt, rhs)
    }

    /// `bool`: `self >= rhs`.
    ///
    /// # Errors
    /// As [`Tensor::add`].
    pub fn ge(&self, rhs: &Tensor) -> Result<Tensor> {
        self.compare("ge", CompareOp::Ge, rhs)
    }

    /// `self` where `cond` (`bool`) is true, else `other` (PyTorch's `torch.where(cond, self, other)`).
    ///
    /// # Errors
    /// As [`Tensor::add`]; [`ErrorKind::DType`] if `cond` is not `bool`.
    pub fn where_cond(&self, cond: &Tensor, other: &Tensor) -> Result<Tensor> {
        const OP: &str = "where";
        if cond.dtype() != DType::Bool {
            return Err(Error::new(ErrorKind::DType, OP, format!("the condition is {}, not bool", cond.dtype())));
        }
        self.device().check_same(cond.device(), OP)?;
        let Pair { a, b, shape } = Pair::new(OP, self, other)?;
        let shape = shape.broadcast(cond.shape(), OP)?;
        let [lc, la, lb] = [cond, &*a, &*b].map(|t| t.layout().broadcast_to(&shape));
        let storage = self.device().kernels().select(cond.view_as(&lc), a.view_as(&la), b.view_as(&lb))?;
        let out = Tensor::from_storage(storage, shape, self.device());
        let (sa, sb) = (*a.shape(), *b.shape());
        Ok(record(out, OP, &[&a, &b], || {
            let cond = cond.detach();
            move |grad, sink| {
                let zero = grad.zero_scalar()?;
                sink.with(0, || grad.where_cond(&cond, &zero)?.sum_to(&sa))?;
                sink.with(1, || zero.where_cond(&cond, &grad)?.sum_to(&sb))
            }
        }))
    }

    /// `value` where `mask` (`bool`) is true.
    ///
    /// # Errors
    /// As [`Tensor::where_cond`].
    pub fn masked_fill(&self, mask: &Tensor, value: impl Into<Scalar>) -> Result<Tensor> {
        let value = Tensor::full((), value, self.dtype(), self.device())?;
        value.where_cond(mask, self)
    }

    pub(crate) fn zero_scalar(&self) -> Result<Tensor> {
        Tensor::zeros((), self.dtype(), self.device())
    }

    pub(crate) fn unary(&self, name: &'static str, op: UnaryOp) -> Result<Tensor> {
        let integers = matches!(
            op,
            UnaryOp::Neg | UnaryOp::Abs | UnaryOp::Square | UnaryOp::Affine { .. } | UnaryOp::Clamp { .. }
        );
        if !(self.dtype().is_float() || integers && self.dtype().is_int()) {
            let message = format!("not defined for {}", self.dtype());
            return Err(Error::new(ErrorKind::DType, name, message).hint("convert it with to_dtype first"));
        }
        let storage = self.device().kernels().unary(op, self.view())?;
        let out = Tensor::from_storage(storage, *self.shape(), self.device());
        if !crate::autograd::tracks(&[self]) {
            return Ok(out);
        }
        let (uses_x, uses_y) = op.gradient_uses();
        let (x, y) = (uses_x.then(|| self.detach()), uses_y.then(|| out.detach()));
        Ok(record(out, name, &[self], || {
            move |grad: Tensor, sink: &mut crate::autograd::Sink<'_>| {
                let (x, y) = (x.as_ref().unwrap_or(&grad), y.as_ref().unwrap_or(&grad));
                let storage = grad.device().kernels().unary_backward(op, x.view(), y.view(), grad.view())?;
                sink.put(0, Tensor::from_storage(storage, *grad.shape(), grad.device()))
            }
        }))
    }

    /// `self * mul + add`, rounded once.
    ///
    /// # Errors
    /// [`ErrorKind::DType`] for `bool`; for an integer tensor, if a factor is not an integer.
    pub fn affine(&self, mul: f64, add: f64) -> Result<Tensor> {
        if self.dtype().is_int() && (mul.fract() != 0.0 || add.fract() != 0.0) {
            let message = format!("{} elements cannot become x * {mul} + {add}", self.dtype());
            return Err(Error::new(ErrorKind::DType, "affine", message).hint("convert it to a float type first"));
        }
        self.unary("affine", UnaryOp::Affine { mul, add })
    }

    /// `self + value`.
    ///
    /// # Errors
    /// As [`Tensor::affine`].
    pub fn add_scalar(&self, value: f64) -> Result<Tensor> {
        self.affine(1.0, value)
    }

    /// `self - value`.
    ///
    /// # Errors
    /// As [`Tensor::affine`].
    pub fn sub_scalar(&self, value: f64) -> Result<Tensor> {
        self.affine(1.0, -value)
    }

    /// `self * value`.
    ///
    /// # Errors
    /// As [`Tensor::affine`].
    pub fn mul_scalar(&self, value: f64) -> Result<Tensor> {
        self.affine(value, 0.0)
    }

    /// `self / value`; integers are divided as `f32`.
    ///
    /// # Errors
    /// As [`Tensor::affine`].
    pub fn div_scalar(&self, value: f64) -> Result<Tensor> {
        if self.dtype().is_float() {
            return self.affine(1.0 / value, 0.0);
        }
        self.to_dtype(DType::F32)?.affine(1.0 / value, 0.0)
    }

    /// `self` to a fixed power.
    ///
    /// # Errors
    /// [`ErrorKind::DType`] for integers.
    pub fn powf(&self, exponent: f64) -> Result<Tensor> {
        self.unary("powf", UnaryOp::Powf(exponent))
    }

    /// `min(max(self, low), high)`. The gradient is 0 outside.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if `low > high` or either is NaN.
    pub fn clamp(&self, low: f64, high: f64) -> Result<Tensor> {
        if low.is_nan() || high.is_nan() || low > high {
            let message = format!("the lower bound {low} is not below the upper bound {high}");
            return Err(Error::new(ErrorKind::Config, "clamp", message));
        }
        self.unary("clamp", UnaryOp::Clamp { low, high })
    }

    /// Sets elements to 0 with probability `p` and divides the others by `1 - p`. `key` decides which.
    ///
    /// # Gradient
    /// The same elements of the gradient; the mask is drawn again instead of kept.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] unless `0 <= p < 1`; [`ErrorKind::DType`] for integers.
    pub fn dropout(&self, p: f64, key: RandomKey) -> Result<Tensor> {
        const OP: &str = "dropout";
        if !(0.0..1.0).contains(&p) {
            return Err(Error::new(ErrorKind::Config, OP, format!("expected 0 <= p < 1, found {p}")));
        }
        if !self.dtype().is_float() {
            return Err(Error::new(ErrorKind::DType, OP, format!("not defined for {}", self.dtype())));
        }
        if p == 0.0 {
            return Ok(self.clone());
        }
        let storage = self.device().kernels().dropout(self.view(), p, key)?;
        let out = Tensor::from_storage(storage, *self.shape(), self.device());
        Ok(record(out, OP, &[self], || move |grad: Tensor, sink| sink.with(0, || grad.dropout(p, key))))
    }
}

macro_rules! unary_methods {
    ($($(#[$doc:meta])* $method:ident => $op:ident;)*) => { impl Tensor { $(
        $(#[$doc])*
        ///
        /// # Errors
        /// [`ErrorKind::DType`] for element types it is not defined for.
        pub fn $method(&self) -> Result<Tensor> {
            self.unary(stringify!($method), UnaryOp::$op)
        }
    )* } };
}
unary_methods! {
    /// `-x`; integers too.
    neg => Neg;
    /// `|x|`; integers too. The gradient at 0 is 0.
    abs => Abs;
    /// -1, 0 or 1. The gradient is 0.
    sign => Sign;
    /// `e^x`.
    exp => Exp;
    /// Natural logarithm.
    log => Log;
    /// `ln(1 + x)`.
    log1p => Log1p;
    /// `e^x - 1`.
    expm1 => Expm1;
    /// Square root.
    sqrt => Sqrt;
    /// `1 / sqrt(x)`.
    rsqrt => Rsqrt;
    /// `1 / x`.
    reciprocal => Reciprocal;
    /// `x * x`; integers too.
    square => Square;
    /// Sine of an angle in radians.
    sin => Sin;
    /// Cosine of an angle in radians.
    cos => Cos;
    /// Hyperbolic tangent.
    tanh => Tanh;
    /// `1 / (1 + e^-x)`.
    sigmoid => Sigmoid;
    /// The error function.
    erf => Erf;
    /// `max(x, 0)`. The gradient at 0 is 0.
    relu => Relu;
    /// `x Φ(x)`, exact (Hendrycks and Gimpel 2016).
    gelu => Gelu;
    /// The tanh approximation of gelu.
    gelu_tanh => GeluTanh;
    /// `x sigmoid(1.702 x)`.
    quick_gelu => QuickGelu;
    /// `x sigmoid(x)`.
    silu => Silu;
    /// `ln(1 + e^x)`.
    softplus => Softplus;
    /// Largest integer not above `x`. The gradient is 0.
    floor => Floor;
    /// Smallest integer not below `x`. The gradient is 0.
    ceil => Ceil;
    /// Nearest integer, halves to even. The gradient is 0.
    round => Round;
}

fn accepts(op: BinaryOp, class: DTypeClass) -> bool {
    match op {
        BinaryOp::And | BinaryOp::Or | BinaryOp::Xor => class == DTypeClass::Bool,
        BinaryOp::Div | BinaryOp::Pow => class == DTypeClass::Float,
        _ => class != DTypeClass::Bool,
    }
}

/// The gradients of a pair's operands, before they are summed back to the operands' shapes.
struct PairRule {
    op: BinaryOp,
    a: Option<Tensor>,
    b: Option<Tensor>,
    out: Option<Tensor>,
    grad: Tensor,
}

impl PairRule {
    fn kept(&self) -> [&Tensor; 3] {
        // An operand that the rule does not use was not kept; the gradient stands in for it.
        [&self.a, &self.b, &self.out].map(|t| t.as_ref().unwrap_or(&self.grad))
    }

    fn left(&self) -> Result<Tensor> {
        let (g, [a, b, _]) = (&self.grad, self.kept());
        match self.op {
            BinaryOp::Mul => g * b,
            BinaryOp::Div => g / b,
            // b a^(b-1), and 0 where b is 0 even at a = 0.
            BinaryOp::Pow => {
                let slope = (b * a.pow(&(b - 1.0)?)?)?;
                slope.masked_fill(&b.eq(&b.zero_scalar()?)?, 0.0)? * g
            }
            BinaryOp::Maximum => share(g, a, b),
            BinaryOp::Minimum => share(g, b, a),
            _ => Ok(g.clone()),
        }
    }

    fn right(&self) -> Result<Tensor> {
        let (g, [a, b, out]) = (&self.grad, self.kept());
        match self.op {
            BinaryOp::Sub => g.neg(),
            BinaryOp::Mul => g * a,
            BinaryOp::Div => ((g * out)? / b)?.neg(),
            // a^b ln a, and 0 where a is 0 (its limit for b > 0).
            BinaryOp::Pow => {
                let slope = (out * a.log()?)?;
                slope.masked_fill(&a.eq(&a.zero_scalar()?)?, 0.0)? * g
            }
            BinaryOp::Remainder => (g * (a / b)?.floor()?)?.neg(),
            BinaryOp::Maximum => share(g, b, a),
            BinaryOp::Minimum => share(g, a, b),
            _ => Ok(g.clone()),
        }
    }
}

/// The gradient of `winner` where it is above `loser`, half of it where both are equal.
fn share(grad: &Tensor, winner: &Tensor, loser: &Tensor) -> Result<Tensor> {
    let above = winner.gt(loser)?.to_dtype(grad.dtype())?;
    let equal = winner.eq(loser)?.to_dtype(grad.dtype())?;
    grad * (above + (equal * 0.5)?)?
}
