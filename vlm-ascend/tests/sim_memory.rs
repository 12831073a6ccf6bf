//! The device's memory, on the simulator: blocks come back and are used again, trimming takes nothing that is in use, and in the end
//! nothing is left.

mod common;

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use vlm_ascend::AscendDevice;
use vlm_ascend_sim::libraries::Options;
use vlm_core::backend::{RopeStyle, StorageRef};
use vlm_core::tensor::{AttentionOptions, RopeTables};
use vlm_core::{DType, Device, Element, Result, Tensor};

/// What the simulator reports is of the whole process: one test at a time.
static ONE: Mutex<()> = Mutex::new(());

/// Runs `body` with a device of its own; the simulator then has seen no violation and nothing that is left.
fn with_device(schedule: &str, body: impl FnOnce(&Device)) {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    common::simulator("schedule=delayed");
    common::control(&format!("set schedule={schedule},seed=3"));
    let device = Device::from_kernels("ascend:0", Arc::new(AscendDevice::open(0).unwrap()));
    body(&device);
    drop(device);
    let report = common::report();
    assert_eq!(report["violation_count"], 0, "{}", report["violations"]);
    assert_eq!(report["leaks"], serde_json::json!({}));
}

/// Something that takes memory of many sizes, for operands and for workspace.
fn compute(device: &Device, size: usize) -> Result<Vec<f32>> {
    let values: Vec<f32> = (0..size * size).map(|i| (i as f32 * 0.37).sin()).collect();
    let x = Tensor::from_slice(&values, [size, size], device)?.requires_grad()?;
    let y = x.matmul(&x.tanh()?)?.softmax(-1)?.mul(&x)?;
    let grads = y.sum_all()?.backward()?;
    grads.require(&x)?.to_vec()
}

/// Rounded, as the device adds in another order.
fn computed(device: &Device, size: usize) -> Result<Vec<i32>> {
    Ok(compute(device, size)?.into_iter().map(|v| (v * 1e3).round() as i32).collect())
}

fn near(a: &[i32], b: &[i32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1)
}

/// Small blocks share segments, large ones are kept by size; both in another order each round.
#[test]
fn sim_memory_of_the_same_sizes_does_not_grow() {
    with_device("delayed", |device| {
        let k = device.kernels();
        let sizes = [100usize, 5_000, 300_000, 2 << 20, (2 << 20) + 1, 9 << 20];
        let round = |first: usize| {
            let of = |i: usize| k.upload(DType::U8, &vec![i as u8; sizes[(first + i) % sizes.len()]]).unwrap();
            let mut all: Vec<StorageRef> = (0..sizes.len()).map(of).collect();
            all.rotate_left(first % 4);
            all
        };
        drop(round(0));
        let before = k.memory_stats();
        assert_eq!(before.allocated, 0);
        assert!(before.reserved >= sizes.iter().sum::<usize>() as u64);
        for first in 0..40 {
            drop(round(first));
        }
        let after = k.memory_stats();
        assert_eq!((after.reserved, after.fresh, after.allocated), (before.reserved, before.fresh, 0));
        assert_eq!(after.reused, before.reused + 40 * sizes.len() as u64);
        assert_eq!(after.peak_allocated, before.peak_allocated);
    });
}

/// Operations ask for workspace of any size; it settles all the same.
#[test]
fn sim_memory_of_the_same_work_settles() {
    with_device("random", |device| {
        let k = device.kernels();
        let expected = computed(&Device::reference(), 48).unwrap();
        let mut reserved = Vec::new();
        for _ in 0..60 {
            assert!(near(&computed(device, 48).unwrap(), &expected));
            reserved.push(k.memory_stats().reserved);
        }
        assert_eq!(reserved[30], reserved[59], "{reserved:?}");
    });
}

/// Memory goes back to the runtime while other threads queue work, which the simulator would see as a violation if the work was
/// not done.
#[test]
fn sim_trimming_takes_nothing_that_is_in_use() {
    for schedule in ["delayed", "random", "eager"] {
        with_device(schedule, |device| {
            let expected = [8usize, 40, 150].map(|size| (size, computed(&Device::reference(), size).unwrap()));
            let (done, trims) = (AtomicBool::new(false), AtomicUsize::new(0));
            std::thread::scope(|scope| {
                let trimming = scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        device.kernels().trim().unwrap();
                        trims.fetch_add(1, Ordering::Relaxed);
                        std::thread::yield_now();
                    }
                });
                let workers: Vec<_> = (0..3)
                    .map(|i| {
                        let expected = &expected;
                        scope.spawn(move || {
                            (0..6).all(|round| {
                                let (size, expected) = &expected[(i + round) % 3];
                                near(&computed(device, *size).unwrap(), expected)
                            })
                        })
                    })
                    .collect();
                let right: Vec<bool> = workers.into_iter().map(|w| w.join().unwrap_or(false)).collect();
                done.store(true, Ordering::Relaxed);
                trimming.join().unwrap();
                assert_eq!(right, [true; 3], "{schedule}");
            });
            assert!(trims.load(Ordering::Relaxed) > 0);
        });
    }
}

/// More than one staging buffer holds, and not a multiple of one.
#[test]
fn sim_large_transfers_come_back_as_they_were() {
    for schedule in ["delayed", "random"] {
        with_device(schedule, |device| {
            let mut state = 1u64;
            let words: Vec<u32> = (0..(40 << 20) / 4 + 3)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    (state >> 32) as u32
                })
                .collect();
            let (k, bytes) = (device.kernels(), u32::as_bytes(&words));
            let there = k.upload(DType::U32, bytes).unwrap();
            // Another one queued behind it must not get its staging buffers too early.
            let zeros = k.upload(DType::U32, &vec![0; bytes.len()]).unwrap();
            let mut back = vec![0xA5u8; bytes.len()];
            k.download(&there, 0, &mut back).unwrap();
            assert!(back == bytes, "{schedule}: the bytes are others");
            // A part that begins in the first piece and ends in the second.
            let (start, len) = (7_000_001usize, 3_000_000usize);
            let mut part = vec![0xA5u8; 4 * len];
            k.download(&there, start, &mut part).unwrap();
            assert!(part == bytes[4 * start..4 * (start + len)], "{schedule}: the part is another");
            k.download(&zeros, 0, &mut back).unwrap();
            assert!(back.iter().all(|&b| b == 0), "{schedule}: the zeros are not");
        });
    }
}

#[test]
fn sim_nothing_is_left_after_trimming() {
    with_device("random", |device| {
        let k = device.kernels();
        let kept = Tensor::full(1000, 2.5, DType::F32, device).unwrap();
        let large = Tensor::zeros(3 << 20, DType::F32, device).unwrap();
        // What the device keeps for itself, tables and masks, goes too.
        let x = Tensor::full([1, 2, 8, 16], 0.5, DType::F32, device).unwrap();
        let angles = Tensor::zeros([1, 8, 8], DType::F32, device).unwrap();
        let tables = RopeTables { cos: angles.clone(), sin: angles };
        let turned = x.rope(&tables, RopeStyle::Half).unwrap();
        let causal = AttentionOptions { causal: true, ..AttentionOptions::default() };
        assert!(turned.scaled_dot_product_attention(&x, &x, &causal).is_ok());
        drop((x, tables, turned));
        assert!(near(&computed(device, 40).unwrap(), &computed(&Device::reference(), 40).unwrap()));
        drop(large);
        k.trim().unwrap();
        // What is held stays, and what does not is gone.
        let stats = k.memory_stats();
        assert!(stats.allocated >= 4000 && stats.allocated < 8192, "{stats:?}");
        assert_eq!(stats.reserved, 2 << 20, "{stats:?}");
        assert_eq!(kept.to_vec::<f32>().unwrap(), [2.5; 1000]);
        drop(kept);
        k.trim().unwrap();
        let stats = k.memory_stats();
        assert_eq!((stats.allocated, stats.reserved), (0, 0), "{stats:?}");
        let leaks = common::report()["leaks"].clone();
        assert!(leaks["device bytes"].is_null(), "{leaks}");
        // The device goes on.
        assert!(near(&computed(device, 8).unwrap(), &computed(&Device::reference(), 8).unwrap()));
    });
}

/// Says to the process that a test starts which test it is.
const INNER: &str = "VLM_TEST_MEMORY_INNER";

/// Runs the test `name` in a process of its own with these variables; it must end well within a minute.
fn in_a_process(name: &str, settings: &str, variables: &[(&str, &str)]) {
    let folder: PathBuf = common::libraries("memory", &Options::default());
    let mut command = Command::new(std::env::current_exe().expect("a test has an executable"));
    command.args([name, "--exact", "--nocapture"]).stdout(Stdio::null()).env(INNER, "1");
    command.env("VLM_ASCEND_LIBRARIES", folder).env("VLM_ASCEND_SIM", format!("strict=1,{settings}"));
    let mut child = command.envs(variables.iter().copied()).spawn().expect("the test starts itself");
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("the process is ours") {
            assert!(status.success(), "{name} {settings}: {status}");
            return;
        }
        if began.elapsed() > Duration::from_secs(60) {
            child.kill().expect("the process is ours");
            panic!("{name} {settings} hangs");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// With allocations of their own for small blocks too, which memory checkers want.
#[test]
fn sim_a_plain_pool_works() {
    if std::env::var_os(INNER).is_none() {
        for settings in ["schedule=delayed", "schedule=random,seed=2", "schedule=eager"] {
            in_a_process("sim_a_plain_pool_works", settings, &[("VLM_ASCEND_PLAIN_POOL", "1")]);
        }
        return;
    }
    let device = Device::from_kernels("ascend:0", Arc::new(AscendDevice::open(0).unwrap()));
    let k = device.kernels();
    let small = k.alloc(DType::F32, 10).unwrap();
    let stats = k.memory_stats();
    // No segment is behind it.
    assert_eq!((stats.fresh, stats.reserved, stats.allocated), (1, 512, 512), "{stats:?}");
    drop(small);
    let again = k.alloc(DType::F32, 20).unwrap();
    assert_eq!(k.memory_stats().reused, 1);
    drop(again);
    for size in [8, 40, 8] {
        assert!(near(&computed(&device, size).unwrap(), &computed(&Device::reference(), size).unwrap()));
    }
    k.trim().unwrap();
    let stats = k.memory_stats();
    assert_eq!((stats.allocated, stats.reserved), (0, 0), "{stats:?}");
}
