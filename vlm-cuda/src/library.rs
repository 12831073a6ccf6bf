//! Finding libtorch's CUDA part at run time.
//!
//! The program links libtorch_cpu alone, so that it starts on every machine. `libtorch_cuda.so` is loaded by its absolute path
//! when a device is first asked for; its kernels register themselves with libtorch. Once loaded it stays.

mod driver;
mod search;

pub use driver::Driver;

use crate::shim;
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use vlm_core::{Error, ErrorKind};

/// The libtorch that this crate is made for.
pub const VERSION: &str = "2.11.0";

/// What a libtorch without a version says.
const NO_VERSION: &str = "0.0.0";

/// What came of looking for libtorch's CUDA part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CudaPart {
    /// It is there and sees this many devices.
    Ready {
        /// Where it is.
        path: PathBuf,
        /// How many GPUs there are.
        devices: usize,
    },
    /// There is no `libtorch_cuda.so`.
    Absent {
        /// Where it was looked for.
        tried: Vec<PathBuf>,
    },
    /// It is there and does not load, or is of another version.
    Broken {
        /// Where it is.
        path: PathBuf,
        /// The loader's reason.
        reason: String,
    },
    /// It is loaded and finds no device.
    NoDevice {
        /// Where it is.
        path: PathBuf,
        /// libtorch's reason.
        reason: String,
    },
}

impl CudaPart {
    /// Looks for it, once per process.
    pub fn get() -> &'static CudaPart {
        static FOUND: OnceLock<CudaPart> = OnceLock::new();
        FOUND.get_or_init(find)
    }

    /// How many GPUs can be opened.
    pub fn devices(&self) -> usize {
        if let CudaPart::Ready { devices, .. } = self { *devices } else { 0 }
    }

    /// What was found, in a sentence.
    pub fn found(&self) -> String {
        match self {
            CudaPart::Ready { path, devices } => format!("{}, {devices} devices", path.display()),
            CudaPart::Absent { tried } => {
                let list: Vec<String> = tried.iter().map(|p| p.display().to_string()).collect();
                format!("the CUDA part of libtorch is missing: no libtorch_cuda.so in {}", list.join(", "))
            }
            CudaPart::Broken { path, reason } => format!("{} does not load: {reason}", path.display()),
            CudaPart::NoDevice { reason, .. } => reason.clone(),
        }
    }

    /// What to do, if something is wrong.
    pub fn remedy(&self) -> Option<String> {
        match self {
            CudaPart::Ready { .. } => None,
            CudaPart::Absent { .. } => Some(format!(
                "run `cargo xtask setup libtorch --cuda`, or set VLM_LIBTORCH to the folder torch/lib of torch {VERSION} for CUDA"
            )),
            CudaPart::Broken { reason, .. } if reason.contains("version") => {
                Some(format!("install torch {VERSION} for CUDA, or set VLM_LIBTORCH to the folder torch/lib of it"))
            }
            CudaPart::Broken { reason, .. } => {
                let library = reason.split(':').next().filter(|l| l.contains(".so")).unwrap_or("NVIDIA's libraries");
                Some(format!(
                    "{library} has to be found: run `cargo xtask setup libtorch --cuda`, or install all packages that torch {VERSION} for CUDA asks for"
                ))
            }
            CudaPart::NoDevice { .. } => Some(Driver::get().remedy()),
        }
    }

    /// Why a GPU cannot be opened.
    pub(crate) fn error(&self, ordinal: usize) -> Error {
        let message = match self {
            CudaPart::Ready { devices: 1, .. } => format!("there is no cuda:{ordinal}: this machine has cuda:0 alone"),
            CudaPart::Ready { devices, .. } => {
                format!("there is no cuda:{ordinal}: this machine has cuda:0 to cuda:{}", devices - 1)
            }
            other => other.found(),
        };
        let error = Error::new(ErrorKind::Device, "open device", message);
        let error = match std::env::var("CUDA_VISIBLE_DEVICES") {
            Ok(visible) => error.with("CUDA_VISIBLE_DEVICES", format!("{visible:?}")),
            Err(_) => error,
        };
        error.hint(self.remedy().unwrap_or_else(|| "use one that is there; `doctor` lists them".to_owned()))
    }
}

/// Where the libtorch that runs was loaded from, and its version.
pub(crate) fn running() -> (Option<PathBuf>, String) {
    (search::loaded("libtorch_cpu.so"), shim::version())
}

/// What is wrong with the libtorch that runs, and the remedy.
pub(crate) fn wrong() -> Option<(String, String)> {
    let (path, version) = running();
    if version == VERSION {
        return None;
    }
    let path = path.map_or_else(String::new, |p| format!(" ({})", p.display()));
    // Stand-ins that let a program start without libtorch have no version.
    let found = if version == NO_VERSION {
        format!("there is no libtorch: a stand-in was loaded in its place{path}")
    } else {
        format!("libtorch is {version}{path}, expected {VERSION}")
    };
    let remedy = format!(
        "install torch {VERSION} (in vlm's workspace: `cargo xtask setup libtorch`) and put its folder torch/lib first in LD_LIBRARY_PATH"
    );
    Some((found, remedy))
}

/// Fails if the libtorch that runs is none, or another one than this crate is made for.
pub(crate) fn check() -> Result<(), Error> {
    wrong().map_or(Ok(()), |(found, remedy)| Err(Error::new(ErrorKind::Device, "open device", found).hint(remedy)))
}

fn find() -> CudaPart {
    if let Some((reason, _)) = wrong() {
        return CudaPart::Broken { path: running().0.unwrap_or_default(), reason };
    }
    let folders = search::folders();
    let Some(path) = folders.iter().map(|f| f.join("libtorch_cuda.so")).find(|p| p.exists()) else {
        return CudaPart::Absent { tried: folders };
    };
    if let Some(other) = search::version_beside(&path).filter(|v| !same(v)) {
        let reason = format!("it is of version {other}, this program is made for {VERSION}");
        return CudaPart::Broken { path, reason };
    }
    if let Err(reason) = load(&path) {
        return CudaPart::Broken { path, reason };
    }
    match shim::cuda_devices() {
        Ok(0) => CudaPart::NoDevice { path, reason: Driver::get().why_none() },
        Ok(devices) => CudaPart::Ready { path, devices },
        Err(e) => CudaPart::NoDevice { path, reason: e.to_string() },
    }
}

/// `2.11.0+cu130` is 2.11.0.
fn same(version: &str) -> bool {
    version.split('+').next() == Some(VERSION)
}

/// Loads a library for the whole process and for good: libtorch keeps pointers into it.
fn load(path: &Path) -> Result<(), String> {
    use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
    // SAFETY: the library's initialisers are libtorch's: they register kernels with the libtorch_cpu that is loaded, which is
    // of the same version. It is never unloaded.
    let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_GLOBAL) };
    let library = library.map_err(|e| {
        let text = std::error::Error::source(&e).map_or_else(|| e.to_string(), ToString::to_string);
        text.lines().next().unwrap_or_default().to_owned()
    })?;
    let _stays = ManuallyDrop::new(library);
    Ok(())
}
