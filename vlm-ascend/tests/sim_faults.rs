//! What goes wrong, on the simulator: missing libraries and symbols, no device, no memory, calls that fail, a device that fails while it
//! works, threads. Each case is a process of its own; it must end in time, without a panic, and leave nothing behind (the simulator
//! ends a process that leaks or misuses the interface with code 86).

mod common;

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use vlm_ascend::AscendDevice;
use vlm_ascend_sim::libraries::Options;
use vlm_core::{DType, Device, Error, ErrorKind, Result, Tensor};

/// The longest that a case may take.
const LONGEST: Duration = Duration::from_secs(60);

/// Runs the case `name` in a process of its own on this set of libraries; what it wrote.
fn case(name: &str, set: &str, options: &Options, settings: &str) -> String {
    let folder = common::libraries(set, options);
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "sim_case", "--ignored", "--nocapture", "--test-threads=1"])
        .env("VLM_SIM_CASE", name)
        .env("VLM_ASCEND_LIBRARIES", folder)
        .env("VLM_ASCEND_SIM", format!("strict=1,{settings}"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let began = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if began.elapsed() > LONGEST {
            child.kill().unwrap();
            panic!("sim {name}: it hangs");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let output = child.wait_with_output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "sim {name}: {:?}\n{said}", output.status);
    said
}

fn without(names: &[&str]) -> Options {
    let (libraries, symbols): (Vec<_>, Vec<_>) =
        names.iter().map(|n| (*n).to_owned()).partition(|n| n.ends_with(".so"));
    Options { without: symbols, without_libraries: libraries, ..Options::default() }
}

#[test]
fn sim_missing_libraries_are_named() {
    case("no_runtime", "no-runtime", &without(&["libascendcl.so"]), "");
    case("no_objects", "no-objects", &without(&["libnnopbase.so"]), "");
    case("no_operators", "no-operators", &without(&["libopapi.so"]), "");
}

#[test]
fn sim_missing_symbols_are_named_or_done_without() {
    case("no_copy", "no-copy", &without(&["aclrtMemcpyAsync"]), "");
    let fused = ["aclnnRmsNorm", "aclnnSwiGlu", "aclnnFlashAttentionScore", "aclnnSoftmax", "aclnnApplyAdamWV2"];
    case("composed", "no-fused", &without(&fused), "");
    case("computes", "old-cann", &Options { cann: 8, ..Options::default() }, "cann=8.1.RC1");
    case("computes", "split", &Options { split: true, ..Options::default() }, "cann=9.1.0");
    let no_repeat = without(&["aclSetAclOpExecutorRepeatable"]);
    case("computes", "no-repeat", &no_repeat, "");
}

/// What is only asked for, or told, is done without; what a call cannot do without is named by that call.
#[test]
fn sim_single_symbols_are_done_without_or_named() {
    let gone = |symbol: &str| without(&[symbol]);
    case("no_switch", "no-switch", &gone("aclrtCtxSetSysParamOpt"), "");
    case("no_memory_info", "no-memory-info", &gone("aclrtGetMemInfo"), "memory=8M");
    case("no_messages", "no-messages", &gone("aclGetRecentErrMsg"), "");
    for symbol in ["aclrtCreateEvent", "aclrtRecordEvent", "aclrtQueryEventStatus"] {
        case("no_events", &format!("no-{symbol}"), &gone(symbol), "");
    }
}

#[test]
fn sim_waiting_may_fail_once() {
    for schedule in ["delayed", "random", "eager"] {
        case("wait_fails", "usual", &Options::default(), &format!("schedule={schedule}"));
    }
    case("wait_for_staging_fails", "usual", &Options::default(), "");
}

#[test]
fn sim_an_error_of_any_operation_is_told_at_any_time() {
    // Without executors that may run again, and with them.
    case("device_error_at", "no-repeat", &without(&["aclSetAclOpExecutorRepeatable"]), "schedule=random,seed=9");
    for seed in 0..4 {
        case("device_error_at", "usual", &Options::default(), &format!("schedule=random,seed={seed}"));
    }
}

#[test]
fn sim_a_stub_and_a_library_that_fails_to_start_are_named() {
    case("stub", "usual", &Options::default(), "fault=aclInit#1=100039");
    case("no_start", "usual", &Options::default(), "fault=aclInit#1=500000");
}

#[test]
fn sim_no_device_is_said() {
    case("no_device", "usual", &Options::default(), "devices=0");
}

#[test]
fn sim_memory_that_runs_out_is_an_error_and_the_device_goes_on() {
    case("out_of_memory", "usual", &Options::default(), "memory=8M");
}

#[test]
fn sim_every_call_may_fail() {
    for schedule in ["delayed", "random", "eager"] {
        case("any_call", "usual", &Options::default(), &format!("schedule={schedule}"));
    }
}

#[test]
fn sim_an_error_of_the_device_is_told_when_it_is_waited_for() {
    for schedule in ["delayed", "eager"] {
        case("device_error", "usual", &Options::default(), &format!("schedule={schedule}"));
    }
}

#[test]
fn sim_threads_share_a_device() {
    for seed in 0..4 {
        case("threads", "usual", &Options::default(), &format!("schedule=random,seed={seed}"));
    }
}

/// The case that the environment names; nothing without one.
#[test]
#[ignore = "the other tests start it in processes of its own"]
fn sim_case() {
    match std::env::var("VLM_SIM_CASE").unwrap_or_default().as_str() {
        "" => {}
        "no_runtime" => refuses(&["no AscendCL", "libascendcl.so", "set_env.sh"]),
        "no_objects" => refuses(&["AscendCL has no aclCreateTensor"]),
        "no_operators" => no_operators(),
        "no_copy" => refuses(&["AscendCL has no aclrtMemcpyAsync", "older than"]),
        "composed" | "computes" => assert_eq!(computed(&open()).unwrap(), expected()),
        "stub" => refuses(&["CANN's stub", "LD_LIBRARY_PATH"]),
        "no_start" => refuses(&["aclInit failed with 500000"]),
        "no_device" => refuses(&["the runtime finds no device", "/dev/davinci"]),
        "out_of_memory" => out_of_memory(),
        "any_call" => any_call(),
        "device_error" => device_error(),
        "threads" => threads(),
        "no_switch" => no_switch(),
        "no_memory_info" => no_memory_info(),
        "no_messages" => no_messages(),
        "no_events" => no_events(),
        "wait_fails" => wait_fails(),
        "wait_for_staging_fails" => wait_for_staging_fails(),
        "device_error_at" => device_error_at(),
        other => panic!("no case is called {other:?}"),
    }
}

fn open() -> Device {
    Device::from_kernels("ascend:0", Arc::new(AscendDevice::open(0).unwrap()))
}

/// Opening says all of this, and is an error of the kind `Device`.
fn refuses(wanted: &[&str]) {
    vlm_ascend::register().unwrap();
    let e = Device::open("ascend:0").unwrap_err();
    let text = format!("{e:?}");
    assert_eq!(e.kind(), ErrorKind::Device, "{text}");
    wanted.iter().for_each(|w| assert!(text.contains(w), "{text} lacks {w}"));
}

/// Something of everything: products, norms, attention, a gradient.
fn compute(device: &Device) -> Result<Vec<f32>> {
    let values: Vec<f32> = (0..64).map(|i| (i as f32 * 0.37).sin()).collect();
    let x = Tensor::from_slice(&values, [8, 8], device)?.requires_grad()?;
    let weight = Tensor::full(8, 0.5, DType::F32, device)?;
    let y = x.rms_norm(Some(&weight), 1e-5, 0.0)?.matmul(&x)?;
    let y = y.swiglu(&x)?.softmax(-1)?.add(&x.tanh()?)?;
    let heads = y.reshape([1, 1, 8, 8])?;
    let options = vlm_core::tensor::AttentionOptions { causal: true, ..Default::default() };
    let out = heads.scaled_dot_product_attention(&heads, &heads, &options)?;
    let grads = out.sum_all()?.backward()?;
    grads.require(&x)?.to_vec()
}

/// Rounded, so that fused operations and compositions give the same.
fn computed(device: &Device) -> Result<Vec<i32>> {
    Ok(compute(device)?.into_iter().map(|v| (v * 1e3).round() as i32).collect())
}

fn expected() -> Vec<i32> {
    computed(&Device::reference()).unwrap()
}

fn no_operators() {
    let device = open();
    // What needs no operation works.
    let x = Tensor::from_slice(&[1.0f32, 2.0], 2, &device).unwrap();
    assert_eq!(x.to_vec::<f32>().unwrap(), [1.0, 2.0]);
    let e = x.add(&x).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unsupported);
    assert!(e.to_string().contains("aclnnAdd"), "{e}");
}

fn out_of_memory() {
    let device = open();
    let small = Tensor::zeros(1000, DType::F32, &device).unwrap();
    let e = Tensor::zeros(4 << 20, DType::F32, &device).unwrap_err();
    let text = format!("{e:?}");
    assert_eq!(e.kind(), ErrorKind::OutOfMemory, "{text}");
    for wanted in ["16777216 bytes", "in use by this program", "free on the device"] {
        assert!(text.contains(wanted), "{text} lacks {wanted}");
    }
    assert_eq!(small.sum_all().unwrap().to_vec::<f32>().unwrap(), [0.0]);
    // What waits for reuse is given back before that is said: each of these is most of what there is.
    for len in [1 << 20, (1 << 20) + 100_000, (1 << 20) - 100_000, 1 << 20] {
        Tensor::zeros(len, DType::F32, &device).unwrap();
    }
}

fn is_typed(e: &Error) {
    let known =
        [ErrorKind::Backend, ErrorKind::Device, ErrorKind::DeviceLost, ErrorKind::OutOfMemory, ErrorKind::Unsupported];
    assert!(known.contains(&e.kind()), "{e:?}");
}

/// The n-th call from the start fails, for every n that there is, with codes of every sort.
fn any_call() {
    let expected = expected();
    let mut failures = 0;
    for (round, code) in [207_001, 161_002, 107_000, 361_001, 561_003].into_iter().enumerate() {
        // Each code at its own fifth of the calls.
        for n in (1 + round..400).step_by(5) {
            common::control("clear-faults");
            common::control(&format!("set fault=*#{n}={code}"));
            let outcome = AscendDevice::open(0).map(|d| Device::from_kernels("ascend:0", Arc::new(d)));
            match outcome.and_then(|device| computed(&device)) {
                Ok(values) => assert_eq!(values, expected, "call {n}"),
                Err(e) => {
                    is_typed(&e);
                    failures += 1;
                }
            }
            common::control("clear-faults");
            let left = common::report()["leaks"].clone();
            assert_eq!(left, serde_json::json!({}), "after call {n} failed with {code}");
        }
    }
    assert!(failures > 100, "only {failures} of the calls that failed were noticed");
    assert_eq!(computed(&open()).unwrap(), expected);
}

fn device_error() {
    let device = open();
    common::control("set fault=run:aclnnMm#1=507015");
    let e = compute(&device).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::DeviceLost, "{e:?}");
    assert!(e.to_string().contains("aclnnMm") && e.to_string().contains("507015"), "{e}");
    // The context is unusable: everything fails, with the same kind.
    let again = compute(&device).unwrap_err();
    assert_eq!(again.kind(), ErrorKind::DeviceLost, "{again:?}");
    drop(device);
    // Another context is not.
    assert_eq!(computed(&open()).unwrap(), expected());
}

fn threads() {
    let (device, expected) = (open(), expected());
    std::thread::scope(|scope| {
        let all: Vec<_> =
            (0..8).map(|_| scope.spawn(|| (0..5).map(|_| computed(&device)).collect::<Vec<_>>())).collect();
        for thread in all {
            for values in thread.join().expect("a thread panicked") {
                assert_eq!(values.unwrap(), expected);
            }
        }
    });
}

fn no_switch() {
    let own = AscendDevice::open(0).unwrap();
    let e = own.set_deterministic(true).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unsupported, "{e:?}");
    assert!(e.to_string().contains("aclrtCtxSetSysParamOpt"), "{e}");
    let device = Device::from_kernels("ascend:0", Arc::new(own));
    assert_eq!(computed(&device).unwrap(), expected());
}

fn no_memory_info() {
    let device = open();
    assert_eq!(device.kernels().properties().memory_bytes, None);
    // Of memory that runs out is said what is known.
    let e = Tensor::zeros(4 << 20, DType::F32, &device).unwrap_err();
    let text = format!("{e:?}");
    assert_eq!(e.kind(), ErrorKind::OutOfMemory, "{text}");
    assert!(text.contains("in use by this program") && !text.contains("free on the device"), "{text}");
    assert_eq!(computed(&device).unwrap(), expected());
}

fn no_messages() {
    let device = open();
    common::control("set fault=aclrtMemcpyAsync#1=107017");
    let e = Tensor::from_slice(&[1.0f32], 1, &device).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Backend, "{e:?}");
    assert!(e.to_string().contains("invalid handle (107017)"), "{e}");
    assert_eq!(computed(&device).unwrap(), expected());
}

/// Nothing can be brought to the device without events, and that is said; the rest works.
fn no_events() {
    let device = open();
    let e = Tensor::from_slice(&[1.0f32], 1, &device).and_then(|x| {
        // The first buffer needs no answer from an event yet.
        let y = Tensor::from_slice(&[2.0f32], 1, &device)?;
        x.add(&y)
    });
    let e = e.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unsupported, "{e:?}");
    assert!(e.to_string().contains("Event"), "{e}");
}

fn wait_fails() {
    let (device, expected) = (open(), expected());
    for code in [107_000, 107_019] {
        let x = Tensor::full(8, 3.0, DType::F32, &device).unwrap();
        common::control(&format!("set fault=aclrtSynchronizeStream#1={code}"));
        let e = x.to_vec::<f32>().unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Backend, "{e:?}");
        assert!(e.to_string().contains(&code.to_string()), "{e}");
        assert_eq!(x.to_vec::<f32>().unwrap(), [3.0; 8]);
        common::control(&format!("set fault=aclrtSynchronizeStream#1={code}"));
        assert_eq!(device.kernels().trim().unwrap_err().kind(), ErrorKind::Backend);
        assert_eq!(x.to_vec::<f32>().unwrap(), [3.0; 8]);
        assert_eq!(computed(&device).unwrap(), expected);
    }
}

/// A buffer whose copy was not waited for, as waiting failed, is not filled with something else.
fn wait_for_staging_fails() {
    let device = open();
    let k = device.kernels();
    let buffer = 32 << 20;
    // Work in front of the copies, as asking for events lets some of it run.
    let mut x = Tensor::full(8, 1.0, DType::F32, &device).unwrap();
    for _ in 0..40 {
        x = x.add(&x).unwrap();
    }
    // As much as may be under way at once.
    let all: Vec<_> = (1..=4u8).map(|i| k.upload(DType::U8, &vec![i; buffer]).unwrap()).collect();
    common::control("set fault=aclrtSynchronizeEvent#1=107000");
    let e = k.upload(DType::U8, &vec![5; buffer]).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Backend, "{e:?}");
    let last = k.upload(DType::U8, &vec![6; buffer]).unwrap();
    let mut out = vec![0; buffer];
    for (x, wanted) in all.iter().chain([&last]).zip([1u8, 2, 3, 4, 6]) {
        k.download(x, 0, &mut out).unwrap();
        assert!(out.iter().all(|&b| b == wanted), "there is {} instead of {wanted}", out[0]);
    }
    // Nor one of which no event tells, and that could not be waited for otherwise. It may or may not arrive; what comes after does.
    common::control("set fault=aclrtRecordEvent#1=107000,fault=aclrtSynchronizeStream#1=107000");
    let e = k.upload(DType::U8, &vec![7; buffer]).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Backend, "{e:?}");
    let after = k.upload(DType::U8, &vec![8; buffer]).unwrap();
    k.download(&after, 0, &mut out).unwrap();
    assert!(out.iter().all(|&b| b == 8));
}

/// The n-th piece of work fails on the device, whenever that is: one of the following calls says so, the last wait at the latest.
fn device_error_at() {
    let expected = expected();
    let began = Instant::now();
    for n in [1, 2, 5, 9, 14, 20] {
        let device = open();
        common::control("clear-faults");
        common::control(&format!("set fault=run:*#{n}=507015"));
        let e = compute(&device).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::DeviceLost, "{n}: {e:?}");
        let e = device.synchronize().unwrap_err();
        assert_eq!(e.kind(), ErrorKind::DeviceLost, "{n}: {e:?}");
        assert!(e.to_string().contains("507015"), "{n}: {e}");
        drop(device);
        common::control("clear-faults");
        assert_eq!(computed(&open()).unwrap(), expected, "{n}");
    }
    assert!(began.elapsed() < LONGEST / 2);
}
