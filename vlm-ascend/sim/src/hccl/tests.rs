//! Ranks as threads of this process, through the exported functions.

use super::wire::{ROOT_INFO, Root};
use crate::abi::{Out, Ref, Values};
use crate::exports::{device, hccl as x, memory, stream};
use crate::state::with;
use std::ffi::c_void;
use std::sync::Once;

/// A parameter of the interface, made from the pointer that it is.
fn of<T, P>(pointer: *const P) -> T {
    const { assert!(size_of::<T>() == size_of::<*const u8>()) };
    // SAFETY: the parameters' types are transparent over a pointer.
    unsafe { std::mem::transmute_copy::<*const P, T>(&pointer) }
}

fn handle(at: *mut c_void) -> Ref {
    of(at)
}

fn out<T>(at: &mut T) -> Out<T> {
    of(std::ptr::from_mut(at))
}

fn three_devices() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        with(|sim| sim.config.apply("devices=3").unwrap());
        device::aclInit(of(std::ptr::null::<u8>()));
    });
}

/// The root information of a new group.
fn root() -> Vec<u8> {
    three_devices();
    assert_eq!(device::aclrtSetDevice(0), 0);
    let mut bytes = [0u8; ROOT_INFO];
    assert_eq!(x::HcclGetRootInfo(out(&mut bytes)), 0);
    assert_eq!(device::aclrtResetDevice(0), 0);
    bytes.to_vec()
}

/// One rank on a device of its own.
struct Rank {
    comm: *mut c_void,
    buffers: Vec<*mut c_void>,
}

impl Rank {
    fn join(root: &[u8], ranks: u32, rank: u32) -> Result<Rank, i32> {
        assert_eq!(device::aclrtSetDevice(rank as i32), 0);
        let mut comm = std::ptr::null_mut();
        let values: Values<u8> = of(root.as_ptr());
        match x::HcclCommInitRootInfo(ranks, values, rank, out(&mut comm)) {
            0 => Ok(Rank { comm, buffers: Vec::new() }),
            code => Err(code),
        }
    }

    fn buffer(&mut self, bytes: &[u8]) -> *mut c_void {
        let mut at = std::ptr::null_mut();
        assert_eq!(memory::aclrtMalloc(out(&mut at), bytes.len(), 0), 0);
        assert_eq!(memory::aclrtMemcpy(at, bytes.len(), bytes.as_ptr().cast(), bytes.len(), 1), 0);
        self.buffers.push(at);
        at
    }

    fn floats(&mut self, values: &[f32]) -> *mut c_void {
        self.buffer(&values.iter().flat_map(|v| v.to_ne_bytes()).collect::<Vec<_>>())
    }

    fn read(&self, at: *mut c_void, n: usize) -> Vec<f32> {
        let mut bytes = vec![0u8; n * 4];
        assert_eq!(memory::aclrtMemcpy(bytes.as_mut_ptr().cast(), n * 4, at, n * 4, 2), 0);
        bytes.chunks_exact(4).map(|b| f32::from_ne_bytes(b.try_into().unwrap())).collect()
    }

    fn comm(&self) -> Ref {
        handle(self.comm)
    }

    fn wait(&self) -> i32 {
        stream::aclrtSynchronizeStream(NULL())
    }

    fn error(&self) -> i32 {
        let mut error = 0;
        assert_eq!(x::HcclGetCommAsyncError(self.comm(), out(&mut error)), 0);
        error
    }

    fn end(self) {
        for at in self.buffers {
            assert_eq!(memory::aclrtFree(at), 0);
        }
        assert_eq!(x::HcclCommDestroy(handle(self.comm)), 0);
    }
}

#[allow(non_snake_case)] // A constant, but for the conversion.
fn NULL() -> Ref {
    handle(std::ptr::null_mut())
}

const F32: i32 = 4;
const SUM: i32 = 0;

/// These tests share devices, whose contexts are spoiled by some.
static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());

/// Runs `work` as each rank, in threads.
fn all<R: Send>(ranks: u32, work: impl Fn(Rank) -> R + Sync) -> Vec<R> {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let root = root();
    std::thread::scope(|s| {
        let (root, work) = (&root, &work);
        let threads: Vec<_> = (0..ranks)
            .map(|r| {
                s.spawn(move || {
                    let made = work(Rank::join(root, ranks, r).unwrap());
                    device::aclrtResetDevice(r as i32);
                    made
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    })
}

#[test]
fn root_information_is_whole_or_nothing() {
    let bytes = Root { token: [7; 16] }.bytes();
    assert_eq!(Root::parse(&bytes), Some(Root { token: [7; 16] }));
    assert_eq!(Root::parse(&bytes[..ROOT_INFO - 1]), None);
    let mut changed = bytes;
    changed[4000] ^= 1;
    assert_eq!(Root::parse(&changed), None);
}

#[test]
fn threads_reduce_gather_and_scatter() {
    all(3, |mut me| {
        let (mut rank, mut ranks) = (9, 9);
        assert_eq!(x::HcclGetRankId(me.comm(), out(&mut rank)), 0);
        assert_eq!(x::HcclGetRankSize(me.comm(), out(&mut ranks)), 0);
        assert_eq!(ranks, 3);
        let r = rank as f32;
        let (a, b) = (me.floats(&[r, 10.0 * r, 1.0]), me.floats(&[0.0; 3]));
        let all = me.floats(&[0.0; 9]);
        let (comm, n) = (me.comm(), NULL());
        assert_eq!(x::HcclAllReduce(a, b, 3, F32, SUM, comm, n), 0);
        assert_eq!(x::HcclAllGather(b, all, 3, F32, comm, n), 0);
        assert_eq!(me.wait(), 0);
        assert_eq!(me.read(b, 3), [3.0, 30.0, 3.0]);
        assert_eq!(me.read(all, 9), [3.0, 30.0, 3.0].repeat(3));
        // The largest of each place, scattered.
        assert_eq!(x::HcclReduceScatter(a, b, 1, F32, 2, comm, n), 0);
        assert_eq!(x::HcclBroadcast(a, 3, F32, 2, comm, n), 0);
        assert_eq!(x::HcclBarrier(comm, n), 0);
        assert_eq!(me.wait(), 0);
        assert_eq!(me.read(b, 1), [[2.0, 20.0, 1.0][rank as usize]]);
        assert_eq!(me.read(a, 3), [2.0, 20.0, 1.0]);
        let mine = me.floats(&[r, r + 10.0, r + 20.0]);
        assert_eq!(x::HcclAlltoAll(mine, 1, F32, b, 1, F32, comm, n), 0);
        assert_eq!(x::HcclScatter(mine, a, 1, F32, 1, comm, n), 0);
        assert_eq!(x::HcclReduce(mine, all, 3, F32, 3, 0, comm, n), 0);
        assert_eq!(me.wait(), 0);
        assert_eq!(me.read(b, 3), [0.0, 1.0, 2.0].map(|x| x + 10.0 * r));
        assert_eq!(me.read(a, 1), [1.0 + 10.0 * r]);
        if rank == 0 {
            assert_eq!(me.read(all, 3), [0.0, 10.0, 20.0]);
        }
        assert_eq!(me.error(), 0);
        me.end();
    });
}

#[test]
fn pairs_meet() {
    all(2, |mut me| {
        let mut rank = 9;
        x::HcclGetRankId(me.comm(), out(&mut rank));
        let (a, b) = (me.floats(&[5.0, rank as f32]), me.floats(&[0.0; 2]));
        for turn in 0..2 {
            let code = if turn == rank {
                x::HcclSend(a, 2, F32, 1 - rank, me.comm(), NULL())
            } else {
                x::HcclRecv(b, 2, F32, 1 - rank, me.comm(), NULL())
            };
            assert_eq!(code, 0);
        }
        assert_eq!(me.wait(), 0);
        assert_eq!(me.read(b, 2), [5.0, 1.0 - rank as f32]);
        assert_eq!(x::HcclSend(a, 2, F32, rank, me.comm(), NULL()), super::result::PARA);
        me.end();
    });
}

#[test]
fn ranks_that_ask_for_different_things_both_fail() {
    let before = with(|sim| sim.report.violation_count);
    let codes = all(2, |mut me| {
        let mut rank = 9;
        x::HcclGetRankId(me.comm(), out(&mut rank));
        let a = me.floats(&[1.0; 4]);
        assert_eq!(x::HcclAllReduce(a, a, 3 + u64::from(rank), F32, SUM, me.comm(), NULL()), 0);
        let codes = (me.wait(), me.error());
        me.end();
        codes
    });
    assert_eq!(codes, [(507_048, super::result::TIMEOUT); 2]);
    assert!(with(|sim| sim.report.violation_count) >= before + 2);
}

#[test]
fn a_rank_that_left_is_noticed() {
    let codes = all(2, |mut me| {
        let mut rank = 9;
        x::HcclGetRankId(me.comm(), out(&mut rank));
        let mut codes = (0, 0);
        if rank == 0 {
            let a = me.floats(&[1.0; 4]);
            assert_eq!(x::HcclAllReduce(a, a, 4, F32, SUM, me.comm(), NULL()), 0);
            codes = (me.wait(), me.error());
        }
        me.end();
        codes
    });
    assert_eq!(codes, [(507_056, super::result::REMOTE), (0, 0)]);
}

#[test]
fn wrong_arguments_are_refused() {
    use super::result::{NOT_SUPPORT, PARA, PTR};
    all(2, |mut me| {
        let a = me.floats(&[1.0; 4]);
        let (comm, n) = (me.comm(), NULL());
        assert_eq!(x::HcclAllReduce(a, a, 1, 7, SUM, comm, n), NOT_SUPPORT);
        assert_eq!(x::HcclAllReduce(a, a, 1, 11, 1, comm, n), NOT_SUPPORT);
        assert_eq!(x::HcclAllReduce(a, a, 1, F32, 4, comm, n), PARA);
        assert_eq!(x::HcclAllReduce(a, a, 5, F32, SUM, comm, n), PARA);
        assert_eq!(x::HcclAllReduce(a, std::ptr::null_mut(), 1, F32, SUM, comm, n), PTR);
        assert_eq!(x::HcclAllGather(a, a, 3, F32, comm, n), PARA);
        assert_eq!(x::HcclBroadcast(a, 1, F32, 2, comm, n), PARA);
        assert_eq!(x::HcclAllReduce(a, a, 1, F32, SUM, n, n), PTR);
        me.end();
    });
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut spoiled = root();
    spoiled[100] ^= 1;
    assert!(matches!(Rank::join(&spoiled, 1, 0), Err(PARA)));
    device::aclrtResetDevice(0);
}

#[test]
fn one_thread_drives_all_devices() {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    three_devices();
    let mut comms = [std::ptr::null_mut(); 2];
    let devices: Values<i32> = of(std::ptr::null::<i32>());
    assert_eq!(x::HcclCommInitAll(2, devices, comms.as_mut_ptr()), 0);
    let mut ranks: Vec<Rank> = comms.into_iter().map(|comm| Rank { comm, buffers: Vec::new() }).collect();
    let mut places = Vec::new();
    for (i, r) in ranks.iter_mut().enumerate() {
        assert_eq!(device::aclrtSetDevice(i as i32), 0);
        let at = r.floats(&[i as f32 + 1.0]);
        assert_eq!(x::HcclAllReduce(at, at, 1, F32, SUM, r.comm(), NULL()), 0);
        places.push(at);
    }
    for (i, (r, at)) in ranks.into_iter().zip(places).enumerate() {
        assert_eq!(device::aclrtSetDevice(i as i32), 0);
        assert_eq!(r.wait(), 0);
        assert_eq!(r.read(at, 1), [3.0]);
        r.end();
        device::aclrtResetDevice(i as i32);
        device::aclrtResetDevice(i as i32);
    }
}
