//! What the tests of operations share: a memory, tensors in it, and running a plan on them.

use crate::chip::Chip;
use crate::plan::{Cx, Fault, Planned, Refusal};
use crate::run::Run;
use crate::runtime::memory::Memory;
use crate::types::{DType, Tensor, contiguous_strides};

/// A device of its own.
pub(crate) struct Bench {
    memory: Memory,
    addresses: Vec<u64>,
    pub(crate) cx: Cx,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::on("Ascend910B3")
    }

    pub(crate) fn on(soc: &str) -> Self {
        let chip = Chip::named(soc).expect("a chip that is simulated");
        Bench { memory: Memory::new(1 << 30), addresses: Vec::new(), cx: Cx { chip } }
    }

    /// A contiguous tensor with these elements.
    pub(crate) fn tensor(&mut self, dtype: DType, dims: &[usize], values: &[f64]) -> Tensor {
        let t = self.empty(dtype, dims);
        let mut run = Run { memory: &mut self.memory, addresses: &self.addresses };
        run.put_f64(&t, values).expect("the memory was just allocated");
        t
    }

    /// A contiguous tensor of fresh memory.
    pub(crate) fn empty(&mut self, dtype: DType, dims: &[usize]) -> Tensor {
        let storage = dims.iter().product::<usize>();
        let bytes = (storage * dtype.bits()).div_ceil(8);
        self.addresses.push(self.memory.allocate(0, bytes).expect("enough memory"));
        let slot = self.addresses.len() - 1;
        Tensor { dtype, dims: dims.to_vec(), strides: contiguous_strides(dims), offset: 0, format: 2, storage, slot }
    }

    /// Runs what was planned.
    pub(crate) fn run(&mut self, planned: Planned) -> Result<(), Fault> {
        let plan = planned.unwrap_or_else(|Refusal { status, text }| panic!("refused with {status}: {text}"));
        (plan.kernel)(&mut Run { memory: &mut self.memory, addresses: &self.addresses })
    }

    /// The elements of a tensor in row-major order.
    pub(crate) fn values(&mut self, t: &Tensor) -> Vec<f64> {
        Run { memory: &mut self.memory, addresses: &self.addresses }.f64s(t).expect("a tensor of this bench")
    }
}

/// The status that a plan was refused with.
pub(crate) fn refusal(planned: Planned) -> i32 {
    planned.map(|_| ()).expect_err("the plan was accepted").status
}

/// Asserts that all are close.
#[track_caller]
pub(crate) fn assert_close(found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        let near = (f - e).abs() <= tolerance * e.abs().max(1.0) || (f.is_nan() && e.is_nan()) || f == e;
        assert!(near, "element {i}: found {f}, expected {e}");
    }
}
