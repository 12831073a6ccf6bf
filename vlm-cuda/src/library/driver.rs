//! NVIDIA's driver, asked itself.

use std::ffi::{CStr, c_char, c_int};
use std::mem::ManuallyDrop;
use std::sync::OnceLock;

/// The first driver that CUDA 13 works with.
const NEEDED: &str = "580";
/// The version of CUDA that torch 2.11.0 is built with, as the driver counts.
const NEEDED_CUDA: i32 = 13_000;

/// What the driver says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Driver {
    /// There is no `libcuda.so.1`.
    Missing,
    /// It is there and does not start: the code of `cuInit`.
    Fails(i32),
    /// It knows CUDA up to this version, `13000` for 13.0.
    Knows(i32),
}

impl Driver {
    /// Asks, once per process.
    pub fn get() -> &'static Driver {
        static FOUND: OnceLock<Driver> = OnceLock::new();
        FOUND.get_or_init(ask)
    }

    fn old(&self) -> bool {
        matches!(self, Driver::Knows(v) if v / 1000 < NEEDED_CUDA / 1000)
    }

    /// What was found, in a sentence.
    pub fn found(&self) -> String {
        match self {
            Driver::Missing => "there is no NVIDIA driver: libcuda.so.1 was not found".to_owned(),
            Driver::Fails(100) => "the NVIDIA driver finds no GPU (cuInit: 100)".to_owned(),
            Driver::Fails(code) => format!("the NVIDIA driver does not start (cuInit: {code})"),
            Driver::Knows(v) if self.old() => {
                format!("the NVIDIA driver is too old: it knows CUDA {}.{}, needed is 13.0", v / 1000, v % 1000 / 10)
            }
            Driver::Knows(v) => format!("the NVIDIA driver knows CUDA {}.{}", v / 1000, v % 1000 / 10),
        }
    }

    /// Why libtorch sees no GPU.
    pub(super) fn why_none(&self) -> String {
        match self {
            Driver::Knows(_) if !self.old() => format!("libtorch sees no GPU, though {}", self.found()),
            _ => self.found(),
        }
    }

    /// What the driver calls a GPU.
    pub(crate) fn device_name(ordinal: usize) -> String {
        name(ordinal).unwrap_or_else(|| format!("NVIDIA GPU {ordinal}"))
    }

    /// What to do where libtorch sees no GPU.
    pub fn remedy(&self) -> String {
        match self {
            Driver::Missing => format!(
                "install NVIDIA's driver {NEEDED} or newer; in a container start it with `--gpus all` and NVIDIA's container toolkit"
            ),
            Driver::Fails(100) => {
                "look with `nvidia-smi` whether the machine has a GPU; in a container start it with `--gpus all`"
                    .to_owned()
            }
            Driver::Fails(_) => format!("install NVIDIA's driver {NEEDED} or newer, and restart the machine"),
            Driver::Knows(_) if self.old() => {
                format!("install NVIDIA's driver {NEEDED} or newer, or use a program built for an older CUDA")
            }
            Driver::Knows(_) => "look whether CUDA_VISIBLE_DEVICES hides the GPUs".to_owned(),
        }
    }
}

fn ask() -> Driver {
    type Init = unsafe extern "C" fn(u32) -> c_int;
    type Version = unsafe extern "C" fn(*mut c_int) -> c_int;
    // SAFETY: the driver's library has no initialisers that could do harm; it stays loaded.
    let Ok(library) = (unsafe { libloading::Library::new("libcuda.so.1") }) else { return Driver::Missing };
    let library = ManuallyDrop::new(library);
    let mut version = 0;
    // SAFETY: both functions have these signatures in every version of the driver's interface.
    let code = unsafe {
        let (Ok(init), Ok(ask)) = (library.get::<Init>(b"cuInit\0"), library.get::<Version>(b"cuDriverGetVersion\0"))
        else {
            return Driver::Fails(-1);
        };
        ask(&raw mut version);
        init(0)
    };
    // A driver that is too old may fail for that very reason: its version says more.
    if code == 0 || (version > 0 && version < NEEDED_CUDA) { Driver::Knows(version) } else { Driver::Fails(code) }
}

fn name(ordinal: usize) -> Option<String> {
    type Get = unsafe extern "C" fn(*mut c_int, c_int) -> c_int;
    type Name = unsafe extern "C" fn(*mut c_char, c_int, c_int) -> c_int;
    if !matches!(Driver::get(), Driver::Knows(_)) {
        return None;
    }
    let mut text = [0 as c_char; 256];
    // SAFETY: the library is loaded already and stays; the functions have these signatures in every version of the interface;
    // the text ends in a zero, for which its last byte is kept.
    unsafe {
        let library = ManuallyDrop::new(libloading::Library::new("libcuda.so.1").ok()?);
        let (get, name) = (library.get::<Get>(b"cuDeviceGet\0").ok()?, library.get::<Name>(b"cuDeviceGetName\0").ok()?);
        let mut device = 0;
        let found = get(&raw mut device, c_int::try_from(ordinal).ok()?) == 0;
        let told = found && name(text.as_mut_ptr(), text.len() as c_int - 1, device) == 0;
        told.then(|| CStr::from_ptr(text.as_ptr()).to_string_lossy().into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finding_has_its_remedy() {
        assert!(Driver::Missing.remedy().contains("580") && Driver::Missing.found().contains("no NVIDIA driver"));
        assert!(
            Driver::Knows(12_040).found().contains("too old: it knows CUDA 12.4"),
            "{}",
            Driver::Knows(12_040).found()
        );
        assert!(Driver::Knows(12_040).remedy().contains("580"));
        assert!(Driver::Knows(13_000).found().ends_with("CUDA 13.0"));
        assert!(Driver::Knows(13_000).why_none().starts_with("libtorch sees no GPU"));
        assert!(Driver::Fails(100).found().contains("no GPU"));
    }
}
