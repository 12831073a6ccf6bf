//! The middle of a group: takes the ranks' parts, makes the results, hands them out.

use super::reduce::{Op, reduce};
use super::wire::{Call, Kind, Root, TOKEN, Tag, dtype, receive, send};
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A rank that takes nothing for so long is treated as gone.
const DEAF: Duration = Duration::from_secs(30);
/// Whoever connects has so long to say who it is.
const INTRODUCTION: Duration = Duration::from_secs(5);
/// One part of an operation is no longer than this.
const LONGEST: usize = 1 << 40;

/// Opens a hub, which serves until its ranks are gone.
pub(super) fn open() -> io::Result<Root> {
    let root = Root::fresh();
    let listener = UnixListener::bind_addr(&root.address()?)?;
    let token = root.token;
    std::thread::Builder::new().name("hccl-hub".to_owned()).spawn(move || {
        if let Some(joined) = gather(&listener, token) {
            drop(listener);
            serve(joined);
        }
    })?;
    Ok(root)
}

/// A rank that asks to be let in.
struct Joined {
    stream: UnixStream,
    rank: usize,
    ranks: usize,
    device: u64,
}

fn introduce(stream: UnixStream, token: [u8; TOKEN]) -> Option<Joined> {
    stream.set_nonblocking(false).ok()?;
    stream.set_read_timeout(Some(INTRODUCTION)).ok()?;
    stream.set_write_timeout(Some(DEAF)).ok()?;
    let frame = receive(&mut &stream, TOKEN).ok()?;
    stream.set_read_timeout(None).ok()?;
    let right = frame.tag == Tag::Join && frame.payload == token;
    right.then_some(Joined {
        stream,
        rank: frame.call.root as usize,
        ranks: frame.call.count as usize,
        device: frame.call.seq,
    })
}

/// Why this rank does not fit to those that are there.
fn misfit(new: &Joined, there: &[Joined]) -> Option<String> {
    for old in there {
        if old.ranks != new.ranks {
            return Some(format!(
                "rank {} was told of {} ranks, rank {} of {}",
                old.rank, old.ranks, new.rank, new.ranks
            ));
        }
        if old.rank == new.rank {
            return Some(format!("rank {} joined twice", new.rank));
        }
        if old.device == new.device {
            return Some(format!("ranks {} and {} both have device {}", old.rank, new.rank, new.device));
        }
    }
    None
}

/// Waits for all ranks, which come in any order; those that fit, by rank.
fn gather(listener: &UnixListener, token: [u8; TOKEN]) -> Option<Vec<Joined>> {
    let mut there: Vec<Joined> = Vec::new();
    let mut deadline = None;
    let refuse = |there: &[Joined], late: bool, text: &str| {
        for j in there {
            // Who cannot be told is gone.
            let _ = send(&mut &j.stream, Tag::Refused, &Call { op: i32::from(late), ..Call::none() }, text.as_bytes());
        }
    };
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                let Some(new) = introduce(stream, token) else { continue };
                // From the first on, the others have so long.
                deadline.get_or_insert_with(|| Instant::now() + super::connect_limit());
                let problem = misfit(&new, &there);
                there.push(new);
                if let Some(text) = problem {
                    refuse(&there, false, &text);
                    return None;
                }
                if there.len() == there[0].ranks {
                    there.sort_by_key(|j| j.rank);
                    return Some(there);
                }
                listener.set_nonblocking(true).ok()?;
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(Duration::from_millis(1)),
            Err(_) => return None,
        }
        if deadline.is_some_and(|d| Instant::now() > d) {
            refuse(&there, true, &format!("only {} of {} ranks joined in time", there.len(), there[0].ranks));
            return None;
        }
    }
}

/// The parts of an operation of all ranks that are there.
struct Gathering {
    call: Call,
    /// Who came first.
    first: usize,
    parts: Vec<Option<(u64, Vec<u8>)>>,
}

/// One side of a pair, with its data if it is the sender's.
struct Side {
    call: Call,
    data: Vec<u8>,
}

struct Group {
    streams: Vec<UnixStream>,
    /// How each rank went away, if it did.
    gone: Vec<Option<&'static str>>,
    /// Why nothing works any more, and whether that is since ranks asked for different things.
    broken: Option<(bool, String)>,
    gatherings: BTreeMap<u64, Gathering>,
    /// By sender, receiver and number; the bool is whether it is the sender's side.
    pairs: HashMap<(usize, usize, u64), (bool, Side)>,
}

fn serve(joined: Vec<Joined>) {
    let ranks = joined.len();
    let streams: Vec<UnixStream> = joined.iter().filter_map(|j| j.stream.try_clone().ok()).collect();
    if streams.len() < ranks {
        return;
    }
    for j in &joined {
        let _ = send(&mut &j.stream, Tag::Ready, &Call::none(), &[]);
    }
    let group =
        Group { streams, gone: vec![None; ranks], broken: None, gatherings: BTreeMap::new(), pairs: HashMap::new() };
    let group = Arc::new(Mutex::new(group));
    for j in joined {
        let group = group.clone();
        let lock = move |f: &mut dyn FnMut(&mut Group)| f(&mut group.lock().unwrap_or_else(PoisonError::into_inner));
        // A rank that nobody listens to times out.
        let _ = std::thread::Builder::new().name(format!("hccl-hub-{}", j.rank)).spawn(move || {
            loop {
                let frame = receive(&mut &j.stream, LONGEST);
                match frame {
                    Ok(mut frame) if frame.tag == Tag::Work => {
                        lock(&mut |g| g.work(j.rank, frame.call, std::mem::take(&mut frame.payload)));
                    }
                    Ok(frame) if frame.tag == Tag::Bye => {
                        lock(&mut |g| g.leave(j.rank, "destroyed its communicator"));
                        let _ = send(&mut &j.stream, Tag::Farewell, &Call::none(), &[]);
                        return;
                    }
                    _ => {
                        lock(&mut |g| g.leave(j.rank, "ended or lost its connection"));
                        return;
                    }
                }
            }
        });
    }
}

impl Group {
    fn answer(&mut self, rank: usize, tag: Tag, id: u64, mismatch: bool, payload: &[u8]) {
        let call = Call { id, op: i32::from(mismatch), ..Call::none() };
        if self.gone[rank].is_none() && send(&mut &self.streams[rank], tag, &call, payload).is_err() {
            self.gone[rank] = Some("takes no answers");
        }
    }

    fn leave(&mut self, rank: usize, how: &'static str) {
        self.gone[rank].get_or_insert(how);
        self.check_gone();
    }

    /// Ends everything that is under way, and everything that comes.
    fn break_off(&mut self, mismatch: bool, text: String) {
        let mut waiting: Vec<(usize, u64)> = Vec::new();
        for g in std::mem::take(&mut self.gatherings).into_values() {
            waiting.extend(g.parts.iter().enumerate().filter_map(|(rank, p)| p.as_ref().map(|(id, _)| (rank, *id))));
        }
        for ((from, to, _), (sends, side)) in std::mem::take(&mut self.pairs) {
            waiting.push((if sends { from } else { to }, side.call.id));
        }
        for (rank, id) in waiting {
            self.answer(rank, Tag::Failed, id, mismatch, text.as_bytes());
        }
        self.broken = Some((mismatch, text));
    }

    /// What waits for a rank that is gone waits in vain.
    fn check_gone(&mut self) {
        let absent = |rank: usize| self.gone[rank].map(|how| format!("rank {rank} {how}"));
        let missing = self.gatherings.values().find_map(|g| {
            let found = g.parts.iter().enumerate().filter(|(_, p)| p.is_none()).find_map(|(rank, _)| absent(rank))?;
            Some(format!("{found}, and {} waits for it", g.call.words()))
        });
        let lonely = || {
            self.pairs.iter().find_map(|((from, to, _), (sends, side))| {
                let found = absent(if *sends { *to } else { *from })?;
                Some(format!("{found}, and {} waits for it", side.call.words()))
            })
        };
        if let Some(text) = missing.or_else(lonely) {
            self.break_off(false, text);
        }
    }

    fn work(&mut self, rank: usize, call: Call, data: Vec<u8>) {
        if let Some((mismatch, text)) = self.broken.clone() {
            return self.answer(rank, Tag::Failed, call.id, mismatch, text.as_bytes());
        }
        if call.kind.is_pair() {
            self.pair(rank, call, data)
        } else {
            self.gather(rank, call, data)
        }
        self.check_gone();
    }

    fn pair(&mut self, rank: usize, call: Call, data: Vec<u8>) {
        let (sends, other) = (call.kind == Kind::Send, call.root as usize);
        let (from, to) = if sends { (rank, other) } else { (other, rank) };
        let Some((_, side)) = self.pairs.remove(&(from, to, call.seq)) else {
            self.pairs.insert((from, to, call.seq), (sends, Side { call, data }));
            return;
        };
        let (sender, receiver, data) = if sends { (call, side.call, data) } else { (side.call, call, side.data) };
        if (sender.count, sender.dtype) != (receiver.count, receiver.dtype) {
            let text = format!("rank {from} has {}, rank {to} has {}", sender.words(), receiver.words());
            self.answer(to, Tag::Failed, receiver.id, true, text.as_bytes());
            self.answer(from, Tag::Failed, sender.id, true, text.as_bytes());
            return self.break_off(true, text);
        }
        self.answer(to, Tag::Done, receiver.id, false, &data);
        self.answer(from, Tag::Done, sender.id, false, &[]);
    }

    fn gather(&mut self, rank: usize, call: Call, data: Vec<u8>) {
        let ranks = self.streams.len();
        let g = self.gatherings.entry(call.seq).or_insert_with(|| Gathering {
            call,
            first: rank,
            parts: (0..ranks).map(|_| None).collect(),
        });
        g.parts[rank] = Some((call.id, data));
        if (Call { id: g.call.id, ..call }) != g.call {
            let text = format!("rank {} has {}, rank {rank} has {}", g.first, g.call.words(), call.words());
            return self.break_off(true, text);
        }
        if g.parts.iter().any(Option::is_none) {
            return;
        }
        let Some(g) = self.gatherings.remove(&call.seq) else { return };
        let (ids, data): (Vec<u64>, Vec<Vec<u8>>) = g.parts.into_iter().flatten().unzip();
        for (rank, (id, result)) in ids.into_iter().zip(results(&call, &data)).enumerate() {
            self.answer(rank, Tag::Done, id, false, &result);
        }
    }
}

/// What each rank gets.
fn results(call: &Call, data: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let ranks = data.len();
    let (root, nothing) = (call.root as usize, vec![Vec::new(); ranks]);
    let Some(dtype) = dtype(call.dtype) else { return nothing };
    let Some(op) = Op::from_number(call.op) else { return nothing };
    let part = |bytes: &[u8], i: usize| -> Vec<u8> { bytes[bytes.len() / ranks * i..][..bytes.len() / ranks].to_vec() };
    let whole = || reduce(dtype, op, &data.iter().map(|d| &**d).collect::<Vec<_>>());
    let only = |rank: usize, bytes: Vec<u8>| {
        let mut all = nothing.clone();
        all[rank] = bytes;
        all
    };
    match call.kind {
        Kind::AllReduce => vec![whole(); ranks],
        Kind::Reduce => only(root, whole()),
        Kind::ReduceScatter => {
            let all = whole();
            (0..ranks).map(|r| part(&all, r)).collect()
        }
        Kind::Broadcast => (0..ranks).map(|r| if r == root { Vec::new() } else { data[root].clone() }).collect(),
        Kind::Scatter => (0..ranks).map(|r| part(&data[root], r)).collect(),
        Kind::AllGather => vec![data.concat(); ranks],
        Kind::AlltoAll => (0..ranks).map(|r| data.iter().flat_map(|d| part(d, r)).collect()).collect(),
        Kind::Barrier | Kind::Send | Kind::Recv => nothing,
    }
}
