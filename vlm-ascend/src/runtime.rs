//! A device as the runtime has it: a context, one stream that all work goes through, memory.
//!
//! The runtime keeps a current context per thread, so every entry [binds](Queue::bind) the calling thread first. Work of all threads
//! goes to one stream, in the order of their calls; that order is what makes it safe to use memory again at once
//! ([`pool`]), as the runtime's own `aclrtFree` waits for nothing.

pub(crate) mod host;
pub(crate) mod pool;

use crate::chip::Chip;
use crate::error::{self, check};
use crate::library::{Library, function, library};
use host::Staging;
use pool::{Block, Pool};
use std::cell::Cell;
use std::ffi::{CStr, c_void};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use vlm_core::backend::MemoryStats;
use vlm_core::{Error, ErrorKind, Result};

/// `aclrtMemcpyKind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Copy {
    HostToDevice = 1,
    DeviceToHost = 2,
    DeviceToDevice = 3,
}

/// What a device has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Operations that were put on the stream.
    pub launches: u64,
    /// Of those, the ones whose first phase was run; the others used an executor that was kept.
    pub planned: u64,
    /// Copies that were put on the stream, in either direction or on the device.
    pub copies: u64,
}

/// An address that threads may share: it is never followed on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Handle(*mut c_void);

// SAFETY: a handle is a number that the runtime's functions take from any thread whose context was set; nothing is read through it.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

impl Handle {
    pub(crate) fn new(raw: *mut c_void) -> Self {
        Handle(raw)
    }

    pub(crate) fn raw(self) -> *mut c_void {
        self.0
    }
}

thread_local! {
    /// The number of the queue whose context this thread set last; 0 for none. Addresses of contexts may come again.
    static BOUND: Cell<u64> = const { Cell::new(0) };
}

/// Numbers for queues.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// One open device.
pub(crate) struct Queue {
    id: u64,
    library: &'static Library,
    pub(crate) device: i32,
    pub(crate) chip: Chip,
    context: Handle,
    stream: Handle,
    pool: Mutex<Pool>,
    staging: Mutex<Staging>,
    /// Whether every operation is waited for, so that one that fails on the device is named.
    blocking: bool,
    launches: AtomicU64,
    planned: AtomicU64,
    copies: AtomicU64,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Queue(ascend:{}, {})", self.device, self.chip.soc)
    }
}

fn switch(variable: &str) -> bool {
    std::env::var(variable).is_ok_and(|v| v == "1")
}

/// What the chip calls itself, `Ascend910B3`.
pub(crate) fn soc_name(library: &Library) -> Option<String> {
    let ask = library.functions().aclrtGetSocName?;
    // SAFETY: the call takes nothing and returns null or a C string that lives as long as the process.
    let text = unsafe {
        let text = ask();
        if text.is_null() {
            return None;
        }
        CStr::from_ptr(text)
    };
    Some(text.to_string_lossy().into_owned())
}

/// How many devices the process sees.
pub(crate) fn device_count(library: &Library) -> Result<usize> {
    let ask = function!(library, aclrtGetDeviceCount)?;
    let mut count = 0;
    // SAFETY: the place for the count is ours.
    check(library, "count devices", unsafe { ask(&raw mut count) })?;
    Ok(count as usize)
}

impl Queue {
    /// Opens a device: a context and a stream of its own.
    pub(crate) fn open(device: usize) -> Result<Arc<Self>> {
        const OP: &str = "open device";
        let library = library()?;
        let chip = Chip::of(&soc_name(library).unwrap_or_default());
        let number = i32::try_from(device)
            .map_err(|_| Error::new(ErrorKind::Device, OP, format!("there is no ascend:{device}")))?;
        let (create_context, create_stream) =
            (function!(library, aclrtCreateContext)?, function!(library, aclrtCreateStream)?);
        let mut context = std::ptr::null_mut();
        // SAFETY: the place for the context is ours; a wrong number is answered with an error.
        check(library, OP, unsafe { create_context(&raw mut context, number) })?;
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        BOUND.set(id);
        let mut queue = Queue {
            id,
            library,
            device: number,
            chip,
            context: Handle(context),
            stream: Handle(std::ptr::null_mut()),
            pool: Mutex::new(Pool::new(!switch("VLM_ASCEND_PLAIN_POOL"))),
            staging: Mutex::default(),
            blocking: switch("VLM_ASCEND_BLOCKING") || switch("ASCEND_LAUNCH_BLOCKING"),
            launches: AtomicU64::new(0),
            planned: AtomicU64::new(0),
            copies: AtomicU64::new(0),
        };
        let mut stream = std::ptr::null_mut();
        // SAFETY: the thread's context was just made current; the place for the stream is ours.
        check(library, OP, unsafe { create_stream(&raw mut stream) })?;
        queue.stream = Handle(stream);
        if switch("VLM_DETERMINISTIC") {
            queue.set_deterministic(true)?;
        }
        Ok(Arc::new(queue))
    }

    pub(crate) fn library(&self) -> &'static Library {
        self.library
    }

    /// Has every operation give the same bits each time, where the chip's default does not.
    pub(crate) fn set_deterministic(&self, on: bool) -> Result<()> {
        self.bind()?;
        let set = function!(self.library, aclrtCtxSetSysParamOpt)?;
        // SAFETY: option 0 is determinism, its values are 0 and 1; the thread's context is ours.
        check(self.library, "set determinism", unsafe { set(0, i64::from(on)) })
    }

    /// Makes the device's context the thread's.
    #[inline]
    pub(crate) fn bind(&self) -> Result<()> {
        if BOUND.get() == self.id {
            return Ok(());
        }
        let set = function!(self.library, aclrtSetCurrentContext)?;
        // SAFETY: the context lives as long as `self`.
        check(self.library, "bind thread", unsafe { set(self.context.raw()) })?;
        BOUND.set(self.id);
        Ok(())
    }

    /// The stream, for a thread that is bound.
    pub(crate) fn stream(&self) -> *mut c_void {
        self.stream.raw()
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Memory for `bytes`, of any content.
    pub(crate) fn allocate(self: &Arc<Self>, bytes: usize) -> Result<Block> {
        self.bind()?;
        let piece = self.pool().take(self, bytes)?;
        Ok(Block::new(self.clone(), piece))
    }

    /// Memory that is free as soon as what is queued now has run.
    pub(crate) fn give_back(&self, piece: pool::Piece) {
        self.pool().give(piece);
    }

    /// Asks the runtime for memory.
    fn system_allocate(&self, bytes: usize) -> std::result::Result<Handle, i32> {
        let Some(allocate) = self.library.functions().aclrtMalloc else { return Err(200_001) };
        let mut address = std::ptr::null_mut();
        // SAFETY: the place for the address is ours; policy 0 wants huge pages and takes others. The thread is bound.
        match unsafe { allocate(&raw mut address, bytes, 0) } {
            0 => Ok(Handle(address)),
            code => Err(code),
        }
    }

    /// Gives memory back to the runtime, which nothing that is queued uses.
    fn system_free(&self, address: Handle) {
        if let Some(free) = self.library.functions().aclrtFree {
            // SAFETY: `address` came from `system_allocate` and is given back once.
            let code = unsafe { free(address.raw()) };
            if code != 0 {
                tracing::warn!(code, "aclrtFree failed");
            }
        }
    }

    /// Waits for all work.
    pub(crate) fn synchronize(&self) -> Result<()> {
        self.bind()?;
        let wait = function!(self.library, aclrtSynchronizeStream)?;
        // SAFETY: the stream lives as long as `self` and is of the thread's context.
        check(self.library, "synchronize", unsafe { wait(self.stream()) })
    }

    /// Puts a copy on the stream.
    ///
    /// # Safety
    /// Both sides have `bytes` bytes. Host memory is pinned and stays until the stream was waited for or an event behind the
    /// copy was reached.
    pub(crate) unsafe fn copy(&self, to: *mut c_void, from: *const c_void, bytes: usize, kind: Copy) -> Result<()> {
        self.bind()?;
        let copy = function!(self.library, aclrtMemcpyAsync)?;
        self.copies.fetch_add(1, Ordering::Relaxed);
        // SAFETY: by the caller; the stream is of the thread's context.
        let code = unsafe { copy(to, bytes, from, bytes, kind as _, self.stream()) };
        check(self.library, "copy", code)
    }

    /// Copies between places of the device, in the order of the stream.
    pub(crate) fn copy_on_device(&self, to: (&Block, usize), from: (&Block, usize), bytes: usize) -> Result<()> {
        assert!(
            to.1 + bytes <= to.0.bytes() && from.1 + bytes <= from.0.bytes(),
            "the copy reaches outside of a block"
        );
        let (to, from) = (to.0.address().wrapping_byte_add(to.1), from.0.address().wrapping_byte_add(from.1));
        // SAFETY: both ranges lie within blocks, as was just checked, which return to the pool in the order of the stream.
        unsafe { self.copy(to, from, bytes, Copy::DeviceToDevice) }
    }

    /// Brings bytes to the device: they are copied before the call returns, and the device gets them in the order of the stream.
    pub(crate) fn upload(&self, to: &Block, bytes: &[u8]) -> Result<()> {
        assert!(bytes.len() <= to.bytes(), "the block is too small");
        self.bind()?;
        self.staging.lock().unwrap_or_else(PoisonError::into_inner).upload(self, to.address(), bytes)
    }

    /// Fetches bytes from the device, after all work that was queued.
    pub(crate) fn download(&self, from: &Block, start: usize, out: &mut [u8]) -> Result<()> {
        assert!(start + out.len() <= from.bytes(), "the block is too small");
        self.bind()?;
        let address = from.address().wrapping_byte_add(start);
        self.staging.lock().unwrap_or_else(PoisonError::into_inner).download(self, address, out)
    }

    /// Counts an operation and, if so asked, waits for it.
    pub(crate) fn launched(&self, op: &'static str, planned: bool) -> Result<()> {
        self.launches.fetch_add(1, Ordering::Relaxed);
        self.planned.fetch_add(u64::from(planned), Ordering::Relaxed);
        if self.blocking {
            let wait = function!(self.library, aclrtSynchronizeStream)?;
            // SAFETY: as in `synchronize`; the caller has bound the thread.
            check(self.library, op, unsafe { wait(self.stream()) })?;
        }
        Ok(())
    }

    pub(crate) fn counters(&self) -> Counters {
        Counters {
            launches: self.launches.load(Ordering::Relaxed),
            planned: self.planned.load(Ordering::Relaxed),
            copies: self.copies.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn memory_stats(&self) -> MemoryStats {
        self.pool().stats()
    }

    /// Free and all bytes of the device.
    pub(crate) fn memory_info(&self) -> Result<(usize, usize)> {
        self.bind()?;
        let ask = function!(self.library, aclrtGetMemInfo)?;
        let (mut free, mut total) = (0, 0);
        // SAFETY: the places are ours; 1 asks for the memory that tensors are in.
        check(self.library, "memory", unsafe { ask(1, &raw mut free, &raw mut total) })?;
        Ok((free, total))
    }

    /// Gives memory that waits for reuse back to the runtime.
    pub(crate) fn trim(&self) -> Result<()> {
        // Blocks are free in the order of the stream; the runtime takes them at once. Under one lock, so that no block comes back in
        // between with work on it that is not done.
        let mut pool = self.pool();
        self.synchronize()?;
        let empty = pool.idle();
        drop(pool);
        empty.into_iter().for_each(|a| self.system_free(a));
        Ok(())
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        let f = self.library.functions();
        // Of a device that failed nothing can be waited for; what it held is given back all the same.
        if let Err(e) = self.synchronize() {
            tracing::warn!(error = %e, "the device was closed with an error");
        }
        self.staging.get_mut().unwrap_or_else(PoisonError::into_inner).release(self.library);
        let pool = std::mem::take(self.pool.get_mut().unwrap_or_else(PoisonError::into_inner));
        pool.all().into_iter().for_each(|a| self.system_free(a));
        if let (Some(destroy_stream), Some(destroy_context)) = (f.aclrtDestroyStream, f.aclrtDestroyContext) {
            // A queue that could not be opened has no stream.
            let stream = self.stream.raw();
            // SAFETY: both were made by `open`, are destroyed once, and nothing that uses them is left, as all storages hold the
            // queue.
            let code = unsafe {
                let of_stream = if stream.is_null() { 0 } else { destroy_stream(stream) };
                of_stream.max(destroy_context(self.context.raw()))
            };
            if code != 0 {
                let said = error::recent(f).unwrap_or_default();
                tracing::warn!(code, said, "the device was not closed cleanly");
            }
        }
        if BOUND.get() == self.id {
            BOUND.set(0);
        }
    }
}
