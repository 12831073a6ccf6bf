//! Executors that are kept, so that the first phase of a call that comes again is not run again.
//!
//! An executor may be made repeatable and its tensors given other addresses, unless its operation copies data of the host or ends in
//! a copy onto itself. Which operations do is not documented for each; those here take tensors and numbers alone. Everything else runs
//! both phases each time.

use super::objects::Objects;
use super::{Number, Operand, Planned, Stream};
use crate::library::{Library, RunPhase, function};
use std::collections::HashMap;
use std::ffi::{CStr, c_void};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use vlm_ascend_sys::aclTensor;
use vlm_core::{DType, Result};

/// The operations whose executors are kept.
pub(super) const fn is_repeatable(op: &str) -> bool {
    const ALL: [&str; 21] = [
        "Matmul",
        "BatchMatMul",
        "Mm",
        "Mul",
        "Div",
        "Maximum",
        "Minimum",
        "Exp",
        "Neg",
        "Sqrt",
        "Silu",
        "GeluV2",
        "SiluBackward",
        "SwiGlu",
        "Softmax",
        "SoftmaxBackward",
        "LogSoftmax",
        "RmsNorm",
        "RmsNormGrad",
        "RotaryPositionEmbedding",
        "Embedding",
    ];
    let mut i = 0;
    while i < ALL.len() {
        if equal(ALL[i].as_bytes(), op.as_bytes()) {
            return true;
        }
        i += 1;
    }
    false
}

/// `==` at compile time.
const fn equal(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}

/// Everything that a call consists of but the addresses of its tensors.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    op: &'static str,
    parts: Vec<i64>,
}

impl Key {
    pub(super) fn new(op: &'static str) -> Self {
        Key { op, parts: Vec::with_capacity(48) }
    }
}

/// An argument's part of the key.
pub(super) trait KeyPart {
    fn add_to(&self, key: &mut Key);
}

impl KeyPart for &Operand {
    fn add_to(&self, key: &mut Key) {
        key.parts.extend([self.dtype as i64, self.rank as i64, self.offset, self.storage]);
        key.parts.extend(self.dims());
        key.parts.extend(self.strides());
    }
}

impl KeyPart for Option<&Operand> {
    fn add_to(&self, key: &mut Key) {
        match self {
            Some(o) => o.add_to(key),
            None => key.parts.push(-1),
        }
    }
}

impl KeyPart for &[Operand] {
    fn add_to(&self, key: &mut Key) {
        self.iter().for_each(|o| (&o).add_to(key));
    }
}

impl KeyPart for Number {
    fn add_to(&self, key: &mut Key) {
        key.parts.push(match self {
            Number::F32(v) => i64::from(v.to_bits()),
            Number::I64(v) => *v,
        });
    }
}

impl KeyPart for &[i64] {
    fn add_to(&self, key: &mut Key) {
        key.parts.push(self.len() as i64);
        key.parts.extend(*self);
    }
}

impl KeyPart for &[bool] {
    fn add_to(&self, key: &mut Key) {
        key.parts.extend(self.iter().map(|&b| i64::from(b)));
    }
}

impl KeyPart for &CStr {
    fn add_to(&self, key: &mut Key) {
        key.parts.push(self.count_bytes() as i64);
        key.parts.extend(self.to_bytes().iter().map(|&b| i64::from(b)));
    }
}

impl KeyPart for DType {
    fn add_to(&self, key: &mut Key) {
        key.parts.push(*self as i64);
    }
}

macro_rules! numbers {
    ($($t:ty => $f:expr),*) => { $(impl KeyPart for $t {
        fn add_to(&self, key: &mut Key) {
            let bits: fn($t) -> i64 = $f;
            key.parts.push(bits(*self));
        }
    })* };
}
numbers!(i8 => i64::from, i32 => i64::from, i64 => |v| v, u64 => |v| v as i64, bool => i64::from,
         f32 => |v| i64::from(v.to_bits()), f64 => |v| v.to_bits() as i64);

/// A repeatable executor with what it refers to.
struct Kept {
    planned: Planned,
    /// The tensors of the call, in its order, with whether they are written. They live as long as the executor.
    tensors: Vec<(*mut aclTensor, bool)>,
    _objects: Objects,
}

// SAFETY: an executor and its tensors are data on the host that the interface's functions take from any thread, one at a time; the
// lock around them sees to the latter.
unsafe impl Send for Kept {}

/// At most this many executors are kept; then all are let go, as shapes have changed.
const MOST: usize = 4096;

/// The executors of one device.
pub(crate) struct Cache {
    library: &'static Library,
    on: bool,
    kept: Mutex<HashMap<Key, Arc<Mutex<Kept>>>>,
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cache({} executors)", self.lock().len())
    }
}

impl Cache {
    /// On, unless the libraries cannot keep executors or `VLM_ASCEND_EXECUTOR_CACHE=0`.
    pub(super) fn new(library: &'static Library) -> Self {
        let f = library.functions();
        let able = f.aclSetAclOpExecutorRepeatable.is_some()
            && f.aclDestroyAclOpExecutor.is_some()
            && f.aclSetInputTensorAddr.is_some()
            && f.aclSetOutputTensorAddr.is_some();
        let off = std::env::var("VLM_ASCEND_EXECUTOR_CACHE").is_ok_and(|v| v == "0");
        Cache { library, on: able && !off, kept: Mutex::default() }
    }

    pub(super) fn is_on(&self) -> bool {
        self.on
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Arc<Mutex<Kept>>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn let_go(&self, all: impl IntoIterator<Item = Arc<Mutex<Kept>>>) {
        let Some(destroy) = self.library.functions().aclDestroyAclOpExecutor else { return };
        for kept in all {
            // A thread that runs one right now destroys nothing: it is done with it when the lock is had.
            let kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            // SAFETY: repeatable executors are destroyed by their owner, once, as the entry is gone from the map; what they queued
            // does not need them.
            unsafe { destroy(kept.planned.executor) };
        }
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        let all = std::mem::take(&mut *self.lock());
        self.let_go(all.into_values());
    }
}

impl Stream {
    /// Runs a kept executor of this call with these addresses; `false` if there is none.
    #[inline(never)]
    pub(super) fn replay(&self, key: &Key, addresses: &[(usize, bool)], run: RunPhase) -> Result<bool> {
        // The map stays locked, so that nobody lets the executor go meanwhile: a replay is short, and the stream has one order anyway.
        let map = self.cache.lock();
        let Some(kept) = map.get(key) else { return Ok(false) };
        self.queue.bind()?;
        let kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        self.set_addresses(key.op, &kept, addresses)?;
        let workspace = self.workspace(key.op, &kept.planned)?;
        self.run(key.op, run, &kept.planned, workspace)?;
        self.queue.launched(key.op, false)?;
        Ok(true)
    }

    /// Asks that an executor may run more than once; `false` where it may not.
    #[inline(never)]
    pub(super) fn make_repeatable(&self, planned: &Planned) -> bool {
        let Some(ask) = self.queue.library().functions().aclSetAclOpExecutorRepeatable else { return false };
        // SAFETY: the executor was just made and not run.
        let may = unsafe { ask(planned.executor) } == 0;
        if !may {
            // Forget the message of the refusal.
            crate::error::recent(self.queue.library().functions());
        }
        may
    }

    /// Keeps an executor that was run for the next call of its kind.
    #[inline(never)]
    pub(super) fn keep(&self, key: Key, planned: Planned, objects: Objects, addresses: &[(usize, bool)]) {
        let tensors = objects.tensors_made().into_iter().zip(addresses).map(|(t, &(_, w))| (t, w)).collect();
        let kept = Arc::new(Mutex::new(Kept { planned, tensors, _objects: objects }));
        let mut map = self.cache.lock();
        if map.len() >= MOST {
            let all = std::mem::take(&mut *map);
            self.cache.let_go(all.into_values());
        }
        // Another thread may have planned the same.
        let before = map.insert(key, kept);
        self.cache.let_go(before);
    }

    /// Gives the tensors of an executor the addresses of this call.
    fn set_addresses(&self, op: &'static str, kept: &Kept, addresses: &[(usize, bool)]) -> Result<()> {
        let library = self.queue.library();
        let (input, output) = (function!(library, aclSetInputTensorAddr)?, function!(library, aclSetOutputTensorAddr)?);
        let (mut inputs, mut outputs) = (0, 0);
        for (&(tensor, written), &(address, _)) in kept.tensors.iter().zip(addresses) {
            let (set, index) = if written { (output, &mut outputs) } else { (input, &mut inputs) };
            // SAFETY: executor and tensor are alive; the address is a block's, alive during the call.
            let code = unsafe { set(kept.planned.executor, *index, tensor, address as *mut c_void) };
            crate::error::check(library, op, code)?;
            *index += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_asked_at_compile_time() {
        const YES: bool = is_repeatable("Matmul");
        const NO: bool = is_repeatable("InplaceCopy");
        assert_eq!((YES, NO), (true, false));
    }

    #[test]
    fn keys_tell_absent_operands_apart() {
        let mut a = Key::new("x");
        None::<&Operand>.add_to(&mut a);
        assert_ne!(a, Key::new("x"));
    }
}
