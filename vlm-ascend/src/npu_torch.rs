//! libtorch's tensors on an NPU, through torch_npu: the way for programs that have tch and want it to run there.
//!
//! tch's `Device` knows no NPU, but libtorch does once torch_npu is in the process: every operation on a tensor that lies there is
//! computed there. What remains is to load torch_npu and to bring tensors there and back. A small library in C++
//! (`shim/npu_torch.cpp`, made by `cargo xtask npu-torch`) does both. It is loaded when it is asked for; this crate links neither
//! libtorch nor tch, so tensors are passed as the addresses that `tch::Tensor::as_ptr` gives and `tch::Tensor::from_ptr` takes.
//!
//! ```no_run
//! use vlm_ascend::npu_torch::{NpuTorch, Way};
//! # fn tensor() -> *const std::ffi::c_void { std::ptr::null() }
//! # fn main() -> vlm_core::Result<()> {
//! let npu = NpuTorch::get()?;
//! npu.start(&Way::from_env())?;
//! # let on_cpu = tensor();
//! // SAFETY: the address is that of a live tensor: `tensor.as_ptr().cast()`.
//! let there = unsafe { npu.to_npu(on_cpu, 0)? };
//! // ... `tch::Tensor::from_ptr(there.cast())` owns it now.
//! # Ok(())
//! # }
//! ```

mod error;
mod functions;
mod search;
#[cfg(test)]
mod tests;

use error::Message;
use functions::Functions;
use std::ffi::{CString, c_int, c_void};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use vlm_core::backend::MemoryStats;
use vlm_core::{Error, ErrorKind, Result};

/// The interface of the shim that this crate calls.
const INTERFACE: c_int = 1;

/// How torch_npu gets into the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// An embedded Python imports it: works with the wheels that are published.
    Python {
        /// The interpreter whose packages are used; `python3` if none is named.
        interpreter: Option<PathBuf>,
    },
    /// The library of a torch_npu that was built for C++ (`build_libtorch_npu.py`), which needs no Python.
    Library {
        /// `libtorch_npu.so`, or the folder that holds it or its `lib`.
        path: PathBuf,
        /// The device that it starts first.
        device: usize,
    },
}

impl Way {
    /// The library that `VLM_NPU_LIBTORCH` names, else Python: the interpreter `VLM_NPU_PYTHON` or `python3`.
    pub fn from_env() -> Self {
        let variable = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        match variable("VLM_NPU_LIBTORCH") {
            Some(path) => Way::Library { path, device: 0 },
            None => Way::Python { interpreter: variable("VLM_NPU_PYTHON") },
        }
    }
}

/// The shim, loaded: the door to torch_npu's devices.
#[derive(Debug)]
pub struct NpuTorch {
    functions: Functions,
    path: PathBuf,
}

impl NpuTorch {
    /// The shim, which is looked for once per process: where `VLM_NPU_TORCH` says, else beside the program, else where the
    /// system's loader looks.
    ///
    /// # Errors
    /// [`ErrorKind::Device`] that names what was tried, or the libtorch that is missing or of another version.
    pub fn get() -> Result<&'static NpuTorch> {
        static FOUND: OnceLock<std::result::Result<NpuTorch, search::Absent>> = OnceLock::new();
        FOUND.get_or_init(|| NpuTorch::load(&search::candidates())).as_ref().map_err(search::Absent::error)
    }

    fn load(candidates: &[PathBuf]) -> std::result::Result<NpuTorch, search::Absent> {
        let (library, path) = search::open(candidates)?;
        let broken = |fact: String| search::Absent::broken(&path, fact);
        // SAFETY: the library has the shim's name, and its functions the types of its source, which lies beside this crate; that it
        // is of this version is looked at before anything else is called.
        let functions = unsafe { Functions::find(&library) }.map_err(|name| broken(format!("it has no {name}")))?;
        // SAFETY: as above.
        let interface = unsafe { (functions.interface)() };
        if interface != INTERFACE {
            return Err(broken(format!("its interface is {interface}, expected {INTERFACE}")));
        }
        let (mut made_for, mut runs) = (0u64, 0u64);
        // SAFETY: both are numbers that the function writes.
        unsafe { (functions.versions)(&raw mut made_for, &raw mut runs) };
        if made_for != runs {
            let [made_for, runs] = [made_for, runs].map(version);
            return Err(broken(format!("it was made for libtorch {made_for}, and {runs} is in this process")));
        }
        let _stays = library; // libtorch keeps pointers to what it loads: see the type of `library`.
        Ok(NpuTorch { functions, path })
    }

    /// The file that was loaded.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The version of libtorch that the process has.
    pub fn torch_version(&self) -> String {
        let (mut made_for, mut runs) = (0u64, 0u64);
        // SAFETY: both are numbers that the function writes.
        unsafe { (self.functions.versions)(&raw mut made_for, &raw mut runs) };
        version(runs)
    }

    /// Brings torch_npu into the process. Through Python this takes seconds; before threads are started is the best time.
    ///
    /// # Errors
    /// [`ErrorKind::Device`] that names the library, package or version that is missing, and the remedy.
    pub fn start(&self, way: &Way) -> Result<()> {
        const OP: &str = "load torch_npu";
        match way {
            Way::Python { interpreter } => {
                let python = search::python(interpreter.as_deref())?;
                let (libraries, program) = (text(OP, &python.libraries)?, text(OP, &python.program)?);
                self.call(OP, |f, m| {
                    // SAFETY: both are C strings, and the message has the room that is said.
                    unsafe { (f.load_python)(libraries.as_ptr(), program.as_ptr(), m.at(), m.room()) }
                })
            }
            Way::Library { path, device } => {
                let path = text(OP, &search::libtorch_npu(path).display().to_string())?;
                let device = number(OP, *device)?;
                // SAFETY: as above.
                self.call(OP, |f, m| unsafe { (f.load_library)(path.as_ptr(), device, m.at(), m.room()) })
            }
        }
    }

    /// How many NPUs torch_npu sees.
    ///
    /// # Errors
    /// [`ErrorKind::Device`] if torch_npu is not in the process.
    pub fn device_count(&self) -> Result<usize> {
        let mut count = 0;
        // SAFETY: the count is a number that the function writes.
        self.call("count devices", |f, m| unsafe { (f.device_count)(&raw mut count, m.at(), m.room()) })?;
        Ok(usize::try_from(count).unwrap_or(0))
    }

    /// Makes a device this thread's current one.
    ///
    /// # Errors
    /// If there is no such device, or those of torch_npu.
    pub fn set_device(&self, index: usize) -> Result<()> {
        let index = number("set device", index)?;
        // SAFETY: no operands but a number.
        self.call("set device", |f, m| unsafe { (f.set_device)(index, m.at(), m.room()) })
    }

    /// Waits until all work of a device is done.
    ///
    /// # Errors
    /// If there is no such device, or what went wrong in that work.
    pub fn synchronize(&self, index: usize) -> Result<()> {
        let index = number("synchronize", index)?;
        // SAFETY: no operands but a number.
        self.call("synchronize", |f, m| unsafe { (f.synchronize)(index, m.at(), m.room()) })
    }

    /// What torch_npu's caching allocator holds.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] for a torch_npu without Python whose allocator does not tell.
    pub fn memory_stats(&self, index: usize) -> Result<MemoryStats> {
        let index = number("memory statistics", index)?;
        let mut out = [0u64; 5];
        // SAFETY: `out` has room for the five numbers.
        self.call("memory statistics", |f, m| unsafe { (f.memory_stats)(index, out.as_mut_ptr(), m.at(), m.room()) })?;
        let mut stats = MemoryStats::default();
        [stats.allocated, stats.reserved, stats.peak_allocated, _, stats.fresh] = out;
        stats.reused = out[3].saturating_sub(out[4]);
        Ok(stats)
    }

    /// Gives unused memory of all devices back to the driver.
    ///
    /// # Errors
    /// As for [`NpuTorch::memory_stats`].
    pub fn empty_cache(&self) -> Result<()> {
        // SAFETY: no operands.
        self.call("empty cache", |f, m| unsafe { (f.empty_cache)(m.at(), m.room()) })
    }

    /// Lets torch_npu give its devices back; the last thing that a program does with it.
    ///
    /// # Errors
    /// Those of torch_npu.
    pub fn finish(&self) -> Result<()> {
        // SAFETY: no operands.
        self.call("finish torch_npu", |f, m| unsafe { (f.finish)(m.at(), m.room()) })
    }

    /// A tensor on an NPU whose elements are not set. `dtype` is the number of libtorch's element type, that of `tch::Kind`.
    /// The result is a new `at::Tensor`, which its receiver owns.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`], or if there is no such device or element type.
    pub fn empty(&self, shape: &[usize], dtype: i32, index: usize) -> Result<*mut c_void> {
        let index = number("alloc", index)?;
        let sizes: Vec<i64> = shape.iter().map(|&n| i64::try_from(n).unwrap_or(i64::MAX)).collect();
        let mut out = std::ptr::null_mut();
        self.call("alloc", |f, m| {
            // SAFETY: there are as many sizes as is said; `out` is written if the code is 0.
            unsafe { (f.empty)(sizes.as_ptr(), sizes.len(), dtype, index, &raw mut out, m.at(), m.room()) }
        })?;
        Ok(out)
    }

    /// The tensor on an NPU: a new `at::Tensor`, which its receiver owns. One that is there already shares its memory.
    ///
    /// # Safety
    /// `tensor` is null or points to a live `at::Tensor`.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`], if there is no such device, or those of torch_npu.
    pub unsafe fn to_npu(&self, tensor: *const c_void, index: usize) -> Result<*mut c_void> {
        let index = number("to npu", index)?;
        let mut out = std::ptr::null_mut();
        // SAFETY: the tensor is the caller's promise, null is refused; `out` is written if the code is 0.
        self.call("to npu", |f, m| unsafe { (f.to_device)(tensor, index, &raw mut out, m.at(), m.room()) })?;
        Ok(out)
    }

    /// The tensor in the host's memory: a new `at::Tensor`, which its receiver owns.
    ///
    /// # Safety
    /// As for [`NpuTorch::to_npu`].
    ///
    /// # Errors
    /// Those of torch_npu, also of work that is not done yet.
    pub unsafe fn to_cpu(&self, tensor: *const c_void) -> Result<*mut c_void> {
        let mut out = std::ptr::null_mut();
        // SAFETY: as for `to_npu`.
        self.call("to cpu", |f, m| unsafe { (f.to_cpu)(tensor, &raw mut out, m.at(), m.room()) })?;
        Ok(out)
    }

    /// Copies the elements of a tensor into another one, on whatever devices they are.
    ///
    /// # Safety
    /// Both as for [`NpuTorch::to_npu`], and nothing else writes to `to` or reads from it meanwhile.
    ///
    /// # Errors
    /// If the shapes differ, or those of torch_npu.
    pub unsafe fn copy(&self, to: *mut c_void, from: *const c_void) -> Result<()> {
        // SAFETY: as for `to_npu`.
        self.call("copy", |f, m| unsafe { (f.copy)(to, from, m.at(), m.room()) })
    }

    /// The number of the NPU that a tensor is on, `None` if it is on none.
    ///
    /// # Safety
    /// As for [`NpuTorch::to_npu`].
    ///
    /// # Errors
    /// If there is no tensor.
    pub unsafe fn device_of(&self, tensor: *const c_void) -> Result<Option<usize>> {
        let mut index = -1;
        // SAFETY: as for `to_npu`; the index is a number that the function writes.
        self.call("device of a tensor", |f, m| unsafe { (f.device_of)(tensor, &raw mut index, m.at(), m.room()) })?;
        Ok(usize::try_from(index).ok())
    }

    /// Deletes a tensor that nobody else owns.
    ///
    /// # Safety
    /// `tensor` is null, or was returned by this type and is neither deleted nor given to tch.
    pub unsafe fn free(&self, tensor: *mut c_void) {
        // SAFETY: the caller's promise; deleting null does nothing.
        unsafe { (self.functions.free)(tensor) }
    }

    fn call(&self, op: &'static str, body: impl FnOnce(&Functions, &mut Message) -> c_int) -> Result<()> {
        let mut message = Message::new();
        match body(&self.functions, &mut message) {
            0 => Ok(()),
            code => Err(message.error(op, code)),
        }
    }
}

/// `2.11.0` of a number whose bytes are major, minor and patch version, the first one highest.
fn version(number: u64) -> String {
    let [major, minor, patch, ..] = number.to_be_bytes();
    format!("{major}.{minor}.{patch}")
}

fn text(op: &'static str, text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| Error::new(ErrorKind::Config, op, format!("a name has a zero in it: {text:?}")))
}

/// The number of a device as the shim takes it; of one that cannot be there, the largest.
fn number(op: &'static str, index: usize) -> Result<c_int> {
    c_int::try_from(index).map_err(|_| Error::new(ErrorKind::Device, op, format!("there is no npu:{index}")))
}
