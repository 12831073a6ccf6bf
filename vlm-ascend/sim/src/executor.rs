//! The two phases of an operation.

use crate::fault;
use crate::objects::{Executor, Object, Slot, TensorObject};
use crate::plan::{Cx, Planned, Refusal, invalid, null, status};
use crate::runtime::stream::{Task, Touch, Work};
use crate::state::{Failure, Sim, code, remember, with};
use crate::types::{DType, Scalar, Tensor};
use std::ffi::{CStr, c_char};
use vlm_ascend_sys::{aclOpExecutor, aclTensor};

/// The arguments of a first phase, as they are taken from the caller.
pub(crate) struct Arguments<'a> {
    sim: &'a mut Sim,
    pub(crate) cx: Cx,
    op: &'static str,
    slots: Vec<Slot>,
}

/// How an operation uses a tensor.
#[derive(Clone, Copy)]
pub(crate) struct Use {
    pub(crate) read: bool,
    pub(crate) written: bool,
}

pub(crate) const READ: Use = Use { read: true, written: false };
pub(crate) const WRITTEN: Use = Use { read: false, written: true };
pub(crate) const BOTH: Use = Use { read: true, written: true };

impl Arguments<'_> {
    fn lookup(&mut self, name: &str, handle: u64) -> Result<TensorObject, Refusal> {
        match self.sim.objects.get(handle) {
            Some(Object::Tensor(t)) => Ok(t.clone()),
            _ => {
                self.sim.violation(format!("{}: {name} is a tensor that was destroyed or never made", self.op));
                Err(invalid(format!("{name} is no tensor")))
            }
        }
    }

    /// A tensor that may be null.
    pub(crate) fn optional(&mut self, name: &str, t: *const aclTensor, usage: Use) -> Result<Option<Tensor>, Refusal> {
        if t.is_null() {
            return Ok(None);
        }
        let TensorObject { mut tensor, address, .. } = self.lookup(name, t as usize as u64)?;
        if usage.written && tensor.overlaps_itself() {
            self.sim.violation(format!(
                "{}: {name} is written and names an element twice: shape {:?}, strides {:?}",
                self.op, tensor.dims, tensor.strides
            ));
            return Err(invalid(format!("{name} names an element twice")));
        }
        tensor.slot = self.slots.len();
        self.slots.push(Slot { tensor: tensor.clone(), address, written: usage.written, read: usage.read });
        Ok(Some(tensor))
    }

    /// A tensor.
    pub(crate) fn tensor(&mut self, name: &str, t: *const aclTensor, usage: Use) -> Result<Tensor, Refusal> {
        self.optional(name, t, usage)?.ok_or_else(|| null(name))
    }

    /// The tensors of a list.
    pub(crate) fn tensors(&mut self, name: &str, list: u64) -> Result<Vec<Tensor>, Refusal> {
        if list == 0 {
            return Err(null(name));
        }
        let members = match self.sim.objects.get(list) {
            Some(Object::Tensors(members)) => members.clone(),
            _ => return Err(self.no_object(name)),
        };
        members.into_iter().map(|m| self.tensor(name, m as usize as *const aclTensor, READ)).collect()
    }

    fn no_object(&mut self, name: &str) -> Refusal {
        self.sim.violation(format!("{}: {name} was destroyed or never made", self.op));
        invalid(format!("{name} is no object of its kind"))
    }

    pub(crate) fn scalar(&mut self, name: &str, handle: u64) -> Result<Scalar, Refusal> {
        match (handle, self.sim.objects.get(handle)) {
            (0, _) => Err(null(name)),
            (_, Some(Object::Scalar(s))) => Ok(*s),
            _ => Err(self.no_object(name)),
        }
    }

    pub(crate) fn optional_ints(&mut self, name: &str, handle: u64) -> Result<Option<Vec<i64>>, Refusal> {
        match (handle, self.sim.objects.get(handle)) {
            (0, _) => Ok(None),
            (_, Some(Object::Ints(v))) => Ok(Some(v.clone())),
            _ => Err(self.no_object(name)),
        }
    }

    pub(crate) fn ints(&mut self, name: &str, handle: u64) -> Result<Vec<i64>, Refusal> {
        self.optional_ints(name, handle)?.ok_or_else(|| null(name))
    }

    pub(crate) fn bools(&mut self, name: &str, handle: u64) -> Result<Vec<bool>, Refusal> {
        match (handle, self.sim.objects.get(handle)) {
            (0, _) => Err(null(name)),
            (_, Some(Object::Bools(v))) => Ok(v.clone()),
            _ => Err(self.no_object(name)),
        }
    }

    pub(crate) fn dtype(&self, name: &str, number: i32) -> Result<DType, Refusal> {
        DType::from_acl(number).ok_or_else(|| invalid(format!("{name}: {number} is no element type")))
    }

    /// A string that may be null.
    ///
    /// # Safety
    /// `text` is null or a C string.
    pub(crate) unsafe fn optional_text(&self, name: &str, text: *const c_char) -> Result<Option<String>, Refusal> {
        if text.is_null() {
            return Ok(None);
        }
        // SAFETY: the caller passes a C string.
        let text = unsafe { CStr::from_ptr(text) };
        text.to_str().map(|t| Some(t.to_owned())).map_err(|_| invalid(format!("{name} is no text")))
    }

    /// A string.
    ///
    /// # Safety
    /// As [`Arguments::optional_text`].
    pub(crate) unsafe fn text(&self, name: &str, text: *const c_char) -> Result<String, Refusal> {
        // SAFETY: as the caller promises.
        unsafe { self.optional_text(name, text) }?.ok_or_else(|| null(name))
    }
}

/// An operation as the table of exports has it.
pub(crate) struct Op {
    pub(crate) name: &'static str,
    /// `aclnnXGetWorkspaceSize` and `aclnnX`.
    pub(crate) phases: [&'static str; 2],
}

/// Whether an operation may ask for workspace: where it would have to make operands contiguous. A strict simulator lets every operation
/// ask.
fn wants_workspace(strict: bool, name: &str, slots: &[Slot]) -> bool {
    let apart = |s: &Slot| !s.tensor.is_contiguous();
    if name == "InplaceCopy" {
        // It writes to any view at once; what it reads is made contiguous and, for another type, cast.
        let casts = slots.windows(2).any(|s| s[0].tensor.dtype != s[1].tensor.dtype);
        return strict || casts || slots.iter().any(|s| !s.written && apart(s));
    }
    strict || slots.iter().any(apart)
}

/// Whether two pieces of memory share a byte.
fn overlap(a: &Touch, b: &Touch) -> bool {
    a.len > 0 && b.len > 0 && a.address < b.address + b.len as u64 && b.address < a.address + a.len as u64
}

/// The first phase: checks the arguments and makes an executor.
///
/// # Safety
/// `size` and `executor` are null or may be written.
pub(crate) unsafe fn first_phase(
    op: &'static Op,
    size: *mut u64,
    executor: *mut *mut aclOpExecutor,
    plan: impl FnOnce(&mut Arguments<'_>) -> Planned,
) -> i32 {
    let outcome = with(|sim| {
        sim.report.called(op.phases[0]);
        if let Some(code) = fault::due(&mut sim.config.faults, op.phases[0], false) {
            return Err(Failure { code, text: format!("{} was told to fail", op.phases[0]) });
        }
        sim.ready(op.phases[0])?;
        sim.current_context(op.phases[0])?;
        let refused = |r: Refusal| Failure { code: r.status, text: format!("{}: {}", op.phases[0], r.text) };
        if size.is_null() || executor.is_null() {
            return Err(refused(null("workspaceSize or executor")));
        }
        let chip = sim.chip();
        if chip.without.contains(&op.name) {
            let text = format!("{} has no kernel for this operation", chip.soc);
            return Err(refused(Refusal { status: status::FIND_KERNEL, text }));
        }
        let mut arguments = Arguments { cx: Cx { chip }, op: op.phases[0], slots: Vec::new(), sim };
        let plan = plan(&mut arguments).map_err(refused)?;
        let Arguments { slots, sim, .. } = arguments;
        let workspace = if wants_workspace(sim.config.strict, op.name, &slots) { sim.rng.below(3) * 512 } else { 0 };
        let made = Executor { op: op.phases[1], plan, slots, workspace, repeatable: false };
        let handle = sim.objects.add(Object::Executor(Box::new(made)));
        Ok((handle, workspace))
    });
    match outcome {
        Ok((handle, workspace)) => {
            // SAFETY: both were found not null, and the caller lets them be written.
            unsafe {
                *size = workspace as u64;
                *executor = handle as usize as *mut aclOpExecutor;
            }
            0
        }
        Err(failure) => {
            remember(&failure);
            failure.code
        }
    }
}

/// The second phase: puts the work on a stream. It takes the executor, unless that is repeatable.
pub(crate) fn second_phase(op: &'static Op, workspace: u64, size: u64, executor: u64, stream: u64) -> i32 {
    let code = crate::state::call(op.phases[1], |sim| {
        let name = op.phases[1];
        sim.ready(name)?;
        let stream = sim.stream_of_call(stream, name)?;
        let Some(Object::Executor(found)) = sim.objects.get(executor) else {
            sim.violation(format!("{name} with an executor that was used, destroyed or never made"));
            return Err(Failure { code: status::INNER_NULLPTR, text: format!("{name}: no such executor") });
        };
        if found.op != name {
            let text = format!("{name} with an executor of {}", found.op);
            sim.violation(text.clone());
            return Err(Failure { code: status::PARAM_INVALID, text });
        }
        let (needed, kernel, repeatable) = (found.workspace, found.plan.kernel.clone(), found.repeatable);
        if (size as usize) < needed || (needed > 0 && workspace == 0) {
            let text = format!("{name} needs {needed} bytes of workspace and got {size}");
            sim.violation(text.clone());
            return Err(Failure { code: status::PARAM_INVALID, text });
        }
        let mut touches = Vec::with_capacity(found.slots.len() + 1);
        let mut addresses = Vec::with_capacity(found.slots.len());
        for slot in &found.slots {
            addresses.push(slot.address);
            let bytes = slot.tensor.bytes();
            if (slot.read || slot.written) && !slot.tensor.is_empty() {
                touches.push(Touch { address: slot.address + bytes.start as u64, len: bytes.len() });
            }
        }
        for t in &touches {
            if !sim.memory.holds(t.address, t.len) {
                let (at, len) = (t.address, t.len);
                sim.violation(format!("{name}: a tensor reaches {len} bytes at {at:#x}, which no allocation holds"));
                return Err(Failure {
                    code: status::PARAM_INVALID,
                    text: format!("{name}: a tensor lies outside of memory"),
                });
            }
        }
        let garbage = (needed > 0).then_some(Touch { address: workspace, len: needed });
        if let Some(w) = &garbage {
            if !sim.memory.holds(w.address, w.len) {
                sim.violation(format!("{name}: the workspace is not memory of the device"));
                return Err(Failure { code: status::PARAM_INVALID, text: format!("{name}: no such workspace") });
            }
            if touches.iter().any(|t| overlap(t, w)) {
                // It is the operation's own while it runs, so what it was to read is lost.
                sim.violation(format!("{name}: the workspace overlaps an operand of the same call"));
            }
            touches.push(w.clone());
        }
        if !repeatable {
            sim.objects.remove(executor);
        }
        let work = Work::Kernel { kernel, addresses: addresses.into(), workspace: garbage };
        sim.enqueue(stream, Task { name, work, touches: touches.into() })
    });
    if code != 0 {
        // The vendor's second phase ends an executor that is not repeatable also when it fails.
        with(|sim| {
            if matches!(sim.objects.get(executor), Some(Object::Executor(e)) if !e.repeatable) {
                sim.objects.remove(executor);
            }
        });
    }
    code
}

/// Gives an operand of a repeatable executor another storage. `pick` chooses by position among inputs, outputs or all.
pub(crate) fn set_address(
    sim: &mut Sim,
    executor: u64,
    index: usize,
    address: u64,
    pick: fn(&Slot) -> bool,
) -> Result<(), Failure> {
    let refused = |text: &str| Err(Failure { code: status::PARAM_INVALID, text: text.to_owned() });
    match sim.objects.get_mut(executor) {
        Some(Object::Executor(e)) if e.repeatable => match e.slots.iter_mut().filter(|s| pick(s)).nth(index) {
            Some(slot) => {
                slot.address = address;
                Ok(())
            }
            None => refused("the executor has no such tensor"),
        },
        Some(Object::Executor(_)) => {
            sim.violation("the address of a tensor was set in an executor that is not repeatable");
            refused("the executor is not repeatable")
        }
        _ => {
            sim.violation("the address of a tensor was set in an executor that is not there");
            Err(Failure { code: code::INVALID_HANDLE, text: "no such executor".to_owned() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::contiguous_strides;

    fn slot(strides: Option<Vec<usize>>, dtype: DType, written: bool) -> Slot {
        let dims = vec![2, 3];
        let strides = strides.unwrap_or_else(|| contiguous_strides(&dims));
        let tensor = Tensor { dtype, dims, strides, offset: 0, format: 2, storage: 16, slot: 0 };
        Slot { tensor, address: 0, written, read: !written }
    }

    #[test]
    fn workspace_is_for_what_is_made_contiguous() {
        let apart = || Some(vec![4, 1]);
        let whole = |written| slot(None, DType::F32, written);
        assert!(!wants_workspace(false, "Add", &[whole(false), whole(true)]));
        assert!(wants_workspace(true, "Add", &[whole(false), whole(true)]));
        assert!(wants_workspace(false, "Add", &[whole(false), slot(apart(), DType::F32, true)]));
        // A copy writes to a view without any.
        assert!(!wants_workspace(false, "InplaceCopy", &[slot(apart(), DType::F32, true), whole(false)]));
        assert!(wants_workspace(false, "InplaceCopy", &[whole(true), slot(apart(), DType::F32, false)]));
        assert!(wants_workspace(false, "InplaceCopy", &[whole(true), slot(None, DType::F16, false)]));
    }

    #[test]
    fn overlaps_are_seen() {
        let at = |address, len| Touch { address, len };
        assert!(overlap(&at(100, 10), &at(109, 1)) && overlap(&at(109, 1), &at(100, 10)));
        assert!(!overlap(&at(100, 10), &at(110, 5)) && !overlap(&at(100, 0), &at(100, 5)));
    }
}
