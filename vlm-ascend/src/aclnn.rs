//! Calling aclnn operations.
//!
//! Every operation has two phases: the first checks the arguments and plans the work, the second puts it on the stream. A call here is
//! both, with the objects that describe the arguments made before and destroyed after, and the workspace taken from the pool and given
//! back in the order of the stream.

mod cache;
mod calls;
mod objects;
mod operand;

pub(crate) use cache::Cache;
pub(crate) use operand::{Number, Operand, acl_type};

use crate::library::{Op, RunPhase};
use crate::runtime::Queue;
use crate::runtime::pool::Block;
use cache::Key;
use objects::Objects;
use std::ffi::c_void;
use std::sync::Arc;
use vlm_ascend_sys::aclOpExecutor;
use vlm_core::{Error, ErrorKind, Result};

/// Where operations are put: a device and the executors that were kept for it.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    queue: Arc<Queue>,
    cache: Arc<Cache>,
}

/// What the first phase made.
struct Planned {
    executor: *mut aclOpExecutor,
    workspace: u64,
}

impl Default for Planned {
    fn default() -> Self {
        Planned { executor: std::ptr::null_mut(), workspace: 0 }
    }
}

/// One call while it is made.
struct Call<'a> {
    stream: &'a Stream,
    op: &'static str,
    objects: Objects,
}

// The methods below are the same for all operations and large enough: one copy of each is plenty.
impl Stream {
    pub(crate) fn new(queue: Arc<Queue>) -> Self {
        Stream { cache: Arc::new(Cache::new(queue.library())), queue }
    }

    pub(crate) fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    /// Whether both phases of an operation are there and the chip has its kernel, as far as is known.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.queue.library().has_operation(name) && !crate::support::lacks(self.queue.chip.family, name)
    }

    #[inline(never)]
    fn phases(&self, op: Op, name: &'static str) -> Result<(*mut c_void, RunPhase)> {
        self.queue.library().operations().phases(op).ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, name, format!("this CANN has no {name}")).hint("install a newer CANN")
        })
    }

    #[inline(never)]
    fn start(&self, op: &'static str) -> Result<Call<'_>> {
        self.queue.bind()?;
        Ok(Call { stream: self, op, objects: Objects::new(self.queue.library()) })
    }

    /// The memory that planned work asks for.
    #[inline(never)]
    fn workspace(&self, op: &'static str, planned: &Planned) -> Result<Option<Block>> {
        match usize::try_from(planned.workspace) {
            Ok(0) => Ok(None),
            Ok(bytes) => self.queue.allocate(bytes).map(Some),
            Err(_) => Err(Error::new(ErrorKind::OutOfMemory, op, "the workspace is larger than any memory")),
        }
    }

    /// Puts planned work on the stream. The executor is gone afterwards, also after an error, unless it is repeatable.
    #[inline(never)]
    fn run(&self, op: &'static str, phase: RunPhase, planned: &Planned, workspace: Option<Block>) -> Result<()> {
        let queue = &self.queue;
        let address = workspace.as_ref().map_or(std::ptr::null_mut::<c_void>(), Block::address);
        // SAFETY: the executor is of this operation's first phase and was not run yet, or may be run again; the workspace has the size
        // that the first phase asked for and returns to the pool in the order of the stream; the operands' blocks are alive, and
        // return to the pool likewise.
        let code = unsafe { phase(address, planned.workspace, planned.executor, queue.stream()) };
        crate::error::check(queue.library(), op, code)
    }
}

impl Call<'_> {
    /// What comes after the first phase, which returned `code`.
    #[inline(never)]
    fn finish(self, code: i32, planned: Planned, run: RunPhase, kept: Option<(Key, Vec<(usize, bool)>)>) -> Result<()> {
        crate::error::check(self.stream.queue.library(), self.op, code)?;
        let keep = kept.filter(|_| self.stream.make_repeatable(&planned));
        let workspace = self.stream.workspace(self.op, &planned).inspect_err(|_| self.discard(planned.executor))?;
        let run = self.stream.run(self.op, run, &planned, workspace);
        let done = run.and_then(|()| self.stream.queue.launched(self.op, true));
        let Some((key, addresses)) = keep else { return done };
        done.inspect_err(|_| self.discard(planned.executor))?;
        self.stream.keep(key, planned, self.objects, &addresses);
        Ok(())
    }

    /// Destroys an executor that was not run, or is repeatable.
    fn discard(&self, executor: *mut aclOpExecutor) {
        if let Some(destroy) = self.stream.queue.library().functions().aclDestroyAclOpExecutor {
            // SAFETY: it came from a first phase, and no second phase took it: those take executors that are not repeatable, even if they
            // fail.
            unsafe { destroy(executor) };
        }
    }
}
