//! Collective operations between devices.

use crate::abi::{Out, Ref, Values, exports};
use crate::hccl::comm::{self, Comm};
use crate::hccl::job::Job;
use crate::hccl::result;
use crate::hccl::wire::{Call, Kind, ROOT_INFO, Root, dtype};
use crate::objects::Object;
use crate::runtime::stream::{Task, Touch, Work};
use crate::state::{Failure, Outcome, Sim, call, fail, remember, with};
use crate::types::DType;
use std::ffi::{CStr, c_char, c_void};
use std::sync::Arc;

/// As `call`, with failures of the runtime told in HCCL's codes.
fn hccl(name: &'static str, body: impl FnOnce(&mut Sim) -> Outcome) -> i32 {
    call(name, |sim| body(sim).map_err(as_hccl))
}

fn as_hccl(failure: Failure) -> Failure {
    let code = match failure.code {
        c if c < 1000 => c,
        100_000 => result::PTR,
        207_001 => result::MEMORY,
        _ => result::RUNTIME,
    };
    Failure { code, ..failure }
}

/// What an operation is called with, as far as it has it.
struct Request {
    name: &'static str,
    kind: Kind,
    send: *const c_void,
    receive: *const c_void,
    count: u64,
    dtype: i32,
    op: i32,
    root: u32,
}

impl Sim {
    fn communicator(&mut self, name: &str, handle: u64) -> Outcome<Arc<Comm>> {
        if handle == 0 {
            return fail(result::PTR, format!("{name}: the communicator is null"));
        }
        if let Some(comm) = self.objects.other::<Arc<Comm>>(handle) {
            return Ok(comm.clone());
        }
        self.violation(format!("{name} of a communicator that is not there"));
        fail(result::PARA, format!("{name}: no such communicator"))
    }

    /// That the device's collectives take these elements and this reduction.
    fn takes(&self, r: &Request) -> Outcome {
        let refuse = |what: String| fail(result::NOT_SUPPORT, format!("{} {what}", r.name));
        let Some(dtype) = dtype(r.dtype) else { return refuse(format!("of type {}", r.dtype)) };
        let wide = self.chip().bf16;
        if dtype == DType::BF16 && !wide {
            return refuse(format!("of BF16, which {} does not have", self.chip().soc));
        }
        if !r.kind.reduces() {
            return Ok(());
        }
        let always = matches!(dtype, DType::I8 | DType::I16 | DType::I32 | DType::F16 | DType::F32);
        if !(always || wide && matches!(dtype, DType::I64 | DType::BF16)) {
            return refuse(format!("of {dtype:?}"));
        }
        let narrow = match (wide, r.op) {
            (true, 1) => matches!(dtype, DType::I16 | DType::BF16),
            (false, 1..) => dtype == DType::I16,
            _ => false,
        };
        if narrow { refuse(format!("of {dtype:?} with reduction {}", r.op)) } else { Ok(()) }
    }

    /// A buffer of an operation, in whole.
    fn buffer(
        &mut self,
        r: &Request,
        comm: &Comm,
        what: &str,
        at: *const c_void,
        elements: u64,
    ) -> Outcome<Option<Touch>> {
        let size = dtype(r.dtype).map_or(0, |d| d.bits() / 8);
        let Some(len) = usize::try_from(elements).ok().and_then(|n| n.checked_mul(size)) else {
            return fail(result::PARA, format!("{}: {elements} elements are too many", r.name));
        };
        if len == 0 {
            return Ok(None);
        }
        let address = at as usize as u64;
        if address == 0 {
            return fail(result::PTR, format!("{}: {what} is null", r.name));
        }
        if !self.memory.holds(address, len) {
            self.violation(format!(
                "{}: {what} reaches {len} bytes at {address:#x}, which no allocation holds",
                r.name
            ));
            return fail(result::PARA, format!("{}: {what} lies outside of memory", r.name));
        }
        if self.memory.device_of(address) != Some(comm.device) {
            self.violation(format!("{}: {what} is memory of another device than the communicator's", r.name));
            return fail(result::PARA, format!("{}: {what} is of another device", r.name));
        }
        Ok(Some(Touch { address, len }))
    }

    fn collective(&mut self, r: &Request, comm: u64, stream: u64) -> Outcome {
        self.ready(r.name)?;
        let comm = self.communicator(r.name, comm)?;
        let stream = self.stream_of_call(stream, r.name)?;
        if self.current_device(r.name)? != comm.device {
            self.violation(format!("{} on a stream of another device than the communicator's", r.name));
            return fail(result::PARA, format!("{}: the stream is of another device", r.name));
        }
        if self.streams.capture_of(stream).is_some() {
            return fail(result::NOT_SUPPORT, format!("{} is not captured by the simulator", r.name));
        }
        if r.kind != Kind::Barrier {
            self.takes(r)?;
        }
        if r.kind.reduces() && !(0..=3).contains(&r.op) {
            return fail(result::PARA, format!("{}: no reduction {}", r.name, r.op));
        }
        if r.kind.has_root() && (r.root >= comm.ranks || (r.kind.is_pair() && r.root == comm.rank)) {
            return fail(result::PARA, format!("{}: rank {} of {} cannot be named here", r.name, r.root, comm.ranks));
        }
        let (all, root) = (r.count.saturating_mul(u64::from(comm.ranks)), r.root == comm.rank);
        let (sends, receives) = match r.kind {
            Kind::AllReduce => (r.count, r.count),
            Kind::Reduce => (r.count, if root { r.count } else { 0 }),
            Kind::Broadcast => {
                if root {
                    (r.count, 0)
                } else {
                    (0, r.count)
                }
            }
            Kind::AllGather => (r.count, all),
            Kind::ReduceScatter => (all, r.count),
            Kind::Scatter => (if root { all } else { 0 }, r.count),
            Kind::AlltoAll => (all, all),
            Kind::Send => (r.count, 0),
            Kind::Recv => (0, r.count),
            Kind::Barrier => (0, 0),
        };
        let send = self.buffer(r, &comm, "the source", r.send, sends)?;
        let receive = self.buffer(r, &comm, "the destination", r.receive, receives)?;
        self.check_context(stream)?;
        let (id, seq) = (0, 0);
        let call = Call { id, seq, kind: r.kind, dtype: r.dtype, op: r.op, root: r.root, count: r.count };
        let touches: Vec<Touch> = send.iter().chain(&receive).cloned().collect();
        let job = Job::new(r.name, comm, call, send, receive);
        self.enqueue(stream, Task { name: r.name, work: Work::Joint(Arc::new(job)), touches: touches.into() })
    }

    /// The number that a device of this process has on the machine.
    fn physical_device(&self, device: i32) -> Option<u32> {
        self.config.devices.get(usize::try_from(device).ok()?).copied()
    }
}

fn run(r: Request, comm: Ref, stream: Ref) -> i32 {
    hccl(r.name, |sim| sim.collective(&r, comm.id(), stream.id()))
}

const NOTHING: *const c_void = std::ptr::null();

/// Joins groups from outside of the simulator's lock, as the others may be threads of this process.
fn join(joins: Vec<Outcome<comm::Joining>>) -> Result<Vec<u64>, i32> {
    let failed = |f: Failure| {
        remember(&f);
        f.code
    };
    let joining = joins.into_iter().collect::<Result<Vec<_>, _>>().map_err(failed)?;
    let comms = joining.into_iter().map(comm::Joining::finish).collect::<Result<Vec<_>, _>>().map_err(failed)?;
    Ok(with(|sim| comms.into_iter().map(|c| sim.objects.add(Object::Other("communicators", Box::new(c)))).collect()))
}

/// The names of `HcclResult`'s numbers.
const ERRORS: [&CStr; 23] = [
    c"no error",
    c"parameter error",
    c"empty pointer",
    c"memory error",
    c"internal error",
    c"not support feature",
    c"not found specific resource",
    c"resource unavailable",
    c"call system interface error",
    c"timeout",
    c"open file fail",
    c"tcp connect fail",
    c"roce connect fail",
    c"tcp transfer fail",
    c"roce transfer fail",
    c"call runtime api fail",
    c"call driver api fail",
    c"call profiling api fail",
    c"call cce api fail",
    c"call network api fail",
    c"try again",
    c"error cqe",
    c"error communicator suspending",
];

exports! {
    fn HcclGetRootInfo(root: Out<[u8; ROOT_INFO]>) -> i32 {
        hccl("HcclGetRootInfo", |sim| {
            sim.ready("HcclGetRootInfo")?;
            sim.current_device("HcclGetRootInfo")?;
            if root.is_null() {
                return fail(result::PTR, "the place for the root information is null");
            }
            let opened = comm::open()?;
            root.put(opened.bytes())
        })
    }

    fn HcclCommInitRootInfo(ranks: u32, root: Values<u8>, rank: u32, made: Out<*mut c_void>) -> i32 {
        let name = "HcclCommInitRootInfo";
        let mut found = None;
        let code = hccl(name, |sim| {
            sim.ready(name)?;
            let device = sim.current_device(name)?;
            let Some(bytes) = root.get(ROOT_INFO as u64).filter(|_| !root.is_null() && !made.is_null()) else {
                return fail(result::PTR, format!("{name}: root information or communicator is null"));
            };
            if ranks == 0 || rank >= ranks {
                return fail(result::PARA, format!("{name}: there is no rank {rank} of {ranks}"));
            }
            let Some(root) = Root::parse(&bytes) else {
                return fail(result::PARA, format!("{name}: the root information is not what HcclGetRootInfo gave"));
            };
            found = sim.physical_device(device).map(|physical| (root, device, physical));
            Ok(())
        });
        let (0, Some((root, device, physical))) = (code, found) else { return code };
        match join(vec![comm::join(&root, ranks, rank, device, physical)]) {
            Ok(handles) => {
                made.offer(handles[0] as usize as *mut c_void);
                0
            }
            Err(code) => code,
        }
    }

    fn HcclCommInitAll(count: u32, devices: Values<i32>, comms: *mut *mut c_void) -> i32 {
        let name = "HcclCommInitAll";
        let mut found = None;
        let code = hccl(name, |sim| {
            sim.ready(name)?;
            if comms.is_null() {
                return fail(result::PTR, format!("{name}: the place for the communicators is null"));
            }
            let devices = match devices.get(u64::from(count)) {
                Some(list) if !devices.is_null() => list,
                _ => (0..count as i32).collect(),
            };
            let physical: Option<Vec<u32>> = devices.iter().map(|&d| sim.physical_device(d)).collect();
            let Some(physical) = physical.filter(|p| !p.is_empty()) else {
                return fail(result::PARA, format!("{name}: one of the devices {devices:?} is not there"));
            };
            found = Some((comm::open()?, devices, physical));
            Ok(())
        });
        let (0, Some((root, devices, physical))) = (code, found) else { return code };
        let ranks = devices.len() as u32;
        let joins = (0..ranks).zip(devices.into_iter().zip(physical));
        match join(joins.map(|(rank, (device, p))| comm::join(&root, ranks, rank, device, p)).collect()) {
            Ok(handles) => {
                for (i, handle) in handles.into_iter().enumerate() {
                    // SAFETY: not null, and the caller has room for `count` communicators.
                    unsafe { comms.add(i).write_unaligned(handle as usize as *mut c_void) };
                }
                0
            }
            Err(code) => code,
        }
    }

    fn HcclCommDestroy(comm: Ref) -> i32 {
        let name = "HcclCommDestroy";
        let mut found = None;
        let code = hccl(name, |sim| {
            let comm_ = sim.communicator(name, comm.id())?;
            if comm_.pending() > 0 {
                let pending = comm_.pending();
                sim.violation(format!("{name} of a communicator with {pending} operations that have not run"));
            }
            sim.objects.remove(comm.id());
            found = Some(comm_);
            Ok(())
        });
        if let Some(comm) = found {
            comm.leave();
        }
        code
    }

    fn HcclGetRankSize(comm: Ref, ranks: Out<u32>) -> i32 {
        hccl("HcclGetRankSize", |sim| {
            let comm = sim.communicator("HcclGetRankSize", comm.id())?;
            ranks.put(comm.ranks)
        })
    }

    fn HcclGetRankId(comm: Ref, rank: Out<u32>) -> i32 {
        hccl("HcclGetRankId", |sim| {
            let comm = sim.communicator("HcclGetRankId", comm.id())?;
            rank.put(comm.rank)
        })
    }

    fn HcclGetCommAsyncError(comm: Ref, error: Out<i32>) -> i32 {
        hccl("HcclGetCommAsyncError", |sim| {
            let comm = sim.communicator("HcclGetCommAsyncError", comm.id())?;
            error.put(comm.error())
        })
    }

    fn HcclGetErrorString(code: i32) -> *const c_char {
        usize::try_from(code).ok().and_then(|c| ERRORS.get(c)).unwrap_or(&c"unknown error").as_ptr()
    }

    fn HcclAllReduce(
        send: *const c_void,
        receive: *mut c_void,
        count: u64,
        dtype: i32,
        op: i32,
        comm: Ref,
        stream: Ref,
    ) -> i32 {
        let (name, kind) = ("HcclAllReduce", Kind::AllReduce);
        run(Request { name, kind, send, receive, count, dtype, op, root: 0 }, comm, stream)
    }

    fn HcclBroadcast(buffer: *mut c_void, count: u64, dtype: i32, root: u32, comm: Ref, stream: Ref) -> i32 {
        let (name, kind) = ("HcclBroadcast", Kind::Broadcast);
        run(Request { name, kind, send: buffer, receive: buffer, count, dtype, op: 0, root }, comm, stream)
    }

    fn HcclAllGather(send: *const c_void, receive: *mut c_void, count: u64, dtype: i32, comm: Ref, stream: Ref) -> i32 {
        let (name, kind) = ("HcclAllGather", Kind::AllGather);
        run(Request { name, kind, send, receive, count, dtype, op: 0, root: 0 }, comm, stream)
    }

    fn HcclReduceScatter(
        send: *const c_void,
        receive: *mut c_void,
        count: u64,
        dtype: i32,
        op: i32,
        comm: Ref,
        stream: Ref,
    ) -> i32 {
        let (name, kind) = ("HcclReduceScatter", Kind::ReduceScatter);
        run(Request { name, kind, send, receive, count, dtype, op, root: 0 }, comm, stream)
    }

    fn HcclReduce(
        send: *const c_void,
        receive: *mut c_void,
        count: u64,
        dtype: i32,
        op: i32,
        root: u32,
        comm: Ref,
        stream: Ref,
    ) -> i32 {
        run(Request { name: "HcclReduce", kind: Kind::Reduce, send, receive, count, dtype, op, root }, comm, stream)
    }

    fn HcclScatter(
        send: *const c_void,
        receive: *mut c_void,
        count: u64,
        dtype: i32,
        root: u32,
        comm: Ref,
        stream: Ref,
    ) -> i32 {
        let (name, kind) = ("HcclScatter", Kind::Scatter);
        run(Request { name, kind, send, receive, count, dtype, op: 0, root }, comm, stream)
    }

    fn HcclSend(buffer: *const c_void, count: u64, dtype: i32, to: u32, comm: Ref, stream: Ref) -> i32 {
        let (name, kind) = ("HcclSend", Kind::Send);
        run(Request { name, kind, send: buffer, receive: NOTHING, count, dtype, op: 0, root: to }, comm, stream)
    }

    fn HcclRecv(buffer: *mut c_void, count: u64, dtype: i32, from: u32, comm: Ref, stream: Ref) -> i32 {
        let (name, kind) = ("HcclRecv", Kind::Recv);
        run(Request { name, kind, send: NOTHING, receive: buffer, count, dtype, op: 0, root: from }, comm, stream)
    }

    fn HcclAlltoAll(
        send: *const c_void,
        send_count: u64,
        send_type: i32,
        receive: *const c_void,
        receive_count: u64,
        receive_type: i32,
        comm: Ref,
        stream: Ref,
    ) -> i32 {
        let (name, kind) = ("HcclAlltoAll", Kind::AlltoAll);
        if (send_count, send_type) != (receive_count, receive_type) || send == receive {
            let text = format!("{name}: both sides have one count and one type, and buffers of their own");
            return hccl(name, |_| fail(result::PARA, text));
        }
        let r = Request { name, kind, send, receive, count: send_count, dtype: send_type, op: 0, root: 0 };
        run(r, comm, stream)
    }

    fn HcclBarrier(comm: Ref, stream: Ref) -> i32 {
        let (name, kind) = ("HcclBarrier", Kind::Barrier);
        run(Request { name, kind, send: NOTHING, receive: NOTHING, count: 0, dtype: 0, op: 0, root: 0 }, comm, stream)
    }
}
