//! CUDA graphs: the contract of [`vlm_core::backend::graphs`] on a GPU.
//!
//! The C++ side of it uses libtorch's CUDA part and is a library of its own, `shim/cuda.cpp`, that this crate holds as bytes. It
//! is loaded after libtorch's CUDA part, from memory: nothing is written to a disk.

use crate::error::{Of, from_text};
use crate::memory;
use crate::storage::own;
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use std::ffi::{CStr, c_char, c_int, c_void};
use std::io::Write;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, FromRawFd};
use std::ptr::{NonNull, null_mut};
use std::sync::OnceLock;
use vlm_core::backend::StorageRef;
use vlm_core::backend::graphs::Graph;
use vlm_core::{Error, ErrorKind, Result};

/// The library, where CUDA's headers were there to compile it.
#[cfg(vlm_graphs)]
const LIBRARY: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/libvlm_cuda_shim.so"));
#[cfg(not(vlm_graphs))]
const LIBRARY: &[u8] = &[];

/// The functions of `shim/cuda.cpp`.
#[derive(Clone, Copy, Debug)]
struct Functions {
    new: unsafe extern "C" fn(c_int, *mut *mut c_void) -> c_int,
    record: unsafe extern "C" fn(*mut c_void) -> c_int,
    finish: unsafe extern "C" fn(*mut c_void) -> c_int,
    replay: unsafe extern "C" fn(*mut c_void) -> c_int,
    free: unsafe extern "C" fn(*mut c_void),
    last_error: unsafe extern "C" fn() -> *const c_char,
}

/// The functions, loaded once; the loader's reason where that fails. libtorch's CUDA part has to be there.
fn functions() -> Result<&'static Functions, &'static str> {
    static LOADED: OnceLock<Result<Functions, String>> = OnceLock::new();
    LOADED.get_or_init(load).as_ref().map_err(String::as_str)
}

fn load() -> Result<Functions, String> {
    if LIBRARY.is_empty() {
        return Err("it was built without CUDA's headers".to_owned());
    }
    // SAFETY: the name is a string that ends in a zero; the descriptor that comes back is ours alone.
    let mut file = unsafe {
        let descriptor = libc::memfd_create(c"vlm_cuda_shim".as_ptr(), libc::MFD_CLOEXEC);
        if descriptor < 0 {
            return Err(format!("no file in memory: {}", std::io::Error::last_os_error()));
        }
        std::fs::File::from_raw_fd(descriptor)
    };
    file.write_all(LIBRARY).map_err(|e| format!("writing it to memory: {e}"))?;
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    // SAFETY: the library is the one that this crate's build made, against the libtorch whose version was checked; it has no
    // initialisers of its own. It stays loaded, as its functions are kept.
    unsafe {
        let library = Library::open(Some(path), RTLD_NOW | RTLD_LOCAL)
            .map_err(|e| std::error::Error::source(&e).map_or_else(|| e.to_string(), ToString::to_string))?;
        let library = ManuallyDrop::new(library);
        let missing = |e: libloading::Error| e.to_string();
        Ok(Functions {
            new: *library.get(b"vlm_graph_new\0").map_err(missing)?,
            record: *library.get(b"vlm_graph_record\0").map_err(missing)?,
            finish: *library.get(b"vlm_graph_finish\0").map_err(missing)?,
            replay: *library.get(b"vlm_graph_replay\0").map_err(missing)?,
            free: *library.get(b"vlm_graph_free\0").map_err(missing)?,
            last_error: *library.get(b"vlm_cuda_last_error\0").map_err(missing)?,
        })
    }
}

/// Whether graphs can be recorded; the reason where not.
pub(crate) fn available() -> Result<(), &'static str> {
    functions().map(drop)
}

impl Functions {
    fn check(&self, op: &'static str, code: c_int) -> Result<()> {
        if code == 0 {
            return Ok(());
        }
        // SAFETY: the function returns this thread's message, a string that ends in a zero; it is copied at once.
        let text = unsafe { CStr::from_ptr((self.last_error)()) }.to_string_lossy().into_owned();
        Err(from_text(op, &text))
    }
}

/// A graph of CUDA's.
struct Recorded {
    functions: &'static Functions,
    graph: NonNull<c_void>,
}

// SAFETY: a graph may be replayed and freed from any thread, one at a time, which `&mut` and the only handle see to: `Recorded` is not
// `Sync`, and is reached through a `Box`.
unsafe impl Send for Recorded {}

impl std::fmt::Debug for Recorded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CUDA graph")
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        // SAFETY: the graph is ours and is freed once.
        unsafe { (self.functions.free)(self.graph.as_ptr()) }
    }
}

impl Graph for Recorded {
    fn replay(&self) -> Result<()> {
        // SAFETY: the graph lives as long as self.
        self.functions.check("replay graph", unsafe { (self.functions.replay)(self.graph.as_ptr()) })
    }
}

/// Runs `work` once as always and once to record it, both on a stream of their own.
pub(crate) fn capture(ordinal: usize, work: &mut dyn FnMut() -> Result<()>) -> Result<Box<dyn Graph>> {
    const OP: &str = "capture graph";
    let functions = functions().map_err(|why| {
        Error::new(ErrorKind::Unsupported, OP, format!("there are no CUDA graphs: {why}"))
            .hint("run `cargo xtask setup libtorch --cuda` and build again")
    })?;
    let mut graph = null_mut();
    // SAFETY: the pointer is written if the code is 0.
    functions.check(OP, unsafe { (functions.new)(ordinal as c_int, &raw mut graph) })?;
    let graph = NonNull::new(graph).ok_or_else(|| Error::new(ErrorKind::Backend, OP, "no graph came back"))?;
    let recorded = Recorded { functions, graph };
    let done = work().and_then(|()| {
        // SAFETY: the graph lives.
        functions.check(OP, unsafe { (functions.record)(graph.as_ptr()) })?;
        work()
    });
    // Also after a failure: the thread goes back to the stream from before.
    // SAFETY: as above.
    let finished = functions.check(OP, unsafe { (functions.finish)(graph.as_ptr()) });
    done.and(finished)?;
    Ok(Box::new(recorded))
}

/// Fills a storage in place, whoever else holds it.
pub(crate) fn write(dst: &StorageRef, bytes: &[u8]) -> Result<()> {
    let (storage, size) = (own(dst)?, dst.len() * dst.dtype().size());
    if bytes.len() != size {
        let message = format!("{} bytes for a storage of {size}", bytes.len());
        return Err(Error::new(ErrorKind::Shape, "write", message));
    }
    if !bytes.is_empty() {
        memory::write_in_place(storage, bytes).of("write")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::library::CudaPart;

    /// Needs libtorch's CUDA part, not a GPU: every function that the library uses has to be found.
    #[test]
    #[allow(clippy::print_stdout)]
    fn the_library_fits_libtorchs_cuda_part() {
        match CudaPart::get() {
            CudaPart::Ready { .. } | CudaPart::NoDevice { .. } if cfg!(vlm_graphs) => super::available().unwrap(),
            other => println!("SKIPPED: {}", other.found()),
        }
    }
}
