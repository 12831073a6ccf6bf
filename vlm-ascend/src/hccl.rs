//! Groups of NPUs: HCCL behind the contract's [`Collective`].
//!
//! One rank makes a [`RootInfo`] and hands its bytes to the others, by whatever way they have: a file, a socket, the
//! launcher's store. Then every rank makes a [`Communicator`] of it, on a device of its own; that waits until all have.
//! The operations go to the device's stream with everything else, so nothing has to be waited for before or after. A
//! rank that goes away becomes an error at the next wait: at once where HCCL notices it, else after `HCCL_EXEC_TIMEOUT`
//! seconds.

mod error;
mod types;

use crate::aclnn::{Number, Stream};
use crate::elementwise::cast_to;
use crate::make::{cast_storage, copied, flat, room};
use crate::runtime::{Handle, Queue};
use crate::storage::{AscendStorage, own, own_mut, queue_of};
use error::check;
use std::ffi::c_void;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use types::Way;
use vlm_ascend_sys::HcclRootInfo;
use vlm_core::backend::collective::{Collective, CollectiveOp, check_parts, check_root};
use vlm_core::backend::{StorageRef, View};
use vlm_core::{Device, Error, ErrorKind, Result};

/// The function, or an error that says what HCCL's absence means.
macro_rules! hccl {
    ($library:expr, $name:ident) => {
        $library.functions().$name.ok_or_else(|| error::absent($library, stringify!($name)))
    };
}

/// What names the calls in errors.
const OP: &str = "collective";

/// Where ranks find each other: made by one, handed to all.
#[derive(Clone, PartialEq, Eq)]
pub struct RootInfo(Box<[u8; RootInfo::BYTES]>);

impl RootInfo {
    /// How many bytes it has.
    pub const BYTES: usize = size_of::<HcclRootInfo>();

    /// That of a new group, which the process with this device lets the others into: it is to be one of the ranks.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] where there is no HCCL, else what HCCL says.
    pub fn new(device: &Device) -> Result<Self> {
        let queue = queue_of(device, OP)?;
        queue.bind()?;
        let get = hccl!(queue.library(), HcclGetRootInfo)?;
        let mut bytes = Box::new([0; Self::BYTES]);
        // SAFETY: the struct is this many bytes, of which any will do; the thread has a context.
        let code = unsafe { get(bytes.as_mut_ptr().cast::<HcclRootInfo>()) };
        check(queue.library(), "HcclGetRootInfo", code as _)?;
        Ok(RootInfo(bytes))
    }

    /// Its bytes, to be handed to the other ranks.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0[..]
    }

    /// From the bytes that another rank handed over.
    ///
    /// # Errors
    /// [`ErrorKind::Format`] for another number of bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let all: Option<[u8; Self::BYTES]> = bytes.try_into().ok();
        all.map(|b| RootInfo(Box::new(b))).ok_or_else(|| {
            let message = format!("HCCL's root information has {} bytes, these are {}", Self::BYTES, bytes.len());
            Error::new(ErrorKind::Format, "root information", message)
        })
    }
}

impl fmt::Debug for RootInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RootInfo({} bytes)", Self::BYTES)
    }
}

/// A device's membership in a group of NPUs.
///
/// Sums and other reductions take `f32`, `f16`, `i32` and, from Atlas A2 on, `bf16` and `i64` as they are; means and
/// products of half floats are made in `f32` where HCCL would overflow or has none; `u8` in `i32`. There are no
/// reductions of `f64`, and of `u32` only sums and products. Copies take every type.
pub struct Communicator {
    stream: Stream,
    comm: Handle,
    /// One operation is put on the stream at a time.
    turn: Mutex<()>,
    rank: usize,
    size: usize,
}

impl Communicator {
    fn of(queue: Arc<Queue>, comm: *mut c_void, rank: usize, size: usize) -> Self {
        Communicator { stream: Stream::new(queue), comm: Handle::new(comm), turn: Mutex::default(), rank, size }
    }

    /// Joins a group as `rank` of `ranks`, and waits for the others as long as `HCCL_CONNECT_TIMEOUT` says.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] where there is no HCCL; [`ErrorKind::Index`] if there is no such rank; what HCCL
    /// says, such as that not all ranks came in time.
    pub fn new(device: &Device, ranks: usize, rank: usize, root: &RootInfo) -> Result<Self> {
        let queue = queue_of(device, OP)?;
        queue.bind()?;
        let init = hccl!(queue.library(), HcclCommInitRootInfo)?;
        let (Ok(n), Ok(r)) = (u32::try_from(ranks), u32::try_from(rank)) else { return Err(no_rank(rank, ranks)) };
        if rank >= ranks {
            return Err(no_rank(rank, ranks));
        }
        let mut comm = std::ptr::null_mut();
        // SAFETY: the struct is as many bytes as there are, and is only read; the place for the communicator is ours;
        // the thread has the context of the device.
        let code = unsafe { init(n, root.0.as_ptr().cast::<HcclRootInfo>(), r, &raw mut comm) };
        check(queue.library(), "HcclCommInitRootInfo", code as _)?;
        Ok(Communicator::of(queue, comm, rank, ranks))
    }

    /// A group of these devices of this process, by rank. Each is to be used by a thread of its own.
    ///
    /// # Errors
    /// As [`Communicator::new`].
    pub fn all(devices: &[Device]) -> Result<Vec<Self>> {
        let queues = devices.iter().map(|d| queue_of(d, OP)).collect::<Result<Vec<_>>>()?;
        let Some(first) = queues.first() else { return Ok(Vec::new()) };
        first.bind()?;
        let init = hccl!(first.library(), HcclCommInitAll)?;
        let mut numbers: Vec<i32> = queues.iter().map(|q| q.device).collect();
        let mut comms = vec![std::ptr::null_mut(); queues.len()];
        let size = queues.len();
        // SAFETY: both lists have as many entries as the count says.
        let code = unsafe { init(size as u32, numbers.as_mut_ptr(), comms.as_mut_ptr()) };
        check(first.library(), "HcclCommInitAll", code as _)?;
        let ranks = queues.into_iter().zip(comms).enumerate();
        Ok(ranks.map(|(rank, (queue, comm))| Communicator::of(queue, comm, rank, size)).collect())
    }

    /// What went wrong in operations that were put on the stream, as far as HCCL has noticed.
    ///
    /// # Errors
    /// That.
    pub fn check(&self) -> Result<()> {
        let library = self.stream.queue().library();
        let ask = hccl!(library, HcclGetCommAsyncError)?;
        let mut found = 0;
        // SAFETY: the communicator is ours; the place for the code is ours.
        let code = unsafe { ask(self.comm.raw(), &raw mut found) };
        check(library, "HcclGetCommAsyncError", code as _)?;
        check(library, "collective", found as _)
    }

    /// That a storage is of this communicator's device.
    fn mine<'a>(&self, x: &'a StorageRef) -> Result<&'a AscendStorage> {
        let x = own(x)?;
        match x.block() {
            Some(block) if !Arc::ptr_eq(block.queue(), self.stream.queue()) => Err(Error::new(
                ErrorKind::Device,
                "collective",
                "the storage is of another device than the communicator",
            )
            .hint("move it with to_device")),
            _ => Ok(x),
        }
    }

    /// Puts an operation on the stream; `call` makes it, for a thread that is bound, with the communicator and the
    /// stream.
    fn put(&self, op: &'static str, call: impl FnOnce(*mut c_void, *mut c_void) -> i32) -> Result<()> {
        let queue = self.stream.queue();
        queue.bind()?;
        let turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        check(queue.library(), op, call(self.comm.raw(), queue.stream()))?;
        drop(turn);
        queue.launched(op, false)
    }

    /// All elements of `x`, in one row of which nothing is left out.
    fn row(&self, x: &View<'_>) -> Result<Row> {
        self.mine(x.storage)?;
        match x.layout.contiguous_range() {
            Some(range) if range.start == 0 => Ok(Row::Given(x.storage.clone())),
            _ => Ok(Row::Copied(copied(&self.stream, x)?)),
        }
    }

    /// `HcclAllReduce` of `x`, in place where that is its only handle.
    fn reduce(&self, op: CollectiveOp, t: types::Type, mut x: StorageRef) -> Result<StorageRef> {
        let in_place = own_mut(&mut x).is_some();
        let from = own(&x)?;
        let out = if in_place { None } else { Some(room(&self.stream, from.element_type(), from.elements())?) };
        let (send, receive) = (from.address(), out.as_ref().unwrap_or(from).address());
        let all_reduce = hccl!(self.stream.queue().library(), HcclAllReduce)?;
        self.put("HcclAllReduce", |comm, stream| {
            // SAFETY: both buffers have as many elements as `x`, of a type of this size, and return to the pool in the
            // order of the stream; communicator and stream are of the thread's context.
            let code = unsafe {
                all_reduce(send, receive, from.elements() as u64, t as _, types::operator(op) as _, comm, stream)
            };
            code as _
        })?;
        let whole = out.as_ref().unwrap_or(from);
        if op == CollectiveOp::Mean {
            self.stream.InplaceDivs(&whole.row(), Number::F32(self.size as f32))?;
        }
        Ok(match out {
            Some(new) => new.share(),
            None => x,
        })
    }

    /// `HcclReduceScatter` of a row.
    fn scatter(&self, op: CollectiveOp, t: types::Type, x: &AscendStorage, part: usize) -> Result<AscendStorage> {
        let out = room(&self.stream, x.element_type(), part)?;
        let reduce_scatter = hccl!(self.stream.queue().library(), HcclReduceScatter)?;
        let (send, receive) = (x.address(), out.address());
        self.put("HcclReduceScatter", |comm, stream| {
            // SAFETY: as in `reduce`; `x` has a part for every rank.
            let code =
                unsafe { reduce_scatter(send, receive, part as u64, t as _, types::operator(op) as _, comm, stream) };
            code as _
        })?;
        if op == CollectiveOp::Mean {
            self.stream.InplaceDivs(&out.row(), Number::F32(self.size as f32))?;
        }
        Ok(out)
    }
}

/// The elements that an operation reads.
enum Row {
    Given(StorageRef),
    Copied(AscendStorage),
}

impl Row {
    fn storage(&self) -> Result<&AscendStorage> {
        match self {
            Row::Given(x) => own(x),
            Row::Copied(x) => Ok(x),
        }
    }
}

#[cold]
fn no_rank(rank: usize, ranks: usize) -> Error {
    Error::new(ErrorKind::Index, "join group", format!("there is no rank {rank} of {ranks}"))
}

impl Collective for Communicator {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn all_reduce(&self, op: CollectiveOp, x: StorageRef) -> Result<StorageRef> {
        let dtype = x.dtype();
        op.check(dtype)?;
        self.mine(&x)?;
        let way = types::reduction(&self.stream.queue().chip, op, dtype)?;
        if x.is_empty() {
            return Ok(x);
        }
        match way {
            Way::As(t) => self.reduce(op, t, x),
            Way::In(wide, t) => {
                let cast = cast_to(&self.stream, View::new(&x, &flat(x.len())), wide)?.share();
                drop(x);
                let all = self.reduce(op, t, cast)?;
                Ok(cast_to(&self.stream, View::new(&all, &flat(all.len())), dtype)?.share())
            }
        }
    }

    fn broadcast(&self, mut x: StorageRef, root: usize) -> Result<StorageRef> {
        check_root(root, self.size)?;
        self.mine(&x)?;
        if x.is_empty() {
            return Ok(x);
        }
        let t = types::copy(&self.stream.queue().chip, x.dtype());
        // The root only reads.
        let new = match root == self.rank || own_mut(&mut x).is_some() {
            true => None,
            false => Some(room(&self.stream, x.dtype(), x.len())?),
        };
        let buffer = match &new {
            Some(new) => new.address(),
            None => own(&x)?.address(),
        };
        let broadcast = hccl!(self.stream.queue().library(), HcclBroadcast)?;
        self.put("HcclBroadcast", |comm, stream| {
            // SAFETY: as in `reduce`; on the root the buffer is only read.
            let code = unsafe { broadcast(buffer, x.len() as u64, t as _, root as u32, comm, stream) };
            code as _
        })?;
        Ok(new.map_or(x, AscendStorage::share))
    }

    fn all_gather(&self, x: View<'_>) -> Result<StorageRef> {
        let (count, dtype) = (x.count(), x.dtype());
        let row = self.row(&x)?;
        let Some(all) = count.checked_mul(self.size) else {
            let message = format!("{count} elements from each of {} ranks are more than any memory has", self.size);
            return Err(Error::new(ErrorKind::OutOfMemory, "all_gather", message));
        };
        let out = room(&self.stream, dtype, all)?;
        if count > 0 {
            let t = types::copy(&self.stream.queue().chip, dtype);
            let (send, receive) = (row.storage()?.address(), out.address());
            let all_gather = hccl!(self.stream.queue().library(), HcclAllGather)?;
            self.put("HcclAllGather", |comm, stream| {
                // SAFETY: as in `reduce`; there is room for every rank's elements.
                let code = unsafe { all_gather(send, receive, count as u64, t as _, comm, stream) };
                code as _
            })?;
        }
        Ok(out.share())
    }

    fn reduce_scatter(&self, op: CollectiveOp, x: View<'_>) -> Result<StorageRef> {
        let dtype = x.dtype();
        op.check(dtype)?;
        let part = check_parts(x.count(), self.size)?;
        let way = types::reduction(&self.stream.queue().chip, op, dtype)?;
        self.mine(x.storage)?;
        if part == 0 {
            return Ok(room(&self.stream, dtype, 0)?.share());
        }
        match way {
            Way::As(t) => Ok(self.scatter(op, t, self.row(&x)?.storage()?, part)?.share()),
            Way::In(wide, t) => {
                let cast = cast_to(&self.stream, x, wide)?;
                let out = self.scatter(op, t, &cast, part)?;
                Ok(cast_storage(&self.stream, out, dtype)?.share())
            }
        }
    }

    fn barrier(&self) -> Result<()> {
        let barrier = hccl!(self.stream.queue().library(), HcclBarrier)?;
        self.put("HcclBarrier", |comm, stream| {
            // SAFETY: communicator and stream are of the thread's context.
            let code = unsafe { barrier(comm, stream) };
            code as _
        })?;
        self.stream.queue().synchronize().map_err(|e| match self.check() {
            Err(noticed) => e.with("group", noticed.message().to_owned()),
            Ok(()) => e,
        })
    }
}

impl fmt::Debug for Communicator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Communicator(rank {} of {}, {:?})", self.rank, self.size, self.stream.queue())
    }
}

impl Drop for Communicator {
    fn drop(&mut self) {
        let queue = self.stream.queue();
        // What is queued still needs it. Of a group that broke nothing can be waited for.
        if let Err(e) = queue.synchronize() {
            tracing::warn!(error = %e, "a group of devices was left with an error");
        }
        if let Some(destroy) = queue.library().functions().HcclCommDestroy {
            // SAFETY: the communicator is ours, is destroyed once, and nothing is queued that uses it.
            let code: i32 = unsafe { destroy(self.comm.raw()) } as _;
            if let Err(e) = check(queue.library(), "HcclCommDestroy", code) {
                tracing::warn!(error = %e, "a group of devices was not left cleanly");
            }
        }
    }
}
