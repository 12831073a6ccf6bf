//! The shim, loaded: without torch_npu, with one that does not load, and with a backend that only pretends.
//!
//! What is loaded stays, so each test has a process of its own: `cargo xtask test npu-torch` makes the libraries and starts them.

use super::*;
use libloading::os::unix::Library;
use vlm_core::Error;

const FLOAT: i32 = 6;

fn shim() -> &'static NpuTorch {
    NpuTorch::get().unwrap()
}

/// A function of libtorch's C interface.
fn libtorch<T: Copy>(name: &str) -> T {
    // SAFETY: the functions are asked for with the types of torch/csrc/inductor/aoti_torch/c/shim.h.
    unsafe { *Library::this().get::<T>(name.as_bytes()).unwrap() }
}

/// The elements of a contiguous tensor in the host's memory.
fn elements<'a>(tensor: *mut c_void, len: usize) -> &'a mut [f32] {
    type Get = unsafe extern "C" fn(*mut c_void, *mut *mut c_void) -> i32;
    let mut data = std::ptr::null_mut();
    // SAFETY: the tensor lives, and has `len` numbers; nobody else looks at them.
    unsafe {
        assert_eq!(libtorch::<Get>("aoti_torch_get_data_ptr")(tensor, &raw mut data), 0);
        std::slice::from_raw_parts_mut(data.cast(), len)
    }
}

/// A tensor in the host's memory, as tch would have it.
fn on_the_host(values: &[f32]) -> *mut c_void {
    type Empty = unsafe extern "C" fn(i64, *const i64, *const i64, i32, i32, i32, *mut *mut c_void) -> i32;
    let (size, stride, mut out) = (values.len() as i64, 1, std::ptr::null_mut());
    let empty = libtorch::<Empty>("aoti_torch_empty_strided");
    // SAFETY: one size and one stride; the result is written.
    assert_eq!(unsafe { empty(1, &raw const size, &raw const stride, FLOAT, 0, -1, &raw mut out) }, 0);
    elements(out, values.len()).copy_from_slice(values);
    out
}

#[track_caller]
fn says(error: &Error, kind: ErrorKind, parts: &[&str]) {
    let text = error.to_string();
    assert_eq!(error.kind(), kind, "{text}");
    for part in parts {
        assert!(text.contains(part), "no {part:?} in: {text}");
    }
    assert!(!text.contains('\n') && !text.contains("frame #"), "{text}");
}

/// Every function fails with a text that says what to do.
fn nothing_works() {
    let remedy = ["torch_npu was not loaded", "libhccl.so", "CANN", "torch-npu 2.11.0"];
    says(&shim().device_count().unwrap_err(), ErrorKind::Device, &remedy);
    says(&shim().set_device(0).unwrap_err(), ErrorKind::Device, &remedy);
    says(&shim().synchronize(0).unwrap_err(), ErrorKind::Device, &remedy);
    says(&shim().memory_stats(0).unwrap_err(), ErrorKind::Device, &remedy);
    says(&shim().empty_cache().unwrap_err(), ErrorKind::Device, &remedy);
    says(&shim().empty(&[2, 3], FLOAT, 0).unwrap_err(), ErrorKind::Device, &remedy);
    let x = on_the_host(&[1.0, 2.0]);
    // SAFETY: `x` lives until it is freed, and null is allowed.
    unsafe {
        says(&shim().to_npu(x, 0).unwrap_err(), ErrorKind::Device, &remedy);
        says(&shim().to_npu(std::ptr::null(), 0).unwrap_err(), ErrorKind::Backend, &["null"]);
        assert_eq!(shim().device_of(x).unwrap(), None);
        shim().free(x);
    }
}

#[test]
#[ignore = "needs the shim: cargo xtask test npu-torch"]
fn without_torch_npu() {
    assert_eq!(shim().torch_version(), "2.11.0");
    nothing_works();
    shim().finish().unwrap();
}

#[test]
#[ignore = "needs the shim: cargo xtask test npu-torch"]
fn python_without_torch_npu() {
    let e = shim().start(&Way::from_env()).unwrap_err();
    says(&e, ErrorKind::Device, &["Python has no torch_npu", "python", "libhccl.so", "CANN", "torch-npu 2.11.0"]);
    nothing_works();
}

#[test]
#[ignore = "needs the shim: cargo xtask test npu-torch"]
fn python_without_cann() {
    let e = shim().start(&Way::from_env()).unwrap_err();
    says(
        &e,
        ErrorKind::Device,
        &["torch_npu cannot be imported", "ImportError: libhccl.so: cannot open", "set_env.sh"],
    );
    nothing_works();
}

#[test]
#[ignore = "needs the shim: cargo xtask test npu-torch"]
fn libraries_that_are_none() {
    let start = |path: &Path| shim().start(&Way::Library { path: path.to_owned(), device: 0 }).unwrap_err();
    let folder = std::env::temp_dir().join(format!("vlm-npu-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    says(
        &start(&folder),
        ErrorKind::Device,
        &["libtorch_npu.so does not load", "cannot open shared object file", "CANN"],
    );
    let text = folder.join("libtorch_npu.so");
    std::fs::write(&text, "not a library").unwrap();
    says(&start(&folder), ErrorKind::Device, &["libtorch_npu.so does not load", "LD_LIBRARY_PATH"]);
    says(&start(shim().path()), ErrorKind::Device, &["no torch_npu::init_npu", "build_libtorch_npu.py"]);
    std::fs::remove_dir_all(folder).unwrap();
    nothing_works();
}

/// Tensors go there and back, and a device that is not there is refused.
fn everything_works() {
    assert_eq!(shim().device_count().unwrap(), 2);
    shim().set_device(1).unwrap();
    shim().synchronize(1).unwrap();
    says(&shim().synchronize(2).unwrap_err(), ErrorKind::Device, &["there is no npu:2", "2 devices", "npu-smi"]);
    let values = [1.5, -2.0, 3.25];
    let x = on_the_host(&values);
    // SAFETY: all are live tensors of three numbers, freed once, at the end.
    unsafe {
        let there = shim().to_npu(x, 1).unwrap();
        let again = shim().empty(&[3], FLOAT, 0).unwrap();
        assert_eq!([shim().device_of(there).unwrap(), shim().device_of(again).unwrap()], [Some(1), Some(0)]);
        shim().copy(again, there).unwrap();
        let back = shim().to_cpu(again).unwrap();
        assert_eq!(elements(back, 3), values);
        let other = shim().empty(&[4], FLOAT, 0).unwrap();
        says(&shim().copy(other, there).unwrap_err(), ErrorKind::Backend, &["copies whole tensors only"]);
        for tensor in [x, there, again, back, other] {
            shim().free(tensor);
        }
    }
    says(&shim().empty(&[1], 99, 0).unwrap_err(), ErrorKind::Backend, &["no element type 99"]);
    let large = shim().empty(&[1 << 20, 1 << 20, 4], FLOAT, 0).unwrap_err();
    says(&large, ErrorKind::OutOfMemory, &["out of memory", "smaller batches"]);
}

#[test]
#[ignore = "needs the shim: cargo xtask test npu-torch"]
fn a_pretended_library() {
    shim().start(&Way::from_env()).unwrap();
    everything_works();
    says(&shim().memory_stats(0).unwrap_err(), ErrorKind::Unsupported, &["Python was not loaded"]);
    shim().finish().unwrap();
    says(&shim().finish().unwrap_err(), ErrorKind::Backend, &["was not started"]);
}

#[test]
#[ignore = "needs the shim: cargo xtask test npu-torch"]
fn a_pretended_package() {
    shim().start(&Way::from_env()).unwrap();
    shim().start(&Way::from_env()).unwrap();
    // From another thread too: nobody keeps Python's lock.
    let stats = std::thread::spawn(|| {
        everything_works();
        shim().memory_stats(1).unwrap()
    });
    let stats = stats.join().unwrap();
    assert_eq!([stats.allocated, stats.reserved, stats.peak_allocated], [11, 12, 13]);
    assert_eq!([stats.reused, stats.fresh], [9, 5]);
    shim().empty_cache().unwrap();
    says(&shim().memory_stats(0).unwrap_err(), ErrorKind::Backend, &["Python raised ValueError: nothing was used"]);
    shim().finish().unwrap();
}
