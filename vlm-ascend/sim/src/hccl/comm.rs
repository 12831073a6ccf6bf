//! A rank's end of a group.

use super::wire::{Call, Kind, Root, Tag, receive, send};
use super::{hub, result};
use crate::state::{Failure, Outcome, fail};
use std::collections::HashMap;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What the hub answered.
pub(super) enum Answer {
    Done(Vec<u8>),
    /// Why not, and whether it is since ranks asked for different things.
    Failed(bool, String),
}

#[derive(Default)]
struct Inbox {
    answers: HashMap<u64, Answer>,
    /// Whether nothing more comes.
    closed: bool,
}

/// Which operation is next.
#[derive(Default)]
struct Counters {
    calls: u64,
    collectives: u64,
    /// To and from each other rank.
    pairs: HashMap<(bool, u32), u64>,
}

/// A communicator (`HcclComm`).
pub(crate) struct Comm {
    pub(crate) rank: u32,
    pub(crate) ranks: u32,
    pub(crate) device: i32,
    stream: UnixStream,
    /// So that no two frames mix.
    writing: Mutex<()>,
    inbox: Arc<(Mutex<Inbox>, Condvar)>,
    counters: Mutex<Counters>,
    /// Operations that are queued.
    pub(super) pending: AtomicUsize,
    /// `HcclGetCommAsyncError`.
    error: AtomicI32,
}

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A rank that waits for the others.
pub(crate) struct Joining {
    stream: UnixStream,
    rank: u32,
    ranks: u32,
    device: i32,
}

/// Opens a group.
pub(crate) fn open() -> Outcome<Root> {
    hub::open().or_else(|e| fail(result::INTERNAL, format!("the hub cannot be opened: {e}")))
}

/// Asks to be let in. `physical` is the device's number on the machine.
pub(crate) fn join(root: &Root, ranks: u32, rank: u32, device: i32, physical: u32) -> Outcome<Joining> {
    let refused = |e: std::io::Error| Failure {
        code: result::TCP_CONNECT,
        text: format!("the group that the root information is of cannot be reached: {e}"),
    };
    let stream = root.address().and_then(|a| UnixStream::connect_addr(&a)).map_err(refused)?;
    stream.set_write_timeout(super::execution_limit()).map_err(refused)?;
    let call = Call { seq: u64::from(physical), root: rank, count: u64::from(ranks), ..Call::none() };
    send(&mut &stream, Tag::Join, &call, &root.token).map_err(refused)?;
    Ok(Joining { stream, rank, ranks, device })
}

impl Joining {
    /// Waits until all are there.
    pub(crate) fn finish(self) -> Outcome<Arc<Comm>> {
        let Joining { stream, rank, ranks, device } = self;
        let lost = |e: std::io::Error| Failure { code: result::TIMEOUT, text: format!("the others do not join: {e}") };
        // The hub gives up first, and says who is missing.
        stream.set_read_timeout(Some(super::connect_limit() + Duration::from_secs(5))).map_err(lost)?;
        let frame = receive(&mut &stream, 1 << 16).map_err(lost)?;
        stream.set_read_timeout(None).map_err(lost)?;
        if frame.tag != Tag::Ready {
            let text = String::from_utf8_lossy(&frame.payload).into_owned();
            return fail(if frame.call.op == 1 { result::TIMEOUT } else { result::PARA }, text);
        }
        let inbox = Arc::new((Mutex::new(Inbox::default()), Condvar::new()));
        let (reader, box_) = (stream.try_clone().map_err(lost)?, inbox.clone());
        let listen = std::thread::Builder::new().name(format!("hccl-rank-{rank}"));
        listen.spawn(move || listen_to(&reader, &box_)).map_err(lost)?;
        Ok(Arc::new(Comm {
            rank,
            ranks,
            device,
            stream,
            writing: Mutex::default(),
            inbox,
            counters: Mutex::default(),
            pending: AtomicUsize::new(0),
            error: AtomicI32::new(0),
        }))
    }
}

/// Takes what the hub sends as soon as it comes, so that the hub never waits for a rank whose program does something
/// else.
fn listen_to(stream: &UnixStream, inbox: &(Mutex<Inbox>, Condvar)) {
    loop {
        let answer = match receive(&mut &*stream, 1 << 40) {
            Ok(f) if f.tag == Tag::Done => Some((f.call.id, Answer::Done(f.payload))),
            Ok(f) if f.tag == Tag::Failed => {
                let text = String::from_utf8_lossy(&f.payload).into_owned();
                Some((f.call.id, Answer::Failed(f.call.op == 1, text)))
            }
            // A farewell, or the hub is gone.
            _ => None,
        };
        let mut box_ = lock(&inbox.0);
        match answer {
            Some((id, answer)) => _ = box_.answers.insert(id, answer),
            None => {
                box_.closed = true;
                inbox.1.notify_all();
                return;
            }
        }
    }
}

impl Comm {
    /// Numbers a call: of the ranks' operations the next, in the order in which the program asks for them.
    pub(crate) fn number(&self, call: &mut Call) {
        let mut c = lock(&self.counters);
        c.calls += 1;
        call.id = c.calls;
        let next = match call.kind {
            Kind::Send | Kind::Recv => c.pairs.entry((call.kind == Kind::Send, call.root)).or_default(),
            _ => &mut c.collectives,
        };
        call.seq = *next;
        *next += 1;
    }

    /// Gives the hub this rank's part.
    pub(super) fn submit(&self, call: &Call, data: &[u8]) -> std::io::Result<()> {
        let _guard = lock(&self.writing);
        send(&mut &self.stream, Tag::Work, call, data)
    }

    /// What the hub answered to a call, if it did; an error if it never will.
    pub(super) fn answer(&self, id: u64) -> Result<Option<Answer>, ()> {
        let mut inbox = lock(&self.inbox.0);
        match inbox.answers.remove(&id) {
            Some(answer) => Ok(Some(answer)),
            None if inbox.closed => Err(()),
            None => Ok(None),
        }
    }

    /// Operations that have not run yet.
    pub(crate) fn pending(&self) -> usize {
        self.pending.load(Ordering::Relaxed)
    }

    /// What went wrong in operations so far.
    pub(crate) fn error(&self) -> i32 {
        self.error.load(Ordering::Relaxed)
    }

    pub(super) fn set_error(&self, code: i32) {
        self.error.store(code, Ordering::Relaxed);
    }

    /// Leaves the group, once all that was done has reached everyone: the hub may be in this process, which may end
    /// now.
    pub(crate) fn leave(&self) {
        let guard = lock(&self.writing);
        let said = send(&mut &self.stream, Tag::Bye, &Call::none(), &[]);
        drop(guard);
        if said.is_ok() {
            let waiting = (lock(&self.inbox.0), &self.inbox.1);
            let _ = waiting.1.wait_timeout_while(waiting.0, Duration::from_secs(10), |i| !i.closed);
        }
    }
}

impl Drop for Comm {
    fn drop(&mut self) {
        // Ends the thread that listens.
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
    }
}
