//! The worker threads of the CPU backend.
//!
//! [`parallel_for`] hands numbered tasks to a small pool of persistent workers; the calling thread takes part. A call
//! inside a task, or a call while another thread is using the pool, runs serially on its own thread.
//!
//! **Results do not depend on the thread count.** The pool decides only *who* runs a task, never *what* a task is. A
//! caller keeps that promise by cutting its work into blocks that follow from shapes alone (never from
//! [`num_threads`]), by giving every output element to exactly one task, and by never splitting a reduction unless
//! the parts are fixed by shapes too and are combined in a fixed order.
//!
//! Each thread starts on a contiguous range of tasks, so consecutive tasks over consecutive memory form one
//! sequential stream per thread; a thread that runs out takes tasks from the others' ranges.
//!
//! Idle workers spin for [`SPIN`] and then sleep, so a quiet pool costs nothing. A worker that wakes up late never
//! delays a call: the caller does not wait for workers that have not started.

use std::any::Any;
use std::cell::Cell;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// How long a worker without work keeps looking for some before it sleeps.
pub const SPIN: Duration = Duration::from_micros(40);

/// The most threads the pool uses.
pub const MAX_THREADS: usize = 256;

/// Runs `task(0)`, …, `task(n - 1)`, each once, on up to [`num_threads`] threads, and returns when all are done.
///
/// # Panics
/// When a task panics, the remaining tasks are skipped and the first panic resumes on the calling thread.
pub fn parallel_for(n: usize, task: impl Fn(usize) + Sync) {
    let threads = num_threads().min(n);
    if threads <= 1 || IN_TASK.get() {
        (0..n).for_each(task);
        return;
    }
    run(n, threads, &task);
}

/// Cuts `0..len` into pieces of `chunk` (the last may be shorter) and runs `task` on each, as [`parallel_for`] does.
///
/// `chunk` must follow from shapes alone. A good one takes 5 to 50 microseconds.
pub fn parallel_chunks(len: usize, chunk: usize, task: impl Fn(Range<usize>) + Sync) {
    let chunk = chunk.max(1);
    if len <= chunk {
        if len > 0 {
            task(0..len);
        }
        return;
    }
    parallel_for(len.div_ceil(chunk), |i| task(i * chunk..len.min((i + 1) * chunk)));
}

/// As [`parallel_chunks`], over disjoint mutable pieces of `data`; `task` also gets the index of the first element.
pub fn parallel_chunks_mut<T: Send>(data: &mut [T], chunk: usize, task: impl Fn(usize, &mut [T]) + Sync) {
    let base = SendPtr(data.as_mut_ptr());
    parallel_chunks(data.len(), chunk, |range| {
        // SAFETY: ranges of different tasks are disjoint and lie inside `data`, which is borrowed for the whole call.
        let piece = unsafe { std::slice::from_raw_parts_mut(base.get().add(range.start), range.len()) };
        task(range.start, piece);
    });
}

/// A raw pointer that tasks may share; whoever dereferences it answers for disjointness.
#[derive(Debug)]
pub struct SendPtr<T>(pub *mut T);

// SAFETY: the pointer itself is only a number; every dereference is an `unsafe` block of its own.
unsafe impl<T> Send for SendPtr<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for SendPtr<T> {}

impl<T> Clone for SendPtr<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for SendPtr<T> {}

impl<T> SendPtr<T> {
    /// The pointer. (A method, so that closures capture the wrapper and not its field.)
    #[inline]
    pub fn get(self) -> *mut T {
        self.0
    }
}

/// The number of threads calls use, the calling one included.
///
/// Set by [`set_num_threads`]; before that `VLM_NUM_THREADS`, `RAYON_NUM_THREADS`, or what the system grants.
pub fn num_threads() -> usize {
    match THREADS.load(Ordering::Relaxed) {
        0 => {
            let n = default_threads();
            // Keeps a number set meanwhile by another thread.
            let _ = THREADS.compare_exchange(0, n, Ordering::Relaxed, Ordering::Relaxed);
            THREADS.load(Ordering::Relaxed)
        }
        n => n,
    }
}

/// Sets [`num_threads`], from 1 to [`MAX_THREADS`] (other values are clamped). Takes effect with the next call.
pub fn set_num_threads(n: usize) {
    THREADS.store(n.clamp(1, MAX_THREADS), Ordering::Relaxed);
}

fn default_threads() -> usize {
    ["VLM_NUM_THREADS", "RAYON_NUM_THREADS"]
        .into_iter()
        .filter_map(|name| std::env::var(name).ok()?.trim().parse().ok())
        .find(|&n: &usize| n > 0)
        .or_else(|| std::thread::available_parallelism().ok().map(usize::from))
        .unwrap_or(1)
        .clamp(1, MAX_THREADS)
}

static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static IN_TASK: Cell<bool> = const { Cell::new(false) };
}

/// One call's description, on the caller's stack while the call lasts.
struct Job<'a> {
    task: &'a (dyn Fn(usize) + Sync),
    n: usize,
    threads: usize,
    panicked: AtomicBool,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

#[repr(align(128))]
struct Padded<T>(T);

struct Pool {
    /// Held by the thread whose job is running.
    owner: Mutex<()>,
    /// Counts up at each opening and closing of a job: odd while one is open.
    epoch: Padded<AtomicU64>,
    /// Workers that may be looking at the job.
    active: Padded<AtomicUsize>,
    /// The open job; written by the owner while `epoch` is even and `active` is zero.
    job: Padded<AtomicUsize>,
    /// How many tasks of each thread's range are taken.
    taken: [Padded<AtomicUsize>; MAX_THREADS],
    /// Which workers sleep.
    asleep: [AtomicBool; MAX_THREADS],
    workers: Mutex<Vec<Thread>>,
    spawned: AtomicUsize,
    /// Set when the owner sleeps until `active` is zero.
    owner_waits: AtomicBool,
    owner_thread: Mutex<Option<Thread>>,
}

static POOL: Pool = Pool {
    owner: Mutex::new(()),
    epoch: Padded(AtomicU64::new(0)),
    active: Padded(AtomicUsize::new(0)),
    job: Padded(AtomicUsize::new(0)),
    taken: [const { Padded(AtomicUsize::new(0)) }; MAX_THREADS],
    asleep: [const { AtomicBool::new(false) }; MAX_THREADS],
    workers: Mutex::new(Vec::new()),
    spawned: AtomicUsize::new(0),
    owner_waits: AtomicBool::new(false),
    owner_thread: Mutex::new(None),
};

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn run(n: usize, threads: usize, task: &(dyn Fn(usize) + Sync)) {
    let _owner = match POOL.owner.try_lock() {
        Ok(guard) => guard,
        Err(TryLockError::Poisoned(guard)) => guard.into_inner(),
        Err(TryLockError::WouldBlock) => return (0..n).for_each(task),
    };
    let threads = threads.min(1 + ensure_workers(threads - 1));
    let job = Job { task, n, threads, panicked: AtomicBool::new(false), panic: Mutex::new(None) };
    for taken in &POOL.taken[..threads] {
        taken.0.store(0, Ordering::Relaxed);
    }
    POOL.job.0.store(&raw const job as usize, Ordering::Relaxed);
    POOL.epoch.0.fetch_add(1, Ordering::SeqCst);
    wake(threads - 1);
    work(&job, 0);
    // No worker starts on the job from here on; those that have are waited for, so `job` outlives their use of it.
    POOL.epoch.0.fetch_add(1, Ordering::SeqCst);
    wait_for_workers();
    let panic = job.panic.into_inner().unwrap_or_else(PoisonError::into_inner);
    drop(_owner);
    if let Some(panic) = panic {
        resume_unwind(panic);
    }
}

/// Makes sure that `wanted` workers exist and returns how many do.
fn ensure_workers(wanted: usize) -> usize {
    let spawned = POOL.spawned.load(Ordering::Relaxed);
    if spawned >= wanted {
        return wanted;
    }
    let mut workers = lock(&POOL.workers);
    while workers.len() < wanted {
        let idx = workers.len();
        match std::thread::Builder::new().name(format!("vlm-cpu-{}", idx + 1)).spawn(move || worker(idx)) {
            Ok(handle) => workers.push(handle.thread().clone()),
            Err(e) => {
                tracing::warn!("could not start worker thread {}: {e}; continuing with {idx}", idx + 1);
                break;
            }
        }
    }
    POOL.spawned.store(workers.len(), Ordering::Relaxed);
    workers.len().min(wanted)
}

fn wake(workers: usize) {
    if POOL.asleep[..workers].iter().any(|asleep| asleep.load(Ordering::SeqCst)) {
        let threads = lock(&POOL.workers);
        for (thread, asleep) in threads.iter().zip(&POOL.asleep).take(workers) {
            if asleep.swap(false, Ordering::SeqCst) {
                thread.unpark();
            }
        }
    }
}

fn wait_for_workers() {
    if spin_until(|| POOL.active.0.load(Ordering::SeqCst) == 0) {
        return;
    }
    *lock(&POOL.owner_thread) = Some(std::thread::current());
    POOL.owner_waits.store(true, Ordering::SeqCst);
    while POOL.active.0.load(Ordering::SeqCst) != 0 {
        std::thread::park_timeout(Duration::from_millis(1));
    }
    POOL.owner_waits.store(false, Ordering::SeqCst);
}

/// Spins for at most [`SPIN`]; whether `done` came true.
fn spin_until(done: impl Fn() -> bool) -> bool {
    let mut since = None;
    loop {
        for _ in 0..16 {
            if done() {
                return true;
            }
            std::hint::spin_loop();
        }
        if since.get_or_insert_with(Instant::now).elapsed() > SPIN {
            return false;
        }
    }
}

fn worker(idx: usize) {
    IN_TASK.set(true);
    let mut seen = 0;
    loop {
        let found = spin_until(|| {
            let epoch = POOL.epoch.0.load(Ordering::Relaxed);
            epoch != seen && epoch & 1 == 1
        });
        if !found {
            POOL.asleep[idx].store(true, Ordering::SeqCst);
            let epoch = POOL.epoch.0.load(Ordering::SeqCst);
            if epoch == seen || epoch & 1 == 0 {
                std::thread::park();
            }
            POOL.asleep[idx].store(false, Ordering::SeqCst);
            continue;
        }
        // Announce first, look again second: the owner closes the epoch first and reads `active` second, so either
        // this worker sees the closed epoch and leaves, or the owner sees this worker and waits for it.
        POOL.active.0.fetch_add(1, Ordering::SeqCst);
        let epoch = POOL.epoch.0.load(Ordering::SeqCst);
        seen = epoch;
        if epoch & 1 == 1 {
            // SAFETY: the epoch is open while this worker counts as active, so the owner's `Job` is alive: the owner
            // waits for `active` to reach zero after closing and before its stack frame goes away.
            let job = unsafe { &*(POOL.job.0.load(Ordering::Relaxed) as *const Job<'_>) };
            if idx + 1 < job.threads {
                work(job, idx + 1);
            }
        }
        if POOL.active.0.fetch_sub(1, Ordering::SeqCst) == 1 && POOL.owner_waits.load(Ordering::SeqCst) {
            if let Some(owner) = &*lock(&POOL.owner_thread) {
                owner.unpark();
            }
        }
    }
}

/// Runs tasks of `job` until none is left: first those of range `me`, then what the other ranges have.
fn work(job: &Job<'_>, me: usize) {
    let was = IN_TASK.replace(true);
    let result = catch_unwind(AssertUnwindSafe(|| {
        for i in 0..job.threads {
            let slot = (me + i) % job.threads;
            let (start, end) = (slot * job.n / job.threads, (slot + 1) * job.n / job.threads);
            while !job.panicked.load(Ordering::Relaxed) {
                let idx = start + POOL.taken[slot].0.fetch_add(1, Ordering::Relaxed);
                if idx >= end {
                    break;
                }
                (job.task)(idx);
            }
        }
    }));
    IN_TASK.set(was);
    if let Err(panic) = result {
        job.panicked.store(true, Ordering::Relaxed);
        lock(&job.panic).get_or_insert(panic);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum_to(n: usize) -> usize {
        let total = AtomicUsize::new(0);
        parallel_for(n, |i| {
            total.fetch_add(i + 1, Ordering::Relaxed);
        });
        total.into_inner()
    }

    #[test]
    fn every_task_runs_once_at_any_size_and_thread_count() {
        for threads in [1, 2, 3, 7] {
            set_num_threads(threads);
            for n in [0, 1, 2, 3, 64, 1000] {
                assert_eq!(sum_to(n), n * (n + 1) / 2);
            }
        }
    }

    #[test]
    fn nested_and_concurrent_calls_are_correct() {
        set_num_threads(3);
        std::thread::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| {
                    for _ in 0..200 {
                        let total = AtomicUsize::new(0);
                        parallel_for(5, |_| {
                            total.fetch_add(sum_to(10), Ordering::Relaxed);
                        });
                        assert_eq!(total.into_inner(), 275);
                    }
                });
            }
        });
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_goes_on() {
        set_num_threads(3);
        for bad in [0, 7, 99] {
            let caught = catch_unwind(|| parallel_for(100, |i| assert!(i != bad, "task {bad}")));
            let message = *caught.unwrap_err().downcast::<String>().unwrap();
            assert!(message.contains(&format!("task {bad}")), "{message}");
            assert_eq!(sum_to(100), 5050);
        }
    }

    #[test]
    fn chunks_cover_the_slice_once() {
        set_num_threads(2);
        let mut data = vec![0_u32; 1001];
        parallel_chunks_mut(&mut data, 64, |start, piece| {
            for (i, x) in piece.iter_mut().enumerate() {
                *x += (start + i) as u32;
            }
        });
        assert!(data.iter().enumerate().all(|(i, &x)| x as usize == i));
    }
}
