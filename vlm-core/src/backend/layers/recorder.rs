//! Graphs for any device, in software: calls are recorded and made again.

use super::recorded::{Keep, Kept, Now};
use crate::backend::calls::for_each_operation;
use crate::backend::graphs::{Graph, Graphs};
use crate::backend::{
    AdamWArgs, AdamWState, ArgReduceOp, AttentionArgs, BinaryOp, CompareOp, CumulativeOp, DeviceProperties,
    Distribution, HostBytes, Kernels, Memory, MemoryStats, OpKind, Outcome, Primitives, QuantizedLinearArgs, RandomKey,
    ReduceOp, RopeArgs, ScatterOp, Storage, StorageRef, Support, UnaryOp, View,
};
use crate::shape::Dims;
use crate::{DType, Error, ErrorKind, Layout, Result, Scalar};
use std::any::Any;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is held is valid after every statement.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A place in memory: what is in it changes with every replay, the place does not.
struct Place {
    held: Mutex<Option<StorageRef>>,
    dtype: DType,
    len: usize,
    /// Whether the host knows what is in it.
    known: AtomicBool,
}

impl Storage for Place {
    fn dtype(&self) -> DType {
        self.dtype
    }
    fn len(&self) -> usize {
        self.len
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Place({} x {})", self.len, self.dtype)
    }
}

fn place(held: StorageRef, known: bool) -> StorageRef {
    let (dtype, len) = (held.dtype(), held.len());
    Arc::new(Place { held: Mutex::new(Some(held)), dtype, len, known: AtomicBool::new(known) })
}

fn own(storage: &StorageRef) -> Result<&Place> {
    storage.as_any().downcast_ref().ok_or_else(|| {
        Error::new(ErrorKind::Device, "operand", "the storage belongs to another device").hint("move it with to_device")
    })
}

/// What is in a place now.
fn now(storage: &StorageRef) -> Result<StorageRef> {
    let held = lock(&own(storage)?.held).clone();
    held.ok_or_else(|| Error::new(ErrorKind::Backend, "recorder", "a storage was lost when an operation failed"))
}

/// Something is done that no recording can do again.
#[cold]
fn refused(what: &'static str) -> Error {
    Error::new(ErrorKind::Unsupported, what, format!("{what} within recorded work: a replay would not do it"))
        .hint("bring what changes by Graphs::write before the replay, and fetch results after it")
}

/// Makes a call again, on the device below.
type Again = Box<dyn Fn(&dyn Kernels) -> Result<()> + Send>;

/// One recorded call.
struct Call {
    kind: OpKind,
    run: Again,
}

/// A device seen through recordings: it has [`Graphs`], whatever `inner` is. It is strict: what a replay would not do is an
/// error while it is recorded, and numbers that were read on the host stay as they were.
pub struct Recorder {
    inner: Arc<dyn Kernels>,
    tape: Mutex<Option<Vec<Call>>>,
    captures: AtomicUsize,
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recorder({:?})", self.inner)
    }
}

impl Recorder {
    /// `inner` with recordings. Its storages are of its own kind: open it as a device of its own.
    pub fn new(inner: Arc<dyn Kernels>) -> Self {
        Recorder { inner, tape: Mutex::new(None), captures: AtomicUsize::new(0) }
    }

    /// How many times work was recorded.
    pub fn captures(&self) -> usize {
        self.captures.load(Ordering::Relaxed)
    }

    fn records(&self) -> bool {
        lock(&self.tape).is_some()
    }

    fn outside(&self, what: &'static str) -> Result<()> {
        if self.records() { Err(refused(what)) } else { Ok(()) }
    }

    /// Makes a call on what is in the operands' places, and keeps it if work is recorded.
    fn call<K: Kept, R: Outcome>(
        &self,
        kind: OpKind,
        mut kept: K,
        run: impl for<'a> Fn(&'a dyn Kernels, K::Given<'a>) -> Result<R> + Send + 'static,
    ) -> Result<R> {
        let mut operands = Operands::default();
        operands.collect(&mut kept);
        let inner = operands.storages()?;
        let taken: Vec<*const ()> = inner.1.iter().map(|s| Arc::as_ptr(s).cast()).collect();
        let given = kept.give(&mut Now { views: inner.0.iter(), owned: inner.1.into_iter() });
        let done = run(&*self.inner, given)?;
        let mut results = Vec::new();
        let done = done.map(&mut |made: StorageRef| {
            // Written in place: it stays where it was.
            let at = taken.iter().position(|&p| std::ptr::eq(p, Arc::as_ptr(&made).cast::<()>()));
            let stays = at.map(|i| &operands.owned[i]).filter(|(_, alone)| *alone);
            let result = match stays {
                Some((there, _)) => {
                    *lock(&own(there)?.held) = Some(made);
                    own(there)?.known.store(false, Ordering::Relaxed);
                    there.clone()
                }
                None => place(made, false),
            };
            results.push(result.clone());
            Ok(result)
        })?;
        let mut tape = lock(&self.tape);
        if let Some(calls) = tape.as_mut() {
            let again = move |device: &dyn Kernels| -> Result<()> {
                let inner = operands.storages()?;
                let given = kept.give(&mut Now { views: inner.0.iter(), owned: inner.1.into_iter() });
                let done = run(device, given)?;
                let mut to = results.iter();
                let mut put = Ok(());
                done.visit(&mut |made| {
                    if let (Some(to), true) = (to.next(), put.is_ok()) {
                        put = own(to).map(|to| *lock(&to.held) = Some(made.clone()));
                    }
                });
                put
            };
            calls.push(Call { kind, run: Box::new(again) });
        }
        Ok(done)
    }
}

/// The places of a call's operands.
#[derive(Default)]
struct Operands {
    views: Vec<StorageRef>,
    /// With whether the call may write in place: nobody else had the place when it was given up.
    owned: Vec<(StorageRef, bool)>,
}

impl Operands {
    fn collect<K: Kept>(&mut self, kept: &mut K) {
        let (views, owned) = (&mut self.views, &mut self.owned);
        kept.operands(&mut |v| views.push(v.clone()), &mut |s| {
            let alone = Arc::get_mut(s).is_some();
            owned.push((s.clone(), alone));
        });
    }

    /// What is in them now; taken out where it may be written.
    #[allow(clippy::type_complexity)] // Views, and what is given up.
    fn storages(&self) -> Result<(Vec<StorageRef>, Vec<StorageRef>)> {
        let views = self.views.iter().map(now).collect::<Result<_>>()?;
        let take = |(storage, alone): &(StorageRef, bool)| {
            let held = now(storage)?;
            if *alone {
                *lock(&own(storage)?.held) = None;
            }
            Ok(held)
        };
        Ok((views, self.owned.iter().map(take).collect::<Result<_>>()?))
    }
}

/// Calls to be made again.
struct Recording {
    inner: Arc<dyn Kernels>,
    calls: Mutex<Vec<Call>>,
}

impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recording({} calls)", lock(&self.calls).len())
    }
}

impl Graph for Recording {
    fn replay(&self) -> Result<()> {
        for call in lock(&self.calls).iter() {
            (call.run)(&*self.inner).map_err(|e| e.with("replayed", call.kind))?;
        }
        Ok(())
    }

    fn calls(&self) -> Option<usize> {
        Some(lock(&self.calls).len())
    }
}

impl Graphs for Recorder {
    fn capture(&self, work: &mut dyn FnMut() -> Result<()>) -> Result<Box<dyn Graph>> {
        self.outside("capture")?;
        work()?;
        *lock(&self.tape) = Some(Vec::new());
        let done = work();
        let calls = lock(&self.tape).take().unwrap_or_default();
        done?;
        self.captures.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(Recording { inner: self.inner.clone(), calls: Mutex::new(calls) }))
    }

    fn write(&self, dst: &StorageRef, bytes: &[u8]) -> Result<()> {
        self.outside("write")?;
        let (to, size) = (own(dst)?, dst.len() * dst.dtype().size());
        if bytes.len() != size {
            let message = format!("{} bytes for a storage of {size}", bytes.len());
            return Err(Error::new(ErrorKind::Shape, "write", message));
        }
        *lock(&to.held) = Some(self.inner.upload(dst.dtype(), bytes)?);
        to.known.store(true, Ordering::Relaxed);
        Ok(())
    }
}

macro_rules! method {
    (memory memory $($rest:tt)*) => { method! { $($rest)* } };
    (primitive primitive $($rest:tt)*) => { method! { $($rest)* } };
    (kernel kernel $($rest:tt)*) => { method! { $($rest)* } };
    (memory $other:ident $($rest:tt)*) => {};
    (primitive $other:ident $($rest:tt)*) => {};
    (kernel $other:ident $($rest:tt)*) => {};
    ($variant:ident $method:ident($($arg:ident: $ty:ty),*) -> $out:ty) => {
        fn $method(&self, $($arg: $ty),*) -> Result<$out> {
            self.call(OpKind::$variant, ($($arg.keep(),)*), |device, ($($arg,)*)| device.$method($($arg),*))
        }
    };
}

macro_rules! kept_tuple {
    ($($name:ident)*) => {
        #[allow(non_snake_case)]
        impl<$($name: Kept),*> Kept for ($($name,)*) {
            type Given<'a> = ($($name::Given<'a>,)*);
            fn operands(&mut self, views: &mut dyn FnMut(&StorageRef), owned: &mut dyn FnMut(&mut StorageRef)) {
                let ($($name,)*) = self;
                $($name.operands(views, owned);)*
            }
            fn give<'a>(&'a self, now: &mut Now<'a>) -> Self::Given<'a> {
                let ($($name,)*) = self;
                ($($name.give(now),)*)
            }
        }
    };
}
kept_tuple!(A);
kept_tuple!(A B);
kept_tuple!(A B C);
kept_tuple!(A B C D);
kept_tuple!(A B C D E);
kept_tuple!(A B C D E F);
kept_tuple!(A B C D E F G);

macro_rules! forward {
    ($($tier:ident $variant:ident $method:ident($($arg:ident: $ty:ty),*) -> $out:ty;)*) => {
        impl Memory for Recorder {
            $(method! { memory $tier $variant $method($($arg: $ty),*) -> $out })*

            fn alloc(&self, dtype: DType, len: usize) -> Result<StorageRef> {
                Ok(place(self.inner.alloc(dtype, len)?, false))
            }

            fn upload(&self, dtype: DType, bytes: &[u8]) -> Result<StorageRef> {
                self.outside("upload")?;
                Ok(place(self.inner.upload(dtype, bytes)?, true))
            }

            fn adopt(&self, dtype: DType, bytes: HostBytes) -> Result<StorageRef> {
                self.outside("adopt")?;
                Ok(place(self.inner.adopt(dtype, bytes)?, true))
            }

            fn download(&self, src: &StorageRef, start: usize, out: &mut [u8]) -> Result<()> {
                self.outside("download")?;
                self.inner.download(&now(src)?, start, out)
            }

            fn synchronize(&self) -> Result<()> {
                self.outside("synchronize")?;
                self.inner.synchronize()
            }

            fn properties(&self) -> DeviceProperties {
                let mut properties = self.inner.properties();
                properties.host_memory = false;
                properties
            }

            fn memory_stats(&self) -> MemoryStats {
                self.inner.memory_stats()
            }

            fn first_outside(&self, indices: View<'_>, bound: usize) -> Result<Option<i64>> {
                if self.records() && !own(indices.storage)?.known.load(Ordering::Relaxed) {
                    return Err(refused("check of indices"));
                }
                let storage = now(indices.storage)?;
                self.inner.first_outside(View::new(&storage, indices.layout), bound)
            }

            fn trim(&self) -> Result<()> {
                self.inner.trim()
            }
        }

        impl Primitives for Recorder {
            $(method! { primitive $tier $variant $method($($arg: $ty),*) -> $out })*

            fn supports(&self, op: OpKind, dtypes: &[DType]) -> Support {
                self.inner.supports(op, dtypes)
            }
        }

        impl Kernels for Recorder {
            $(method! { kernel $tier $variant $method($($arg: $ty),*) -> $out })*

            fn graphs(&self) -> Option<&dyn Graphs> {
                Some(self)
            }
        }
    };
}
for_each_operation!(forward);
