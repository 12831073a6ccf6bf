//! The blocked product: who is packed, how blocks are cut, and the loops around the register kernel.

use super::kernel::{Kernel, TileArgs};
use super::pack::{Side, in_place, panel, rows};
use super::{Gemm, bias_f32, epilogue};
use crate::alloc::Buffer;
use crate::cpu_features::cpu;
use crate::threads::{SendPtr, parallel_for};
use std::sync::{Mutex, PoisonError};
use vlm_core::{DType, Error, Result};

/// How a product is cut into blocks. Follows from shapes and the machine alone.
struct Plan {
    /// Elements along the reduction per block (a multiple of `k_align`) and the number of blocks.
    kc: usize,
    k_blocks: usize,
    /// Padded elements along the reduction.
    k_padded: usize,
    /// Panels of `q` per block and in all.
    block_panels: usize,
    panels: usize,
    /// Rows of `p` per task.
    task_rows: usize,
}

/// The most bytes of packed panels, and of sums, at once: longer operands are worked off in several rounds.
const MAX_PACKED: usize = 64 << 20;
/// Below this many multiplications everything stays on the calling thread.
const SERIAL: usize = 1 << 20;

impl Plan {
    fn new(kernel: &Kernel, p: &Side, q_len: usize, k: usize) -> Plan {
        let align = kernel.k_align().max(32);
        let kc = k.div_ceil(k.div_ceil(kernel.kc)).next_multiple_of(align);
        let k_blocks = k.div_ceil(kc);
        let k_padded = (k_blocks - 1) * kc + (k - (k_blocks - 1) * kc).next_multiple_of(kernel.k_align());
        let panels = q_len.div_ceil(kernel.nr);
        // A block of `q` stays in half of the second-level cache while the rows of `p` pass by.
        let panel_bytes = kernel.nr * kc / kernel.per_unit() * 4;
        let most = (cpu().l2 / 2 / panel_bytes).max(1);
        let block_panels = panels.div_ceil(panels.div_ceil(most));
        let task_rows = (p.len / 32).clamp(kernel.task_rows, epilogue::MAX_BLOCK_ROWS * 3 / 4);
        Plan { kc, k_blocks, k_padded, block_panels, panels, task_rows: task_rows / kernel.mr * kernel.mr }
    }
}

/// Estimated cycles when `p` is read as rows and `q` is packed; `swapped` results are transposed on the way out.
fn cost(kernel: &Kernel, p: &Side, q: &Side, k: usize, swapped: bool) -> f64 {
    let per_cycle = match (kernel.tiled, kernel.compute) {
        (true, _) => 400.0,
        (_, DType::BF16) => 64.0,
        _ => 32.0,
    };
    // Packing and turning wait for memory more than they compute.
    let (pl, ql, kf) = (p.len as f64, q.len as f64, k as f64);
    let units = kf / kernel.per_unit() as f64;
    let padded = |len: usize, to: usize| len.next_multiple_of(to) as f64;
    let compute = padded(p.len, kernel.mr) * padded(q.len, kernel.vec) * kf / per_cycle;
    let pack = ql
        * units
        * if q.stride == 1 {
            0.2
        } else if q.k_stride == 1 {
            1.5
        } else {
            4.0
        };
    let stage = match in_place(kernel, p) {
        true => 0.0,
        false => {
            pl * units
                * if p.k_stride == 1 {
                    0.2
                } else if p.stride == 1 {
                    0.5
                } else {
                    4.0
                }
        }
    };
    let turn = if swapped { pl * ql * 0.8 } else { 0.0 };
    compute + pack + stage + turn
}

/// Computes `g`, whose operands and result are f32, f16 or bf16 and whose `k` is not zero.
///
/// # Safety
/// As [`super::gemm`]; the kernel's level is available.
pub(super) unsafe fn product(kernel: &'static Kernel, g: &Gemm<'_>) -> Result<()> {
    let turned = g.swapped();
    let g = if g.c.col_stride != 1 && g.c.row_stride == 1 && g.bias.is_none() && g.map.is_none() { &turned } else { g };
    let Gemm { m, n, k, a, b, .. } = *g;
    let a = Side { ptr: a.ptr, dtype: a.dtype, len: m, stride: a.row_stride, k_stride: a.col_stride };
    let b = Side { ptr: b.ptr, dtype: b.dtype, len: n, stride: b.col_stride, k_stride: b.row_stride };
    let swapped = cost(kernel, &b, &a, k, true) < cost(kernel, &a, &b, k, false);
    let (p, q) = if swapped { (b, a) } else { (a, b) };
    // SAFETY: forwarded.
    let (_bias_memory, bias) = unsafe { bias_f32(g)? };
    let direct = !swapped
        && !kernel.tiled
        && (g.c.dtype, g.c.col_stride) == (DType::F32, 1)
        && g.c.row_stride >= 0
        && g.bias.is_none()
        && g.map.is_none();
    let longest = k.next_multiple_of(32).max(p.len.next_multiple_of(epilogue::MAX_BLOCK_ROWS));
    let round = (MAX_PACKED / (longest * 4 * kernel.nr)).max(1) * kernel.nr;
    for q0 in (0..q.len).step_by(round) {
        let q = Side { ptr: q.at(q0, 0), len: round.min(q.len - q0), ..q };
        let product = Product { kernel, g, p, q, q0, swapped, direct, bias, plan: Plan::new(kernel, &p, q.len, k) };
        // SAFETY: forwarded.
        unsafe { product.run()? };
    }
    Ok(())
}

struct Product<'a> {
    kernel: &'static Kernel,
    g: &'a Gemm<'a>,
    p: Side,
    q: Side,
    /// The first output of `q` in the whole operand.
    q0: usize,
    swapped: bool,
    /// Whether whole tiles are summed in the result itself.
    direct: bool,
    bias: *const f32,
    plan: Plan,
}

// SAFETY: the only raw pointer of its own is the bias, which tasks read.
unsafe impl Sync for Product<'_> {}

impl Product<'_> {
    unsafe fn run(&self) -> Result<()> {
        let Plan { k_blocks, panels, block_panels, k_padded, task_rows, .. } = self.plan;
        let kernel = self.kernel;
        let mut packed = Buffer::new(panels * kernel.nr * k_padded / kernel.per_unit() * 4)?;
        let base = SendPtr(packed.as_mut_ptr());
        let each = |n: usize, task: &(dyn Fn(usize) + Sync)| {
            if self.p.len * self.q.len * self.g.k < SERIAL { (0..n).for_each(task) } else { parallel_for(n, task) }
        };
        each(panels * k_blocks, &|t| {
            let (j, kb) = (t / k_blocks, t % k_blocks);
            let (o0, k0) = (j * kernel.nr, kb * self.plan.kc);
            let n = kernel.nr.min(self.q.len - o0);
            let kc = self.plan.kc.min(self.g.k - k0);
            // SAFETY: elements o0.. and k0.. exist; each task writes its own part of `packed`.
            unsafe { panel(kernel, &self.q, o0, n, k0, kc, self.cols(j), base.get().add(self.panel_offset(j, k0))) };
        });
        let p_blocks = self.p.len.div_ceil(task_rows);
        let tasks = p_blocks * panels.div_ceil(block_panels);
        let task_sums = block_panels * task_rows * kernel.nr;
        // Sums that grow over several blocks of the reduction need a place for all tasks.
        let mut sums = match k_blocks > 1 && !self.direct {
            true => Some(Buffer::for_elements::<f32>(tasks * task_sums)?),
            false => None,
        };
        let sums = sums.as_mut().map(|sums| SendPtr(sums.as_mut_ptr().cast::<f32>()));
        let failed: Mutex<Option<Error>> = Mutex::new(None);
        // Block by block along the reduction, so that one block of `q` serves all rows while it is in the cache.
        for kb in 0..k_blocks {
            each(tasks, &|t| {
                let (qb, pb) = (t / p_blocks, t % p_blocks);
                let sums = sums.map(|sums| sums.get().wrapping_add(t * task_sums));
                // SAFETY: each task has its own block of the result and of the sums; `packed` is only read from here on.
                let done = unsafe { self.task(base.get(), sums, pb * task_rows, qb * block_panels, kb) };
                if let Err(e) = done {
                    failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(e);
                }
            });
        }
        failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }

    /// Width of panel `j`: the kernel's, or what the last one needs.
    fn cols(&self, j: usize) -> usize {
        (self.q.len - j * self.kernel.nr).min(self.kernel.nr).next_multiple_of(self.kernel.vec)
    }

    /// Bytes before element `k0` of panel `j`: all panels but the last have full width.
    fn panel_offset(&self, j: usize, k0: usize) -> usize {
        (j * self.kernel.nr * self.plan.k_padded + k0 * self.cols(j)) / self.kernel.per_unit() * 4
    }

    /// Block `kb` of the reduction for rows `i0..i0 + task_rows` of `p` and the panels from `j0` on.
    unsafe fn task(&self, packed: *const u8, sums: Option<*mut f32>, i0: usize, j0: usize, kb: usize) -> Result<()> {
        let Product { kernel, g, p, plan, .. } = self;
        let (mr, nr) = (kernel.mr, kernel.nr);
        let (k0, last) = (kb * plan.kc, kb + 1 == plan.k_blocks);
        let kc = plan.kc.min(g.k - k0);
        let n_rows = plan.task_rows.min(p.len - i0);
        let groups = n_rows.div_ceil(mr);
        let panels = plan.block_panels.min(plan.panels - j0);
        // Panel by panel, each a matrix of all the task's rows by nr columns. Direct products need one tile, for edges.
        let mut scratch = None;
        let sums = match sums {
            Some(sums) => sums,
            None => {
                let len = if self.direct { mr * nr } else { panels * groups * mr * nr };
                scratch.insert(Buffer::for_elements::<f32>(len)?).as_mut_ptr().cast()
            }
        };
        // An odd number of lines between staged rows spreads them over the sets of the first-level cache.
        let stage_ld = plan.kc.div_ceil(kernel.per_unit()).next_multiple_of(16) + 16;
        let mut stage: Option<Buffer> = None;
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a tiled kernel runs only where its level was detected.
        let _tiles = if kernel.tiled { Some(unsafe { super::kernel_amx::TileConfig::load() }) } else { None };
        let whole = in_place(kernel, p) && kc % kernel.k_align() == 0;
        for group in 0..groups {
            let row = i0 + group * mr;
            let in_place = whole && row + mr <= p.len;
            let (rows_ptr, row_bytes) = if in_place {
                (p.at(row, k0), p.stride as usize * p.dtype.size())
            } else {
                let buffer = match &mut stage {
                    Some(buffer) => buffer,
                    None => stage.insert(Buffer::for_elements::<u32>(mr * stage_ld)?),
                };
                let dst = buffer.as_mut_ptr();
                // SAFETY: rows and elements exist (the count is cut to those); the buffer has mr × stage_ld units.
                unsafe { rows(kernel, p, row, mr.min(p.len - row), k0, kc, stage_ld, dst) };
                (dst.cast_const(), stage_ld * 4)
            };
            let next = p.at(row + mr, k0);
            // Tiled kernels spread the prefetching of the next rows evenly over the panels.
            let lot = if kernel.tiled { (mr / panels).next_power_of_two().clamp(2, 8) } else { 4 };
            for j in 0..panels {
                let start = (j0 + j) * nr;
                let size = (mr.min(p.len - row), nr.min(self.q.len - start));
                let at = (row, self.q0 + start);
                let direct = self.direct && size == (mr, nr);
                let (acc, acc_stride, add) = if direct {
                    (g.c_at(at.0, at.1).cast::<f32>(), g.c.row_stride as usize, k0 > 0 || g.accumulate)
                } else if self.direct {
                    (sums, nr, false)
                } else {
                    (sums.wrapping_add((j * groups + group) * mr * nr), nr, k0 > 0)
                };
                let args = TileArgs {
                    units: kc.div_ceil(kernel.k_align()) * kernel.unit_align,
                    p: rows_ptr,
                    p_stride: row_bytes,
                    q: packed.wrapping_add(self.panel_offset(j0 + j, k0)),
                    cols: self.cols(j0 + j),
                    acc,
                    acc_stride,
                    add,
                    next: next.wrapping_add(j * lot * row_bytes),
                    next_rows: if in_place && j * lot < mr { lot } else { 0 },
                };
                // SAFETY: `units` of mr rows at `p`, of a packed panel at `q`, and one tile of sums: scratch, or whole
                // inside the result.
                unsafe { (kernel.run)(&args) };
                if self.direct && !direct {
                    let g = Gemm { accumulate: k0 > 0 || g.accumulate, ..**g };
                    // SAFETY: the rows and columns of the result belong to this task.
                    unsafe { epilogue::finish_block(kernel.isa, &g, sums, nr, size, at, false, self.bias) };
                }
            }
        }
        if last && !self.direct {
            for j in 0..panels {
                let block = sums.wrapping_add(j * groups * mr * nr);
                let start = (j0 + j) * nr;
                let size = (n_rows, nr.min(self.q.len - start));
                let at = (i0, self.q0 + start);
                // SAFETY: the block's sums are complete; the rows and columns of the result belong to this task.
                unsafe { epilogue::finish_block(kernel.isa, g, block, nr, size, at, self.swapped, self.bias) };
            }
        }
        Ok(())
    }
}
