//! The vendor's libraries, found and loaded when the first device is asked for.
//!
//! Nothing is linked: the program starts on every machine. What is missing, a library or a symbol, becomes an error that names it
//! when it is needed; what is only missing in an older CANN makes the backend do without.

mod search;
mod symbols;

pub use search::Attempt;
pub(crate) use symbols::{Op, RunPhase, plan};

use symbols::Operations;

use std::ffi::{CStr, c_void};
use std::ptr::NonNull;
use std::sync::OnceLock;
use vlm_ascend_sys::Functions;
use vlm_core::{Error, ErrorKind, Result};

/// The part of a library group that is needed: without it no device opens.
const NEEDED: [&str; 16] = [
    "aclInit",
    "aclrtCreateContext",
    "aclrtSetCurrentContext",
    "aclrtCreateStream",
    "aclrtSynchronizeStream",
    "aclrtMalloc",
    "aclrtFree",
    "aclrtMallocHost",
    "aclrtFreeHost",
    "aclrtMemcpyAsync",
    "aclrtGetDeviceCount",
    "aclrtGetSocName",
    "aclCreateTensor",
    "aclDestroyTensor",
    "aclCreateScalar",
    "aclCreateIntArray",
];

/// AscendCL and aclnn as this process has them.
pub struct Library {
    functions: Functions,
    operations: Operations,
    loaded: Vec<search::Loaded>,
    attempts: Vec<Attempt>,
}

impl std::fmt::Debug for Library {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Library").field("loaded", &self.loaded).finish_non_exhaustive()
    }
}

/// Why the libraries cannot be used.
#[derive(Clone, Debug)]
pub struct Missing {
    /// What is missing.
    pub what: String,
    /// What to do.
    pub remedy: String,
    /// Every place that was looked at, with the loader's answer.
    pub attempts: Vec<Attempt>,
}

impl Missing {
    /// As an error of opening a device.
    pub(crate) fn error(&self) -> Error {
        let mut error = Error::new(ErrorKind::Device, "open device", self.what.clone());
        for a in self.attempts.iter().filter(|a| a.problem.is_some()).take(6) {
            error = error.with("tried", a.to_string());
        }
        error.hint(self.remedy.clone())
    }
}

const INSTALL: &str = "install CANN (toolkit and kernels) and source its set_env.sh, or set ASCEND_HOME_PATH to its folder; the image vlm-ascend \
     has it";

impl Library {
    /// The libraries, which are looked for once per process.
    ///
    /// # Errors
    /// What is missing.
    pub fn get() -> std::result::Result<&'static Library, &'static Missing> {
        static FOUND: OnceLock<std::result::Result<Library, Missing>> = OnceLock::new();
        FOUND.get_or_init(Library::load).as_ref()
    }

    fn load() -> std::result::Result<Library, Missing> {
        let (loaded, attempts) = search::load_all();
        let missing = |what: String, remedy: &str, attempts: &[Attempt]| Missing {
            what,
            remedy: remedy.to_owned(),
            attempts: attempts.to_vec(),
        };
        if !loaded.iter().any(|l| l.group == search::Group::Runtime) {
            return Err(missing(
                "no AscendCL: neither libascendcl.so nor libacl_rt.so loads".to_owned(),
                INSTALL,
                &attempts,
            ));
        }
        let find = |name: &CStr| -> Option<NonNull<c_void>> { loaded.iter().find_map(|l| l.symbol(name)) };
        // SAFETY: the symbols come from AscendCL's own libraries, or from ones that stand in for them under their names; that their
        // functions have the declared types is checked against the vendor's headers (`cargo xtask test ascend-headers`).
        let functions = unsafe { Functions::load(&mut |n| find(n)) };
        let operations = Operations::load(&find);
        if let Some(name) = NEEDED.iter().find(|n| !has(&find, n)) {
            let remedy = "this CANN is older than 7.0 or not whole: install 8.0 or newer, toolkit and kernels";
            return Err(missing(format!("AscendCL has no {name}"), remedy, &attempts));
        }
        let library = Library { functions, operations, loaded, attempts };
        library.initialize().map_err(|(what, remedy)| missing(what, &remedy, &library.attempts))?;
        Ok(library)
    }

    /// `aclInit`. That another part of the process was there first is no harm.
    fn initialize(&self) -> std::result::Result<(), (String, String)> {
        let Some(init) = self.functions.aclInit else { unreachable!("it is one of NEEDED") };
        // SAFETY: null asks for the defaults.
        match unsafe { init(std::ptr::null()) } {
            0 | crate::error::REPEAT_INITIALIZE => Ok(()),
            crate::error::STUB => Err((
                "the AscendCL that was loaded is CANN's stub, which only serves linking".to_owned(),
                "take lib64/stub and devlib out of LD_LIBRARY_PATH; on a machine with an NPU the driver's libraries come first".to_owned(),
            )),
            code => {
                let text = crate::error::recent(&self.functions).unwrap_or_default();
                Err((format!("aclInit failed with {code} {text}"), crate::error::remedy(code).to_owned()))
            }
        }
    }

    /// The functions.
    pub fn functions(&self) -> &Functions {
        &self.functions
    }

    pub(crate) fn operations(&self) -> &Operations {
        &self.operations
    }

    /// Every place that was looked at.
    pub fn attempts(&self) -> &[Attempt] {
        &self.attempts
    }

    /// The files that were loaded.
    pub fn files(&self) -> Vec<String> {
        self.loaded.iter().map(|l| l.name.clone()).collect()
    }

    /// Whether these are the simulator's libraries and no vendor's.
    pub fn is_simulator(&self) -> bool {
        self.loaded.iter().any(|l| l.symbol(c"vlmAscendSimVersion").is_some())
    }

    /// Whether both phases of an operation are there: `has_operation("RmsNorm")`.
    pub fn has_operation(&self, name: &str) -> bool {
        self.operations.has(name)
    }

    /// The version of CANN, where the libraries or the installation say it.
    pub fn cann_version(&self) -> Option<String> {
        search::version_of_runtime(&self.functions).or_else(search::version_of_installation)
    }
}

fn has(find: &impl Fn(&CStr) -> Option<NonNull<c_void>>, name: &str) -> bool {
    std::ffi::CString::new(name).is_ok_and(|n| find(&n).is_some())
}

/// The function, or an error that names it.
macro_rules! function {
    ($library:expr, $name:ident) => {
        $library.functions().$name.ok_or_else(|| crate::library::no_function(stringify!($name)))
    };
}
pub(crate) use function;

/// What is said where this CANN has no such function.
#[cold]
pub(crate) fn no_function(name: &'static str) -> Error {
    Error::new(ErrorKind::Unsupported, name, format!("this CANN has no {name}"))
        .hint("install a newer CANN; `doctor` says which one was found")
}

/// The libraries for an operation on a device.
///
/// # Errors
/// [`ErrorKind::Device`] naming what is missing.
pub(crate) fn library() -> Result<&'static Library> {
    Library::get().map_err(Missing::error)
}
