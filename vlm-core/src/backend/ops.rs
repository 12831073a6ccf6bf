//! The vocabulary of the contract: what an operation can be told to do.
//!
//! All enums are `#[non_exhaustive]`: a backend answers a variant it does not know with
//! [`unsupported`](crate::backend::unsupported), so that new operations do not break it.

use super::{StorageRef, View};
use std::sync::Arc;

/// A function of one element. Floats only, except where noted; half floats are computed in f32 and rounded once.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum UnaryOp {
    /// `-x`; signed integers too.
    Neg,
    /// `|x|`; integers too.
    Abs,
    /// -1, 0 or 1; NaN stays NaN.
    Sign,
    /// `e^x`.
    Exp,
    /// Natural logarithm.
    Log,
    /// `ln(1 + x)`, exact near 0.
    Log1p,
    /// `e^x - 1`, exact near 0.
    Expm1,
    /// Square root.
    Sqrt,
    /// `1 / sqrt(x)`.
    Rsqrt,
    /// `1 / x`.
    Reciprocal,
    /// `x * x`; integers too.
    Square,
    /// Sine of an angle in radians.
    Sin,
    /// Cosine of an angle in radians.
    Cos,
    /// Hyperbolic tangent.
    Tanh,
    /// `1 / (1 + e^-x)`.
    Sigmoid,
    /// The error function.
    Erf,
    /// `max(x, 0)`; NaN stays NaN.
    Relu,
    /// `x * Φ(x)` with the exact normal distribution function (PyTorch's `gelu`).
    Gelu,
    /// Hendrycks' and Gimpel's tanh approximation (`gelu(approximate="tanh")`, Hugging Face's `gelu_pytorch_tanh`).
    GeluTanh,
    /// `x * sigmoid(1.702 x)`, CLIP's `quick_gelu`.
    QuickGelu,
    /// `x * sigmoid(x)`, also called swish.
    Silu,
    /// `ln(1 + e^x)`, stable for large `|x|`.
    Softplus,
    /// Largest integer not above `x`.
    Floor,
    /// Smallest integer not below `x`.
    Ceil,
    /// Nearest integer, halves to even.
    Round,
    /// Logical negation; `bool` only.
    Not,
    /// `mul * x + add`, in one rounding of the result; integers too, with the factors truncated to integers.
    Affine {
        /// The factor.
        mul: f64,
        /// The summand.
        add: f64,
    },
    /// `x^exponent`.
    Powf(f64),
    /// `min(max(x, low), high)`; NaN stays NaN; integers too.
    Clamp {
        /// Lower bound.
        low: f64,
        /// Upper bound, not below `low`.
        high: f64,
    },
}

/// A function of two elements of the same type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BinaryOp {
    /// `a + b`; integers wrap.
    Add,
    /// `a - b`; integers wrap.
    Sub,
    /// `a * b`; integers wrap.
    Mul,
    /// `a / b`; floats only.
    Div,
    /// `floor(a / b)`; for integers a zero divisor gives 0.
    FloorDiv,
    /// `a - b * floor(a / b)`, the sign of `b` (PyTorch's `remainder`); for integers a zero divisor gives 0.
    Remainder,
    /// `a ^ b`; floats only.
    Pow,
    /// The larger one; NaN if either is.
    Maximum,
    /// The smaller one; NaN if either is.
    Minimum,
    /// `a && b`; `bool` only.
    And,
    /// `a || b`; `bool` only.
    Or,
    /// `a != b`; `bool` only.
    Xor,
}

/// A comparison of two elements of the same type. Comparisons with NaN are false, except [`CompareOp::Ne`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CompareOp {
    /// `a == b`.
    Eq,
    /// `a != b`.
    Ne,
    /// `a < b`.
    Lt,
    /// `a <= b`.
    Le,
    /// `a > b`.
    Gt,
    /// `a >= b`.
    Ge,
}

/// A reduction over dimensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReduceOp {
    /// Sum, kept in [`DType::accumulator`](crate::DType::accumulator) and returned in the input's type; integers and
    /// `bool` return `i64`. An empty sum is 0.
    Sum,
    /// Mean; floats only, divided before rounding. An empty mean is NaN.
    Mean,
    /// Largest element; NaN if any is. Core refuses empty ones.
    Max,
    /// Smallest element; NaN if any is. Core refuses empty ones.
    Min,
    /// Product; types as for the sum. An empty product is 1.
    Prod,
    /// Whether any is true; `bool` only.
    Any,
    /// Whether all are true; `bool` only.
    All,
}

/// Which element's position is asked for. Of equal elements the first wins; NaN wins over everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ArgReduceOp {
    /// The largest.
    Max,
    /// The smallest.
    Min,
}

/// A running reduction along one dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CumulativeOp {
    /// Running sum, kept in the accumulator type; integers and `bool` return `i64`.
    Sum,
    /// Running product, likewise.
    Prod,
}

/// How elements are written to indexed places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ScatterOp {
    /// Added to what is there; of repeated places every one counts, summed in order of the source, each sum rounded to
    /// the element type.
    Add,
    /// Put in place of what is there; of repeated places the last in order of the source wins.
    Set,
}

/// What random numbers are drawn from.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Distribution {
    /// Uniform in `[low, high)`.
    Uniform {
        /// Lower bound, included.
        low: f64,
        /// Upper bound, not included.
        high: f64,
    },
    /// Normal with this mean and standard deviation.
    Normal {
        /// The mean.
        mean: f64,
        /// The standard deviation.
        std: f64,
    },
    /// 1 with probability `p`, else 0.
    Bernoulli {
        /// The probability of a 1.
        p: f64,
    },
}

/// Names one stream of random numbers: element `i` of a draw depends on the key and `i` alone, so that results do not
/// depend on thread count, device or order of calls. See [`crate::random`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RandomKey {
    /// The seed the user gave.
    pub seed: u64,
    /// Which draw of that seed.
    pub stream: u64,
}

/// Operands of [`Kernels::rope`](super::Kernels::rope).
#[derive(Clone, Copy, Debug)]
pub struct RopeArgs<'a> {
    /// `[b, h, s, d]`, float.
    pub x: View<'a>,
    /// `[b or 1, s, r / 2]`, `f32`: cosines of the angles; `r <= d` leading channels are rotated, the rest pass.
    pub cos: View<'a>,
    /// `[b or 1, s, r / 2]`, `f32`: sines of the angles.
    pub sin: View<'a>,
    /// Which channels form a pair.
    pub style: RopeStyle,
    /// Rotate backwards: the gradient of the rotation.
    pub inverse: bool,
}

/// Which channels a rotary embedding pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RopeStyle {
    /// Channel `i` with `i + r / 2` (GPT-NeoX, Llama, Qwen: Hugging Face's `rotate_half`).
    Half,
    /// Channel `2 i` with `2 i + 1` (GPT-J, the original paper).
    Interleaved,
}

/// Operands of [`Kernels::attention`](super::Kernels::attention).
#[derive(Clone, Debug)]
pub struct AttentionArgs<'a> {
    /// `[b, h, s_q, d]`, float.
    pub q: View<'a>,
    /// `[b, h_kv, s_kv, d]`; `h` is a multiple of `h_kv`: query head `i` uses key head `i / (h / h_kv)`.
    pub k: View<'a>,
    /// `[b, h_kv, s_kv, d_v]`.
    pub v: View<'a>,
    /// Broadcast to `[b, h, s_q, s_kv]` (strides of 0); the type of `q` or `f32`; added to the scaled scores.
    pub mask: Option<View<'a>>,
    /// Factor of the scores, usually `1 / sqrt(d)`.
    pub scale: f64,
    /// Query `i` sees keys `0 ..= i + s_kv - s_q`: the mask is aligned at the last key.
    pub causal: bool,
    /// With `causal`: query `i` sees only the last `window` of those keys.
    pub window: Option<usize>,
    /// Boundaries `[0, n_1, n_1 + n_2, …, s]` of sequences packed one after the other into one row: queries see keys
    /// of their own sequence alone. Needs `s_q == s_kv == s`.
    pub segments: Option<Arc<[usize]>>,
}

impl AttentionArgs<'_> {
    /// The range of keys that query `row` may see, before the additive mask. Empty where it sees none.
    pub fn visible(&self, row: usize) -> std::ops::Range<usize> {
        let (s_q, s_kv) = (self.q.shape()[2], self.k.shape()[2]);
        let (mut start, mut end) = (0, s_kv);
        if let Some(bounds) = &self.segments {
            let i = bounds.partition_point(|&b| b <= row);
            (start, end) = (bounds[i - 1], bounds[i]);
        }
        if self.causal {
            end = end.min((row + 1 + s_kv).saturating_sub(s_q));
            if let Some(window) = self.window {
                start = start.max(end.saturating_sub(window));
            }
        }
        start.min(end)..end
    }
}

/// Operands of [`Kernels::adamw_step`](super::Kernels::adamw_step). The storages are given up and come back updated.
#[derive(Clone, Debug)]
pub struct AdamWArgs<'a> {
    /// The parameter, contiguous, any float type.
    pub param: StorageRef,
    /// The parameter in `f32` when it is a half float (kept so that small steps are not rounded away), else `None`.
    pub master: Option<StorageRef>,
    /// First moment, `f32` (`f64` for `f64` parameters).
    pub exp_avg: StorageRef,
    /// Second moment, same type.
    pub exp_avg_sq: StorageRef,
    /// The gradient, any float type, as many elements as the parameter.
    pub grad: View<'a>,
    /// Learning rate of this step.
    pub lr: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the denominator.
    pub eps: f64,
    /// Decoupled weight decay: the parameter shrinks by `lr * weight_decay`.
    pub weight_decay: f64,
    /// Number of this step, from 1, for the bias correction.
    pub step: u64,
    /// Factor applied to the gradient first (clipping, accumulation).
    pub grad_scale: f64,
}

/// What [`Kernels::adamw_step`](super::Kernels::adamw_step) returns: the storages it was given, updated.
#[derive(Clone, Debug)]
pub struct AdamWState {
    /// The parameter.
    pub param: StorageRef,
    /// Its `f32` twin, if there was one.
    pub master: Option<StorageRef>,
    /// First moment.
    pub exp_avg: StorageRef,
    /// Second moment.
    pub exp_avg_sq: StorageRef,
}

/// Operands of [`Kernels::quantized_linear`](super::Kernels::quantized_linear).
///
/// Weights are symmetric, offset by half their range: `w = (q - 2^(bits - 1)) * scale`.
#[derive(Clone, Copy, Debug)]
pub struct QuantizedLinearArgs<'a> {
    /// `[m, k]`, float.
    pub x: View<'a>,
    /// `u8`, contiguous: `[n, k]` for 8 bits, `[n, k / 2]` for 4, where the low half of a byte is the even column.
    pub data: View<'a>,
    /// `f32`, contiguous, `[n, k / group]`.
    pub scales: View<'a>,
    /// `[n]`, the type of `x`.
    pub bias: Option<View<'a>>,
    /// 8 or 4.
    pub bits: u32,
    /// Columns that share a scale; divides `k`.
    pub group: usize,
}

impl UnaryOp {
    /// Whether [`Kernels::unary_backward`](super::Kernels::unary_backward) reads the operand and the result; a caller
    /// may pass any view of the right shape for one that it does not read, and so need not keep it.
    pub fn gradient_uses(self) -> (bool, bool) {
        match self {
            UnaryOp::Neg
            | UnaryOp::Sign
            | UnaryOp::Floor
            | UnaryOp::Ceil
            | UnaryOp::Round
            | UnaryOp::Not
            | UnaryOp::Affine { .. } => (false, false),
            UnaryOp::Exp
            | UnaryOp::Expm1
            | UnaryOp::Sqrt
            | UnaryOp::Rsqrt
            | UnaryOp::Reciprocal
            | UnaryOp::Tanh
            | UnaryOp::Sigmoid
            | UnaryOp::Relu => (false, true),
            _ => (true, false),
        }
    }
}
