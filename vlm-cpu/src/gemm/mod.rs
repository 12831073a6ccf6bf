//! Matrix products: `c = a · b`, any strides, f32 accumulation for half types.
//!
//! The product is cut into blocks that follow from shapes alone, and every element of `c` is summed by one task in one
//! order, so results are the same bits at any thread count.
//!
//! How it runs (`driver`): one operand, `q`, is packed into panels shared by all threads; the other, `p`, is read in
//! place as rows along the reduction, or staged a few rows at a time when its layout or type does not allow that. For
//! a linear layer `p` is the weight matrix in the layout files have, `[out, in]`: it is neither packed nor kept twice,
//! at any batch size, and products with few rows read it as one stream (`gemv`).

mod driver;
mod epilogue;
mod kernel;
#[cfg(target_arch = "x86_64")]
mod kernel_amx;
mod kernel_portable;
#[cfg(target_arch = "x86_64")]
mod kernel_x86;
mod pack;
#[cfg(target_arch = "x86_64")]
mod pack_avx512;
mod simple;
#[cfg(test)]
mod tests;

use crate::alloc::Buffer;
use crate::cpu_features::Isa;
use crate::gemv;
use crate::threads::parallel_for;
pub(crate) use epilogue::finish_row;
use kernel::Kernel;
pub(crate) use pack::load;
use vlm_core::{DType, Error, ErrorKind, Result};

/// A matrix to read: element `(i, j)` is at `ptr + i * row_stride + j * col_stride`, strides in elements, of any sign.
#[derive(Clone, Copy, Debug)]
pub struct Mat {
    /// Element `(0, 0)`; need not be aligned.
    pub ptr: *const u8,
    /// Element type.
    pub dtype: DType,
    /// Elements between rows.
    pub row_stride: isize,
    /// Elements between columns.
    pub col_stride: isize,
}

impl Mat {
    /// The matrix with rows and columns exchanged.
    #[must_use]
    pub fn transposed(self) -> Mat {
        Mat { row_stride: self.col_stride, col_stride: self.row_stride, ..self }
    }

    fn offset(self, elements: isize) -> Mat {
        Mat { ptr: self.ptr.wrapping_offset(elements * self.dtype.size() as isize), ..self }
    }
}

/// A matrix to write, described as [`Mat`] is.
#[derive(Clone, Copy, Debug)]
pub struct MatMut {
    /// Element `(0, 0)`.
    pub ptr: *mut u8,
    /// Element type.
    pub dtype: DType,
    /// Elements between rows.
    pub row_stride: isize,
    /// Elements between columns.
    pub col_stride: isize,
}

impl MatMut {
    fn transposed(self) -> MatMut {
        MatMut { row_stride: self.col_stride, col_stride: self.row_stride, ..self }
    }

    fn offset(self, elements: isize) -> MatMut {
        MatMut { ptr: self.ptr.wrapping_offset(elements * self.dtype.size() as isize), ..self }
    }
}

/// A function applied in place to runs of finished f32 results, before they are rounded to the output type.
pub type Map<'a> = &'a (dyn Fn(&mut [f32]) + Sync);

/// One product `c[m, n] (+)= map(a[m, k] · b[k, n] + bias[n])`.
///
/// # Dtypes
/// - `a` and `b` each f32, f16 or bf16, `c` f32, f16 or bf16: sums are kept in f32 and rounded once. Two bf16 operands
///   are multiplied by the bf16 instructions where those are faster.
/// - all three f64, i64, i32, u32 or u8: plain loops, integers wrap, no bias and no map.
#[derive(Clone, Copy)]
pub struct Gemm<'a> {
    /// Rows of `a` and `c`.
    pub m: usize,
    /// Columns of `b` and `c`.
    pub n: usize,
    /// Columns of `a` and rows of `b`; with 0 the sums are zero.
    pub k: usize,
    /// Left operand.
    pub a: Mat,
    /// Right operand. A linear layer's weights `[n, k]` are `Mat { row_stride: 1, col_stride: k, .. }`.
    pub b: Mat,
    /// Result.
    pub c: MatMut,
    /// Whether to add to `c`; it is otherwise not read. Adding happens last, after bias and map.
    pub accumulate: bool,
    /// `n` contiguous values to add to each row.
    pub bias: Option<(*const u8, DType)>,
    /// Applied after the bias.
    pub map: Option<Map<'a>>,
}

impl std::fmt::Debug for Gemm<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Gemm { m, n, k, a, b, c, accumulate, bias, map } = self;
        f.debug_struct("Gemm")
            .field("mnk", &(m, n, k))
            .field("a", a)
            .field("b", b)
            .field("c", c)
            .field("accumulate", accumulate)
            .field("bias", bias)
            .field("map", &map.is_some())
            .finish()
    }
}

// SAFETY: the pointers are shared with the tasks of one call, whose caller vouches for them (`gemm`).
unsafe impl Sync for Gemm<'_> {}
// SAFETY: as above.
unsafe impl Send for Gemm<'_> {}

impl Gemm<'_> {
    /// `y[m, n] = x[m, k] · w[n, k]ᵀ`, all contiguous: a linear layer. Add a bias or a map to the result as needed.
    pub fn linear(
        x: (*const u8, DType),
        w: (*const u8, DType),
        y: (*mut u8, DType),
        m: usize,
        n: usize,
        k: usize,
    ) -> Self {
        Gemm {
            m,
            n,
            k,
            a: Mat { ptr: x.0, dtype: x.1, row_stride: k as isize, col_stride: 1 },
            b: Mat { ptr: w.0, dtype: w.1, row_stride: 1, col_stride: k as isize },
            c: MatMut { ptr: y.0, dtype: y.1, row_stride: n as isize, col_stride: 1 },
            accumulate: false,
            bias: None,
            map: None,
        }
    }

    fn c_at(&self, i: usize, j: usize) -> *mut u8 {
        self.c.offset(i as isize * self.c.row_stride + j as isize * self.c.col_stride).ptr
    }

    /// The product of transposes, which computes the transpose of `c`. Not for use with a bias or a map: those run
    /// along `n`.
    fn swapped(self) -> Self {
        Gemm { m: self.n, n: self.m, a: self.b.transposed(), b: self.a.transposed(), c: self.c.transposed(), ..self }
    }
}

/// Up to this many multiplications, setting up anything costs more than plain loops.
const TINY: usize = 8 << 10;
/// Up to this many rows a product reads the weights as one stream.
const GEMV_ROWS: usize = 4;

/// Computes one product on the calling thread and the pool's.
///
/// # Errors
/// [`ErrorKind::DType`] for types that [`Gemm`] does not list; [`ErrorKind::OutOfMemory`] when packing finds no memory.
///
/// # Safety
/// Every element that shapes and strides describe lies in memory that is valid for reading (`a`, `b`, `bias`) or
/// writing (`c`) for the whole call; the elements of `c` are distinct and overlap no operand; `isa` is available.
pub unsafe fn gemm(isa: Isa, g: &Gemm<'_>) -> Result<()> {
    let Gemm { m, n, k, a, b, c, .. } = *g;
    if m == 0 || n == 0 {
        return Ok(());
    }
    let small = |d: DType| matches!(d, DType::F32 | DType::F16 | DType::BF16);
    if !(small(a.dtype) && small(b.dtype) && small(c.dtype)) {
        // SAFETY: forwarded.
        return unsafe { simple::product(g) };
    }
    // SAFETY: forwarded; the level was checked by the caller.
    unsafe {
        if m * n * k <= TINY || k == 0 {
            simple::tiny(isa, g);
            return Ok(());
        }
        if gemv::takes(g, GEMV_ROWS) {
            return gemv::product(isa, g);
        }
        if g.bias.is_none() && g.map.is_none() {
            let t = g.swapped();
            if gemv::takes(&t, GEMV_ROWS) {
                return gemv::product(isa, &t);
            }
        }
        driver::product(Kernel::choose(isa, a.dtype, b.dtype), g)
    }
}

/// Element offsets of one product of a batch: of `a`, `b` and `c`.
pub type BatchOffset = [isize; 3];

/// Computes one product per entry of `offsets`, all of the same shape and strides.
///
/// Many small products run side by side, one thread each; large ones run one after the other on all threads.
///
/// # Errors
/// As [`gemm`].
///
/// # Safety
/// As [`gemm`], for each product; no two products write the same element.
pub unsafe fn gemm_batched(isa: Isa, g: &Gemm<'_>, offsets: &[BatchOffset]) -> Result<()> {
    let one = |i: usize| {
        let [a, b, c] = offsets[i];
        let g = Gemm { a: g.a.offset(a), b: g.b.offset(b), c: g.c.offset(c), ..*g };
        // SAFETY: forwarded.
        unsafe { gemm(isa, &g) }
    };
    let work = g.m * g.n * g.k;
    if offsets.len() == 1 || work > 16 << 20 {
        return (0..offsets.len()).try_for_each(one);
    }
    // Groups of about 64 K multiplications keep the cost of handing out tasks small.
    let group = (64_usize << 10).div_ceil(work.max(1));
    let failed = std::sync::Mutex::new(None);
    parallel_for(offsets.len().div_ceil(group), |t| {
        for i in t * group..offsets.len().min((t + 1) * group) {
            if let Err(e) = one(i) {
                failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get_or_insert(e);
                return;
            }
        }
    });
    failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).map_or(Ok(()), Err)
}

/// `y[m, n] = x[m, k] · w[n, k]ᵀ + bias[n]` over slices: the safe form of a linear layer, at the machine's level.
///
/// # Errors
/// [`ErrorKind::Shape`] when a slice's length does not match; otherwise as [`gemm`].
pub fn linear<T: vlm_core::Element>(
    x: &[T],
    w: &[T],
    bias: Option<&[T]>,
    y: &mut [T],
    (m, n, k): (usize, usize, usize),
) -> Result<()> {
    let check = |what: &str, found: usize, rows: usize, cols: usize| match rows.checked_mul(cols) {
        Some(expected) if expected == found => Ok(()),
        _ => Err(Error::new(ErrorKind::Shape, "linear", format!("{what} has {found} elements, not {rows} x {cols}"))),
    };
    check("the input", x.len(), m, k)?;
    check("the weight", w.len(), n, k)?;
    check("the output", y.len(), m, n)?;
    if let Some(bias) = bias {
        check("the bias", bias.len(), 1, n)?;
    }
    let d = T::DTYPE;
    let mut g = Gemm::linear((x.as_ptr().cast(), d), (w.as_ptr().cast(), d), (y.as_mut_ptr().cast(), d), m, n, k);
    g.bias = bias.map(|bias| (bias.as_ptr().cast(), d));
    // SAFETY: the slices have the lengths that the contiguous shapes need, `y` is borrowed mutably, and the current
    // level is available.
    unsafe { gemm(Isa::current(), &g) }
}

/// The bias as f32, in scratch memory when it is of another type. The buffer must outlive the pointer.
pub(crate) unsafe fn bias_f32(g: &Gemm<'_>) -> Result<(Option<Buffer>, *const f32)> {
    match g.bias {
        None => Ok((None, std::ptr::null())),
        Some((ptr, DType::F32)) if ptr.cast::<f32>().is_aligned() => Ok((None, ptr.cast())),
        Some((ptr, dtype)) => {
            let mut buffer = Buffer::for_elements::<f32>(g.n)?;
            for (j, x) in buffer.as_mut_slice::<f32>().iter_mut().enumerate() {
                // SAFETY: the bias has n values (caller).
                *x = unsafe { pack::load(ptr, dtype, j as isize) };
            }
            let ptr = buffer.as_ptr().cast();
            Ok((Some(buffer), ptr))
        }
    }
}
