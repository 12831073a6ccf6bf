//! The simulator, for the tests of this folder.
#![allow(dead_code)] // Not every test file uses all of it.

pub(crate) mod fused;

use std::ffi::{CString, c_char};
use std::path::{Path, PathBuf};
use vlm_ascend_sim::libraries::{Options, write};

/// The simulator as cargo built it, beside the test's executable.
pub(crate) fn core() -> PathBuf {
    let exe = std::env::current_exe().expect("a test has an executable");
    let beside = exe.parent().expect("it lies in a folder");
    let found = [beside, beside.parent().unwrap_or(beside)].map(|f| f.join("libvlm_ascend_sim.so"));
    found.into_iter().find(|p| p.exists()).expect("cargo builds libvlm_ascend_sim.so for the tests")
}

/// Writes a set of the simulator's libraries into a folder of this name, once per process.
pub(crate) fn libraries(name: &str, options: &Options) -> PathBuf {
    // Tests of one process run side by side.
    static MAKING: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _one = MAKING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("ascend-{name}-{}", std::process::id()));
    if !folder.exists() {
        write(&folder, &core(), options).expect("the simulator's libraries can be made");
    }
    folder
}

/// Has this process use the simulator with these settings (`chip=…,schedule=…,seed=…`), for all of its tests.
pub(crate) fn simulator(settings: &str) {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let folder = libraries("sim", &Options::default());
        // SAFETY: it happens once, before the simulator or anything else of the test reads the environment; the test runner's own
        // threads only read it through the standard library, which locks.
        unsafe {
            std::env::set_var("VLM_ASCEND_LIBRARIES", folder);
            std::env::set_var("VLM_ASCEND_SIM", format!("strict=1,{settings}"));
        }
        vlm_ascend::register().expect("the backend API is the same");
    });
}

/// Says something to the simulator in this process; its answer.
pub(crate) fn control(command: &str) -> String {
    type Control = unsafe extern "C" fn(*const c_char, *mut c_char, usize) -> isize;
    let folder = std::env::var_os("VLM_ASCEND_LIBRARIES").expect("the simulator was chosen");
    let library = Path::new(&folder).join("libascendcl.so");
    // SAFETY: the library is the simulator's own and is loaded already.
    let library = unsafe { libloading::Library::new(library) }.expect("the simulator loads");
    // SAFETY: the simulator exports this function with this type.
    let ask = unsafe { library.get::<Control>(b"vlmAscendSimControl\0") }.expect("the simulator can be controlled");
    let text = CString::new(command).expect("a command has no zeros");
    let mut answer = vec![0u8; 1 << 20];
    // SAFETY: a C string and a buffer with its size.
    let n = unsafe { ask(text.as_ptr(), answer.as_mut_ptr().cast(), answer.len()) };
    let len = if n < 0 { -1 - n } else { n } as usize;
    let answer = String::from_utf8_lossy(&answer[..len.min(answer.len() - 1)]).into_owned();
    assert!(n >= 0, "{command}: {answer}");
    answer
}

/// What the simulator has seen so far.
pub(crate) fn report() -> serde_json::Value {
    serde_json::from_str(&control("report")).expect("the report is JSON")
}
