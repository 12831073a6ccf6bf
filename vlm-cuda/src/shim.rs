//! The C++ side, `shim/*.cpp`: what tch lacks, made safe.

use crate::error::from_text;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::null_mut;
use tch::Tensor;
use vlm_core::backend::MemoryStats;
use vlm_core::{Error, ErrorKind, Layout, Result};

/// `torch::Tensor`, of which tch knows the address only. Its own name for it is in torch-sys; a dependency on that would let this
/// crate's build script, which says what is wrong with libtorch, wait for that one's, which says it in C++.
type C = c_void;

/// The address of a live tensor.
fn raw(t: &Tensor) -> *const C {
    t.as_ptr().cast()
}

unsafe extern "C" {
    fn vlm_last_error() -> *const c_char;
    fn vlm_cuda_devices(out: *mut c_int) -> c_int;
    fn aoti_torch_abi_version() -> u64;
    fn vlm_affine(x: *const C, mul: f64, add: f64, out: *mut *mut C) -> c_int;
    fn vlm_view(
        x: *const C,
        sizes: *const i64,
        strides: *const i64,
        rank: usize,
        offset: i64,
        out: *mut *mut C,
    ) -> c_int;
    fn vlm_rope(x: *const C, cos: *const C, sin: *const C, interleaved: bool, inverse: bool, out: *mut *mut C)
    -> c_int;
    fn vlm_copy_strided(
        x: *const C,
        sizes: *const i64,
        strides: *const i64,
        rank: usize,
        offset: i64,
        out: *mut *mut C,
    ) -> c_int;
    fn vlm_layer_norm_backward(
        grad: *const C,
        x: *const C,
        weight: *const C,
        eps: f64,
        affine: bool,
        dx: *mut *mut C,
        dw: *mut *mut C,
        db: *mut *mut C,
    ) -> c_int;
    fn vlm_flash(
        operands: *const *const C,
        bounds: *const C,
        longest: i64,
        causal: bool,
        before: i64,
        scale: f64,
        out: *mut *mut C,
    ) -> c_int;
    fn vlm_flash_backward(
        operands: *const *const C,
        lse: *const C,
        bounds: *const C,
        longest: i64,
        causal: bool,
        before: i64,
        scale: f64,
        out: *mut *mut C,
    ) -> c_int;
    fn vlm_adamw(
        tensors: *const *const C,
        steps: *const f64,
        n: usize,
        lr: f64,
        beta1: f64,
        beta2: f64,
        eps: f64,
        weight_decay: f64,
        grad_scale: f64,
    ) -> c_int;
    fn vlm_pool_install() -> c_int;
    fn vlm_pool_stats(out: *mut u64);
    fn vlm_pool_trim();
    fn vlm_memory_stats(device: c_int, out: *mut u64) -> c_int;
    fn vlm_memory_info(device: c_int, out: *mut u64) -> c_int;
    fn vlm_empty_cache() -> c_int;
    fn vlm_synchronize(device: c_int) -> c_int;
    fn vlm_upload(to: *const C, from: *const u8, bytes: usize) -> c_int;
    fn vlm_set_tf32(on: bool) -> c_int;
    fn vlm_set_attention(flash: bool, efficient: bool, cudnn: bool, math: bool) -> c_int;
}

/// The error that a code stands for, if it is one.
#[inline]
fn check(op: &'static str, code: c_int) -> Result<()> {
    if code == 0 { Ok(()) } else { Err(failed(op, code)) }
}

#[cold]
fn failed(op: &'static str, code: c_int) -> Error {
    // SAFETY: the function returns this thread's message, a string that ends in a zero and lives until the next failure
    // in this thread; it is copied before anything else is called.
    let text = unsafe { CStr::from_ptr(vlm_last_error()) }.to_string_lossy().into_owned();
    let error = from_text(op, &text);
    if code == 2 && error.kind() != ErrorKind::OutOfMemory {
        return Error::new(ErrorKind::OutOfMemory, op, text);
    }
    error
}

/// A result of the C++ side.
///
/// # Safety
/// `pointer` comes from a function of the shim that succeeded: a new `torch::Tensor` that nobody else deletes.
unsafe fn made(pointer: *mut C) -> Tensor {
    // SAFETY: as above; the new Tensor deletes it when it is dropped.
    unsafe { Tensor::from_ptr(pointer.cast()) }
}

/// `mul * x + add`, rounded once.
pub(crate) fn affine(x: &Tensor, mul: f64, add: f64) -> Result<Tensor> {
    let mut out = null_mut();
    // SAFETY: x is a live tensor; out is written if and only if the code is 0.
    unsafe {
        check("unary", vlm_affine(raw(x), mul, add, &mut out))?;
        Ok(made(out))
    }
}

/// The elements that the layout describes, in place.
pub(crate) fn view(x: &Tensor, layout: &Layout) -> Result<Tensor> {
    let (sizes, rank) = crate::storage::sizes(layout.shape());
    let (strides, _) = crate::storage::sizes(layout.strides());
    let mut out = null_mut();
    // SAFETY: both arrays have at least `rank` numbers; a layout stays inside its storage, which libtorch checks again;
    // out as above.
    unsafe {
        let offset = layout.offset() as i64;
        check("view", vlm_view(raw(x), sizes.as_ptr(), strides.as_ptr(), rank, offset, &mut out))?;
        Ok(made(out))
    }
}

/// Rotary embedding, see [`RopeArgs`](vlm_core::backend::RopeArgs).
pub(crate) fn rope(x: &Tensor, cos: &Tensor, sin: &Tensor, interleaved: bool, inverse: bool) -> Result<Tensor> {
    let mut out = null_mut();
    // SAFETY: all are live tensors; out as above.
    unsafe {
        check("rope", vlm_rope(raw(x), raw(cos), raw(sin), interleaved, inverse, &mut out))?;
        Ok(made(out))
    }
}

/// A contiguous copy of the elements that the layout describes.
pub(crate) fn copy_strided(x: &Tensor, layout: &Layout) -> Result<Tensor> {
    let (sizes, rank) = crate::storage::sizes(layout.shape());
    let (strides, _) = crate::storage::sizes(layout.strides());
    let mut out = null_mut();
    // SAFETY: both arrays have at least `rank` numbers; libtorch checks that they stay inside x; out as above.
    unsafe {
        let offset = layout.offset() as i64;
        check("copy", vlm_copy_strided(raw(x), sizes.as_ptr(), strides.as_ptr(), rank, offset, &mut out))?;
        Ok(made(out))
    }
}

/// The gradients of layer norm for its input and, if `affine` is set, weight and bias.
pub(crate) fn layer_norm_backward(
    grad: &Tensor,
    x: &Tensor,
    weight: Option<&Tensor>,
    eps: f64,
    affine: bool,
) -> Result<(Tensor, Option<(Tensor, Tensor)>)> {
    let (mut dx, mut dw, mut db) = (null_mut(), null_mut(), null_mut());
    let weight = weight.map_or(null_mut(), |w| raw(w).cast_mut());
    // SAFETY: operands are live tensors, or null where the function takes none; dx is written if the code is 0, dw and db
    // if affine is set as well.
    unsafe {
        let code = vlm_layer_norm_backward(raw(grad), raw(x), weight, eps, affine, &mut dx, &mut dw, &mut db);
        check("layer_norm_backward", code)?;
        Ok((made(dx), affine.then(|| (made(dw), made(db)))))
    }
}

/// Who sees whom in FlashAttention.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FlashRules {
    /// The longest packed sequence.
    pub(crate) longest: i64,
    /// Query `i` sees keys up to `i + s_kv - s_q`.
    pub(crate) causal: bool,
    /// At most so many keys before its own; -1 for all.
    pub(crate) before: i64,
    pub(crate) scale: f64,
}

fn nullable(t: Option<&Tensor>) -> *const C {
    t.map_or(null_mut(), |t| raw(t).cast_mut()).cast_const()
}

/// FlashAttention of operands `[b, s, h, d]`, or `[b * s, h, d]` where `bounds` packs sequences: output and logarithms of sums.
pub(crate) fn flash(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    bounds: Option<&Tensor>,
    r: FlashRules,
) -> Result<(Tensor, Tensor)> {
    let operands = [q, k, v].map(raw);
    let mut out = [null_mut(); 2];
    // SAFETY: three live tensors, and one or null; out has room for two, both written if the code is 0.
    unsafe {
        let (bounds, to) = (nullable(bounds), out.as_mut_ptr());
        check("attention", vlm_flash(operands.as_ptr(), bounds, r.longest, r.causal, r.before, r.scale, to))?;
        Ok((made(out[0]), made(out[1])))
    }
}

/// The gradients of [`flash`] for queries, keys and values; operands are the gradient, these three, and the output.
pub(crate) fn flash_backward(
    operands: &[Tensor; 5],
    lse: &Tensor,
    bounds: Option<&Tensor>,
    r: FlashRules,
) -> Result<[Tensor; 3]> {
    let operands = operands.each_ref().map(raw);
    let mut out = [null_mut(); 3];
    // SAFETY: six live tensors, and one or null; out has room for three, all written if the code is 0.
    unsafe {
        let (bounds, to) = (nullable(bounds), out.as_mut_ptr());
        let code = vlm_flash_backward(operands.as_ptr(), raw(lse), bounds, r.longest, r.causal, r.before, r.scale, to);
        check("attention_backward", code)?;
        Ok(out.map(|p| made(p)))
    }
}

/// The numbers that parameters of one step of AdamW share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct AdamW {
    pub(crate) lr: f64,
    pub(crate) beta1: f64,
    pub(crate) beta2: f64,
    pub(crate) eps: f64,
    pub(crate) weight_decay: f64,
    pub(crate) grad_scale: f64,
}

/// One parameter of a step of AdamW: weight and moments of one type, all written.
#[derive(Debug)]
pub(crate) struct Stepped {
    pub(crate) weight: Tensor,
    pub(crate) grad: Tensor,
    pub(crate) m: Tensor,
    pub(crate) v: Tensor,
    /// The parameter in its own type, to which the weight is copied.
    pub(crate) small: Option<Tensor>,
    pub(crate) step: f64,
}

/// One step for all of them, in place.
pub(crate) fn adamw(all: &mut [Stepped], a: AdamW) -> Result<()> {
    let of = |f: fn(&Stepped) -> Option<&Tensor>| all.iter().map(move |s| nullable(f(s)));
    let mut tensors: Vec<*const C> = of(|s| Some(&s.weight)).collect();
    tensors.extend(of(|s| Some(&s.grad)));
    tensors.extend(of(|s| Some(&s.m)));
    tensors.extend(of(|s| Some(&s.v)));
    tensors.extend(of(|s| s.small.as_ref()));
    let steps: Vec<f64> = all.iter().map(|s| s.step).collect();
    let (n, scale) = (steps.len(), a.grad_scale);
    // SAFETY: five times `n` pointers, to live tensors or null where the function allows it, and `n` numbers; what is
    // written is borrowed exclusively.
    let code =
        unsafe { vlm_adamw(tensors.as_ptr(), steps.as_ptr(), n, a.lr, a.beta1, a.beta2, a.eps, a.weight_decay, scale) };
    check("adamw_step", code)
}

fn stats(out: [u64; 5]) -> MemoryStats {
    let mut stats = MemoryStats::default();
    [stats.allocated, stats.reserved, stats.peak_allocated, _, stats.fresh] = out;
    stats.reused = out[3].saturating_sub(out[4]);
    stats
}

/// Lets the CPU's tensors come from our pool from now on.
pub(crate) fn install_pool() -> Result<()> {
    // SAFETY: no operands; the pool is never destroyed.
    check("install pool", unsafe { vlm_pool_install() })
}

/// What the CPU's pool holds.
pub(crate) fn pool_stats() -> MemoryStats {
    let mut out = [0u64; 5];
    // SAFETY: out has room for the five numbers.
    unsafe { vlm_pool_stats(out.as_mut_ptr()) };
    stats(out)
}

/// Gives the CPU's unused memory back to the system.
pub(crate) fn trim_pool() {
    // SAFETY: no operands.
    unsafe { vlm_pool_trim() }
}

/// How many GPUs libtorch sees; its reason where it sees none.
pub(crate) fn cuda_devices() -> Result<usize> {
    let mut n = 0;
    // SAFETY: n is a number that the function writes.
    check("count devices", unsafe { vlm_cuda_devices(&raw mut n) })?;
    Ok(usize::try_from(n).unwrap_or(0))
}

/// The version of the libtorch that runs.
pub(crate) fn version() -> String {
    // SAFETY: no operands. The number's bytes are major, minor and patch version and a tag, the first one highest.
    let [major, minor, patch, ..] = unsafe { aoti_torch_abi_version() }.to_be_bytes();
    format!("{major}.{minor}.{patch}")
}

/// What the caching allocator of a CUDA device holds.
pub(crate) fn memory_stats(device: usize) -> Result<MemoryStats> {
    let mut out = [0u64; 5];
    // SAFETY: out has room for the five numbers.
    check("memory statistics", unsafe { vlm_memory_stats(device as c_int, out.as_mut_ptr()) })?;
    Ok(stats(out))
}

/// Free and whole memory of a CUDA device in bytes.
pub(crate) fn memory_info(device: usize) -> Result<(u64, u64)> {
    let mut out = [0u64; 2];
    // SAFETY: out has room for both numbers.
    check("memory information", unsafe { vlm_memory_info(device as c_int, out.as_mut_ptr()) })?;
    Ok((out[0], out[1]))
}

/// Brings bytes to a contiguous tensor of a GPU, which has room for them, through pinned memory.
pub(crate) fn upload(to: &mut Tensor, from: &[u8]) -> Result<()> {
    // SAFETY: a live tensor, and as many bytes as the slice has: all are read before the function returns.
    check("upload", unsafe { vlm_upload(raw(to), from.as_ptr(), from.len()) })
}

/// Waits until all work of a CUDA device is done.
pub(crate) fn synchronize(device: usize) -> Result<()> {
    // SAFETY: no operands.
    check("synchronize", unsafe { vlm_synchronize(device as c_int) })
}

/// Gives unused memory of all CUDA devices back to the driver.
pub(crate) fn empty_cache() -> Result<()> {
    // SAFETY: no operands.
    check("empty cache", unsafe { vlm_empty_cache() })
}

/// Whether matrix products of `f32` may use TF32, with 10 bits of mantissa, on GPUs that have it. Off from the start, so
/// that results are those of `f32`.
///
/// # Errors
/// Those of libtorch.
pub fn set_tf32(on: bool) -> Result<()> {
    // SAFETY: no operands.
    check("set tf32", unsafe { vlm_set_tf32(on) })
}

/// Kernels for attention that libtorch may choose from on a GPU; all from the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttentionKernels {
    /// FlashAttention.
    pub flash: bool,
    /// Memory-efficient attention.
    pub efficient: bool,
    /// cuDNN's.
    pub cudnn: bool,
    /// Plain products and softmax.
    pub math: bool,
}

/// Sets which kernels for attention libtorch may choose from.
///
/// # Errors
/// Those of libtorch.
pub fn set_attention_kernels(k: AttentionKernels) -> Result<()> {
    // SAFETY: no operands.
    check("set attention kernels", unsafe { vlm_set_attention(k.flash, k.efficient, k.cudnn, k.math) })
}
