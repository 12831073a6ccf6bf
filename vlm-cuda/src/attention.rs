//! Scaled dot-product attention by libtorch's fused kernels, or by products of matrices where they do not take it.

mod backward;
mod cpu;
mod flash;
mod mask;
mod math;

pub(crate) use backward::backward;

use crate::error::Of;
use crate::storage::{kind, operand};
use mask::{Hidden, bias};
use tch::{Device, TchError, Tensor};
use vlm_core::Result;
use vlm_core::backend::AttentionArgs;

/// Which kernels may be chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The fastest one that takes the operands.
    #[default]
    Fused,
    /// Products of matrices and a softmax.
    Plain,
}

/// Which one was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kernel {
    Flash,
    Cpu,
    Math,
}

fn choose(args: &AttentionArgs<'_>, s: Sizes, q: &Tensor, choice: Choice) -> Kernel {
    match choice {
        Choice::Fused if flash::takes(args, s, q) => Kernel::Flash,
        Choice::Fused if q.device() == Device::Cpu => Kernel::Cpu,
        _ => Kernel::Math,
    }
}

/// The sizes of one attention, or of a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sizes {
    b: i64,
    h: i64,
    h_kv: i64,
    s_q: i64,
    s_kv: i64,
    d: i64,
    d_v: i64,
}

impl Sizes {
    fn of(args: &AttentionArgs<'_>) -> Self {
        let n = |i: usize| i as i64;
        let (q, k, v) = (args.q.shape(), args.k.shape(), args.v.shape());
        Sizes { b: n(q[0]), h: n(q[1]), h_kv: n(k[1]), s_q: n(q[2]), s_kv: n(k[2]), d: n(q[3]), d_v: n(v[3]) }
    }

    fn group(self) -> i64 {
        self.h / self.h_kv
    }

    /// A single query per head sees the same keys as its neighbours of the group: they become rows of one head, so that
    /// keys and values need not be repeated.
    fn folds(self, bias: Option<&Tensor>) -> bool {
        self.group() > 1 && self.s_q == 1 && bias.is_none_or(|b| b.size()[1] == 1)
    }
}

/// Output `[b, s_q, h, d_v]` and logarithms of sums `[b, h, s_q]` of operands as the contract has them.
fn forward_rows(
    kernel: Kernel,
    [q, k, v]: [&Tensor; 3],
    s: Sizes,
    hidden: Hidden,
    scale: f64,
) -> Result<(Tensor, Tensor), TchError> {
    let (out, lse) = match kernel {
        Kernel::Cpu => cpu::forward(q, k, v, s, hidden, scale)?,
        _ => math::forward(q, k, v, s, &hidden, scale)?,
    };
    Ok((out.f_transpose(1, 2)?, lse))
}

/// Output and, if `save` is set, logarithms of sums; `None` where there is nothing to attend to.
pub(crate) fn forward(
    args: &AttentionArgs<'_>,
    save: bool,
    choice: Choice,
) -> Result<Option<(Tensor, Option<Tensor>)>> {
    let s = Sizes::of(args);
    if s.s_kv == 0 || args.q.count() == 0 || s.d_v == 0 {
        return Ok(None);
    }
    let (q, k, v) = (operand(&args.q)?, operand(&args.k)?, operand(&args.v)?);
    let kernel = choose(args, s, &q, choice);
    let run = || -> Result<_, TchError> {
        if kernel == Kernel::Flash {
            return flash::forward(args, &q, &k, &v, s);
        }
        let Some(bounds) = args.segments.as_ref().filter(|_| args.mask.is_none()) else {
            return forward_rows(kernel, [&q, &k, &v], s, bias(args, q.device())?, args.scale);
        };
        let out = Tensor::f_empty([s.b, s.s_q, s.h, s.d_v], (kind(args.q.dtype()), q.device()))?;
        let lse = Tensor::f_empty([s.b, s.h, s.s_q], (kind(args.q.dtype().accumulator()), q.device()))?;
        for (start, len) in segments(bounds) {
            let part = |t: &Tensor| t.f_narrow(2, start, len);
            let s = Sizes { s_q: len, s_kv: len, ..s };
            let hidden = mask::of_segment(args, len, q.device())?;
            let (o, l) = forward_rows(kernel, [&part(&q)?, &part(&k)?, &part(&v)?], s, hidden, args.scale)?;
            out.f_narrow(1, start, len)?.f_copy_(&o)?;
            lse.f_narrow(2, start, len)?.f_copy_(&l)?;
        }
        Ok((out, lse))
    };
    let (out, lse) = run().of("attention")?;
    Ok(Some((out, save.then_some(lse))))
}

/// Start and length of those that are not empty.
fn segments(bounds: &[usize]) -> impl Iterator<Item = (i64, i64)> {
    bounds.windows(2).filter(|w| w[1] > w[0]).map(|w| (w[0] as i64, (w[1] - w[0]) as i64))
}
