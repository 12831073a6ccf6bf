//! What the first phase of an operation makes: a checked piece of work.

use crate::chip::Chip;
use crate::run::Run;
use crate::types::{DType, Tensor, broadcast_dims};
use std::sync::Arc;

/// Status codes of aclnn.
pub(crate) mod status {
    pub(crate) const PARAM_NULLPTR: i32 = 161_001;
    pub(crate) const PARAM_INVALID: i32 = 161_002;
    pub(crate) const INNER_NULLPTR: i32 = 561_103;
    pub(crate) const FIND_KERNEL: i32 = 561_003;
}

/// Why an operation cannot run: a status code and the sentence that `aclGetRecentErrMsg` returns.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) status: i32,
    pub(crate) text: String,
}

/// An invalid argument (161002).
pub(crate) fn invalid(text: impl Into<String>) -> Refusal {
    Refusal { status: status::PARAM_INVALID, text: text.into() }
}

/// A missing argument (161001).
pub(crate) fn null(what: &str) -> Refusal {
    Refusal { status: status::PARAM_NULLPTR, text: format!("{what} is null") }
}

/// A fault of the device while a task runs: the next synchronisation returns its code.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) code: i32,
    pub(crate) text: String,
}

/// An illegal access found by a kernel: an index out of range.
pub(crate) fn fault(text: impl Into<String>) -> Fault {
    Fault { code: 507_015, text: text.into() }
}

/// The work of one call. It may run more than once (repeatable executors, captured graphs).
pub(crate) type Kernel = Arc<dyn Fn(&mut Run<'_>) -> Result<(), Fault> + Send + Sync>;

/// A checked piece of work.
pub(crate) struct Plan {
    pub(crate) kernel: Kernel,
}

pub(crate) type Planned = Result<Plan, Refusal>;

/// The plan that `kernel` carries out.
pub(crate) fn plan(kernel: impl Fn(&mut Run<'_>) -> Result<(), Fault> + Send + Sync + 'static) -> Planned {
    Ok(Plan { kernel: Arc::new(kernel) })
}

/// What an operation knows besides its arguments.
pub(crate) struct Cx {
    pub(crate) chip: &'static Chip,
}

/// Requires one of these element types, which the chip must also have.
pub(crate) fn of_types(cx: &Cx, what: &str, t: &Tensor, types: &[DType]) -> Result<(), Refusal> {
    if !types.contains(&t.dtype) {
        return Err(invalid(format!("{what} has type {:?}, expected one of {types:?}", t.dtype)));
    }
    if t.dtype == DType::BF16 && !cx.chip.bf16 {
        return Err(invalid(format!("{what} has type BF16, which {} does not have", cx.chip.soc)));
    }
    Ok(())
}

/// Requires the shape `dims`.
pub(crate) fn of_shape(what: &str, t: &Tensor, dims: &[usize]) -> Result<(), Refusal> {
    if t.dims == dims { Ok(()) } else { Err(invalid(format!("{what} has shape {:?}, expected {dims:?}", t.dims))) }
}

/// Requires both to have one element type.
pub(crate) fn same_type(what: &str, a: &Tensor, b: &Tensor) -> Result<(), Refusal> {
    if a.dtype == b.dtype {
        Ok(())
    } else {
        Err(invalid(format!("{what} have types {:?} and {:?}, expected one", a.dtype, b.dtype)))
    }
}

/// Requires elements side by side in row-major order.
pub(crate) fn contiguous(what: &str, t: &Tensor) -> Result<(), Refusal> {
    if t.is_contiguous() { Ok(()) } else { Err(invalid(format!("{what} is not contiguous: strides {:?}", t.strides))) }
}

/// The shape that operands broadcast to.
pub(crate) fn broadcast(operands: &[&Tensor]) -> Result<Vec<usize>, Refusal> {
    let shapes: Vec<&[usize]> = operands.iter().map(|t| &*t.dims).collect();
    broadcast_dims(&shapes).ok_or_else(|| invalid(format!("shapes {shapes:?} do not broadcast")))
}

/// The dimension `dim`, which may count from the end.
pub(crate) fn dimension(t: &Tensor, dim: i64) -> Result<usize, Refusal> {
    t.dim(dim).ok_or_else(|| invalid(format!("dimension {dim} is out of range for shape {:?}", t.dims)))
}

/// The dimensions `dims`, ascending and distinct; all where none is named.
pub(crate) fn dimensions(t: &Tensor, dims: &[i64]) -> Result<Vec<usize>, Refusal> {
    if dims.is_empty() {
        return Ok((0..t.rank()).collect());
    }
    let mut found = dims.iter().map(|&d| dimension(t, d)).collect::<Result<Vec<_>, _>>()?;
    found.sort_unstable();
    let all = found.len();
    found.dedup();
    if found.len() < all { Err(invalid(format!("dimensions {dims:?} name one twice"))) } else { Ok(found) }
}
