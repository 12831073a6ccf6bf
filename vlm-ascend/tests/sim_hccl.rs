//! Groups of NPUs on the simulator: ranks are processes, which this test starts from its own executable, or threads.

mod common;

use half::{bf16, f16};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use vlm_ascend::AscendDevice;
use vlm_ascend::hccl::{Communicator, RootInfo};
use vlm_ascend_sim::libraries::Options;
use vlm_core::backend::collective::{Collective, CollectiveOp};
use vlm_core::backend::{StorageRef, View};
use vlm_core::{DType, Device, Dims, Element, ErrorKind, Layout};

/// What a rank that is a process is to do; set by the test that starts it.
const TASK: &str = "VLM_TEST_HCCL_TASK";

fn libraries() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| common::libraries("hccl", &Options::default()))
}

/// A process that runs `task` as `rank` of two.
fn start(task: &str, rank: usize, settings: &str, variables: &[(&str, &str)]) -> Child {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("root-{task}-{}", std::process::id()));
    let exe = std::env::current_exe().expect("a test has an executable");
    let mut command = Command::new(exe);
    command.args(["sim_rank", "--exact", "--nocapture"]).stdout(Stdio::null());
    command.env("VLM_ASCEND_LIBRARIES", libraries()).env("VLM_ASCEND_SIM", format!("devices=2,{settings}"));
    command.env(TASK, format!("{task} {rank} {}", root.display())).envs(variables.iter().copied());
    command.spawn().expect("the test starts itself")
}

/// Whether the process ended well, within a minute.
fn ended_well(mut child: Child) -> bool {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("the process is ours") {
            return status.success();
        }
        if start.elapsed() > Duration::from_secs(60) {
            child.kill().expect("the process is ours");
            panic!("a rank hangs");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Runs `task` as two ranks and expects both to end well.
fn two(task: &str, settings: &str, variables: &[(&str, &str)]) {
    let ranks = [0, 1].map(|rank| start(task, rank, settings, variables));
    let ends = ranks.map(ended_well);
    assert_eq!(ends, [true, true], "{task} {settings}");
}

/// One rank with its device.
struct Rank {
    group: Communicator,
    device: Device,
}

impl Rank {
    fn upload<T: Element>(&self, values: &[T]) -> StorageRef {
        self.device.kernels().upload(T::DTYPE, T::as_bytes(values)).unwrap()
    }

    fn read<T: Element>(&self, x: &StorageRef) -> Vec<T> {
        let mut bytes = vec![0; x.len() * size_of::<T>()];
        self.device.kernels().download(x, 0, &mut bytes).unwrap();
        bytes.chunks_exact(size_of::<T>()).map(|b| T::from_bytes(b)[0]).collect()
    }
}

fn open(ordinal: usize) -> Device {
    Device::from_kernels(format!("ascend:{ordinal}"), Arc::new(AscendDevice::open(ordinal).unwrap()))
}

/// What the ranks of `two` do. Without a task it is no test.
#[test]
fn sim_rank() {
    let Ok(task) = std::env::var(TASK) else { return };
    let mut words = task.splitn(3, ' ');
    let (task, rank, root) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
    let (rank, root): (usize, PathBuf) = (rank.parse().unwrap(), root.into());
    let device = open(rank);
    let info = if rank == 0 {
        let info = RootInfo::new(&device).unwrap();
        let unready = root.with_extension("unready");
        std::fs::write(&unready, info.as_bytes()).unwrap();
        std::fs::rename(&unready, &root).unwrap();
        info
    } else {
        while !root.exists() {
            std::thread::sleep(Duration::from_millis(1));
        }
        RootInfo::from_bytes(&std::fs::read(&root).unwrap()).unwrap()
    };
    if task == "absent" {
        // The other one never comes.
        let e = Communicator::new(&device, 2, rank, &info).unwrap_err();
        assert!(e.kind() == ErrorKind::Backend && e.to_string().contains("HCCL_E_TIMEOUT"), "{e}");
        return;
    }
    let group = Communicator::new(&device, 2, rank, &info).unwrap();
    if rank == 0 {
        std::fs::remove_file(&root).unwrap();
    }
    assert_eq!((group.rank(), group.size()), (rank, 2));
    let me = Rank { group, device };
    match task {
        "values" => {
            floats::<f32>(&me);
            floats::<f16>(&me);
            floats::<bf16>(&me);
            integers(&me);
            others(&me);
            me.group.barrier().unwrap();
            me.group.check().unwrap();
        }
        "death" | "late" => broken(&me, task),
        "mismatch" => {
            let x = me.upload(&vec![1f32; 4 + rank]);
            let sum = me.group.all_reduce(CollectiveOp::Sum, x);
            let e = sum.and_then(|_| me.group.barrier()).unwrap_err();
            assert!(e.kind() == ErrorKind::DeviceLost && e.to_string().contains("rank 1 has"), "{e}");
        }
        _ => panic!("no task {task}"),
    }
}

fn floats<T: Element>(me: &Rank) {
    let t = |v: &[f64]| v.iter().map(|&x| T::from_f64(x)).collect::<Vec<T>>();
    let r = me.group.rank() as f64;
    let own = t(&[r + 1.0, -2.5 * r, 8.0]);
    let x = me.upload(&own);
    // In place, as this is the only handle, and beside where it is not.
    let kept = me.group.all_reduce(CollectiveOp::Max, x.clone()).unwrap();
    assert_eq!(me.read::<T>(&kept), t(&[2.0, 0.0, 8.0]));
    assert_eq!(me.read::<T>(&x), own);
    let product = me.group.all_reduce(CollectiveOp::Prod, x.clone()).unwrap();
    assert_eq!(me.read::<T>(&product), t(&[2.0, 0.0, 64.0]));
    let address = Arc::as_ptr(&x).cast::<u8>();
    let sum = me.group.all_reduce(CollectiveOp::Sum, x).unwrap();
    assert_eq!(Arc::as_ptr(&sum).cast::<u8>(), address);
    assert_eq!(me.read::<T>(&sum), t(&[3.0, -2.5, 16.0]));
    // The mean of what no half float's sum could hold.
    let large = me.upload(&t(&[60000.0]));
    let mean = me.group.all_reduce(CollectiveOp::Mean, large).unwrap();
    assert_eq!(me.read::<T>(&mean), t(&[60000.0]));
    // A view that has to be copied first.
    let x = me.upload(&t(&[r, r + 2.0, r + 4.0, r + 6.0]));
    let layout = Layout::contiguous(Dims::from_slice(&[2, 2])).transpose(0, 1);
    let all = me.group.all_gather(View::new(&x, &layout)).unwrap();
    assert_eq!(me.read::<T>(&all), t(&[0.0, 4.0, 2.0, 6.0, 1.0, 5.0, 3.0, 7.0]));
    let part = me.group.reduce_scatter(CollectiveOp::Mean, View::new(&x, &layout)).unwrap();
    let expected = [t(&[0.5, 4.5]), t(&[2.5, 6.5])];
    assert_eq!(me.read::<T>(&part), expected[me.group.rank()]);
    let from_1 = me.group.broadcast(x.clone(), 1).unwrap();
    assert_eq!(me.read::<T>(&from_1), t(&[1.0, 3.0, 5.0, 7.0]));
    assert_eq!(me.read::<T>(&x)[0], T::from_f64(r), "what others hold was written to");
    assert_eq!(me.group.broadcast(x, 2).unwrap_err().kind(), ErrorKind::Index);
}

fn integers(me: &Rank) {
    let r = me.group.rank() as i64;
    let x = me.upload(&[r, i64::MAX, -r]);
    let layout = Layout::contiguous(Dims::from_slice(&[3]));
    let all = me.group.all_gather(View::new(&x, &layout)).unwrap();
    assert_eq!(me.read::<i64>(&all), [0, i64::MAX, 0, 1, i64::MAX, -1]);
    let e = me.group.reduce_scatter(CollectiveOp::Sum, View::new(&x, &layout)).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Shape);
    let sum = me.group.all_reduce(CollectiveOp::Sum, x).unwrap();
    assert_eq!(me.read::<i64>(&sum), [1, -2, -1]);
    assert_eq!(me.group.all_reduce(CollectiveOp::Mean, sum).unwrap_err().kind(), ErrorKind::DType);
}

fn others(me: &Rank) {
    let r = me.group.rank();
    let x = me.upload(&[200u8, r as u8]);
    assert_eq!(me.read::<u8>(&me.group.all_reduce(CollectiveOp::Sum, x).unwrap()), [144, 1]);
    let x = me.upload(&[u32::MAX, r as u32]);
    let sum = me.group.all_reduce(CollectiveOp::Sum, x).unwrap();
    assert_eq!(me.read::<u32>(&sum), [u32::MAX - 1, 1]);
    assert_eq!(me.group.all_reduce(CollectiveOp::Max, sum).unwrap_err().kind(), ErrorKind::Unsupported);
    let x = me.device.kernels().upload(DType::Bool, &[1, r as u8]).unwrap();
    let mut any = [9, 9];
    let x = me.group.all_reduce(CollectiveOp::Max, x).unwrap();
    me.device.kernels().download(&x, 0, &mut any).unwrap();
    assert_eq!(any, [1, 1]);
    let x = me.upload(&[0.1f64 + r as f64]);
    let from_0 = me.group.broadcast(x, 0).unwrap();
    assert_eq!(me.read::<f64>(&from_0), [0.1]);
    assert_eq!(me.group.all_reduce(CollectiveOp::Sum, from_0).unwrap_err().kind(), ErrorKind::Unsupported);
    let none = me.group.all_reduce(CollectiveOp::Sum, me.upload::<f32>(&[])).unwrap();
    assert!(none.is_empty());
}

/// Rank 1 dies, or comes later than rank 0 waits.
fn broken(me: &Rank, task: &str) {
    if me.group.rank() == 1 {
        if task == "late" {
            std::thread::sleep(Duration::from_secs(4));
        }
        // Without leaving the group.
        std::process::exit(0);
    }
    let begin = Instant::now();
    let x = me.upload(&[1f32; 100]);
    let sum = me.group.all_reduce(CollectiveOp::Sum, x);
    let e = sum.and_then(|_| me.group.barrier()).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::DeviceLost, "{e}");
    let expected = if task == "late" { "within 1 seconds" } else { "rank 1 ended" };
    assert!(e.to_string().contains(expected), "{e}");
    assert!(begin.elapsed() < Duration::from_secs(20));
}

#[test]
fn sim_processes_reduce_gather_scatter_and_broadcast() {
    for settings in ["strict=1", "strict=1,schedule=random,seed=5", "strict=1,schedule=eager"] {
        two("values", settings, &[]);
    }
}

#[test]
fn sim_a_rank_that_dies_is_an_error() {
    two("death", "strict=0", &[("HCCL_EXEC_TIMEOUT", "10")]);
}

#[test]
fn sim_a_rank_that_does_not_come_is_an_error() {
    two("late", "strict=0", &[("HCCL_EXEC_TIMEOUT", "1")]);
}

#[test]
fn sim_ranks_that_ask_for_different_things_fail() {
    two("mismatch", "strict=0", &[]);
}

#[test]
fn sim_a_group_that_does_not_come_together_is_an_error() {
    assert!(ended_well(start("absent", 0, "strict=1", &[("HCCL_CONNECT_TIMEOUT", "1")])));
}

/// As a process of its own, since libraries are loaded once.
#[test]
fn sim_without_hccl() {
    const INNER: &str = "VLM_TEST_WITHOUT_HCCL";
    if std::env::var_os(INNER).is_none() {
        let options = Options { without_libraries: vec!["libhccl.so".to_owned()], ..Options::default() };
        let mut command = Command::new(std::env::current_exe().expect("a test has an executable"));
        command.args(["sim_without_hccl", "--exact"]).stdout(Stdio::null()).env(INNER, "1");
        command.env("VLM_ASCEND_LIBRARIES", common::libraries("no-hccl", &options)).env("VLM_ASCEND_SIM", "strict=1");
        assert!(ended_well(command.spawn().expect("the test starts itself")));
        return;
    }
    let e = RootInfo::new(&open(0)).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unsupported);
    assert!(e.to_string().contains("libhccl.so") && e.to_string().contains("toolkit"), "{e}");
}

/// As a process of its own, with two devices.
#[test]
fn sim_threads_with_a_device_each() {
    const INNER: &str = "VLM_TEST_HCCL_THREADS";
    if std::env::var_os(INNER).is_none() {
        let mut command = Command::new(std::env::current_exe().expect("a test has an executable"));
        command.args(["sim_threads_with_a_device_each", "--exact"]).stdout(Stdio::null()).env(INNER, "1");
        command.env("VLM_ASCEND_LIBRARIES", libraries()).env("VLM_ASCEND_SIM", "strict=1,devices=2");
        assert!(ended_well(command.spawn().expect("the test starts itself")));
        return;
    }
    let devices = [open(0), open(1)];
    let groups = Communicator::all(&devices).unwrap();
    std::thread::scope(|s| {
        for (device, group) in devices.into_iter().zip(groups) {
            s.spawn(move || {
                let me = Rank { group, device };
                floats::<f32>(&me);
                me.group.barrier().unwrap();
            });
        }
    });
}
