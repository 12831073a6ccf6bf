//! Where the libraries are looked for.

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
use std::ffi::{CStr, c_char, c_void};
use std::fmt;
use std::path::PathBuf;
use std::ptr::NonNull;
use vlm_ascend_sys::Functions;

/// What a library is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    Runtime,
    Operators,
    Collectives,
}

/// Each group's libraries, in the order of looking. Newer versions of CANN split what older ones have in one, so all of a group
/// are loaded.
const GROUPS: [(Group, &[&str]); 3] = [
    (Group::Runtime, &["libascendcl.so", "libacl_rt.so", "libacl_mdl.so"]),
    (
        Group::Operators,
        &[
            "libnnopbase.so",
            "libcust_opapi.so",
            "libopapi.so",
            "libopapi_math.so",
            "libopapi_nn.so",
            "libopapi_cv.so",
            "libopapi_transformer.so",
        ],
    ),
    (Group::Collectives, &["libhccl.so", "libhcomm.so"]),
];

/// One try to load a library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The name or path that was asked for.
    pub asked: String,
    /// Why it did not load; `None` if it did.
    pub problem: Option<String>,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.problem {
            None => write!(f, "{}: loaded", self.asked),
            Some(problem) if problem.starts_with(&self.asked) => f.write_str(problem),
            Some(problem) => write!(f, "{}: {problem}", self.asked),
        }
    }
}

/// A library that was loaded, for as long as the process lives: the vendor's libraries do not survive unloading.
pub(super) struct Loaded {
    pub(super) group: Group,
    pub(super) name: String,
    handle: std::mem::ManuallyDrop<Library>,
}

impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Loaded {
    pub(super) fn symbol(&self, name: &CStr) -> Option<NonNull<c_void>> {
        // SAFETY: the symbol's address is only asked for; who uses it vouches for its type.
        let found = unsafe { self.handle.get::<*mut c_void>(name.to_bytes_with_nul()) }.ok()?;
        NonNull::new(found.as_raw_ptr())
    }
}

/// The folders of installations, most wanted first.
fn folders() -> Vec<PathBuf> {
    let mut found = Vec::new();
    // For a set of libraries that is no installation, such as the simulator's.
    found.extend(std::env::var_os("VLM_ASCEND_LIBRARIES").map(PathBuf::from));
    for variable in ["ASCEND_HOME_PATH", "ASCEND_TOOLKIT_HOME"] {
        found.extend(std::env::var_os(variable).map(|h| PathBuf::from(h).join("lib64")));
    }
    for install in ["cann", "ascend-toolkit/latest", "nnrt/latest"] {
        found.push(PathBuf::from("/usr/local/Ascend").join(install).join("lib64"));
    }
    found.dedup();
    found
}

fn open(asked: &str) -> Result<Library, String> {
    // SAFETY: the vendor's libraries run their initialisers when they are loaded, as every program that links them has it.
    // Global, because they look for each other's symbols.
    unsafe { Library::open(Some(asked), RTLD_NOW | RTLD_GLOBAL) }.map_err(|e| {
        let mut text = e.to_string();
        if let Some(source) = std::error::Error::source(&e) {
            text = source.to_string();
        }
        text
    })
}

/// Loads what there is, and tells what was tried.
pub(super) fn load_all() -> (Vec<Loaded>, Vec<Attempt>) {
    let (mut loaded, mut attempts) = (Vec::new(), Vec::new());
    let forced = std::env::var_os("VLM_ASCEND_LIBRARIES").map(PathBuf::from);
    for (group, names) in GROUPS {
        for name in names {
            let by_name = (*name).to_owned();
            // What the environment forces goes before the name, which the loader looks for by itself, and is then all.
            let candidates: Vec<String> = match &forced {
                Some(folder) => vec![folder.join(name).display().to_string()],
                None => std::iter::once(by_name)
                    .chain(
                        folders()
                            .into_iter()
                            .map(|f| f.join(name))
                            .filter(|p| p.exists())
                            .map(|p| p.display().to_string()),
                    )
                    .collect(),
            };
            for asked in candidates {
                match open(&asked) {
                    Ok(handle) => {
                        attempts.push(Attempt { asked: asked.clone(), problem: None });
                        loaded.push(Loaded { group, name: asked, handle: std::mem::ManuallyDrop::new(handle) });
                        break;
                    }
                    Err(problem) => attempts.push(Attempt { asked, problem: Some(problem) }),
                }
            }
        }
    }
    (loaded, attempts)
}

/// What the runtime says of itself.
pub(super) fn version_of_runtime(functions: &Functions) -> Option<String> {
    let ask = functions.aclsysGetVersionStr?;
    let mut text = [0 as c_char; 256];
    // SAFETY: the name is a mutable C string that the call does not keep, and the buffer is larger than the 128 bytes that it writes.
    let code = unsafe { ask(c"runtime".as_ptr().cast_mut(), text.as_mut_ptr()) };
    // SAFETY: the buffer ends with a zero, as it is larger than what the call writes.
    let text = unsafe { CStr::from_ptr(text.as_ptr()) }.to_string_lossy().into_owned();
    (code == 0 && !text.is_empty()).then_some(text)
}

/// What the installation's `version.cfg` or `*_install.info` says.
pub(super) fn version_of_installation() -> Option<String> {
    let mut homes: Vec<PathBuf> = folders().into_iter().filter_map(|f| f.parent().map(PathBuf::from)).collect();
    homes.dedup();
    for home in homes {
        for file in [
            "version.cfg",
            "compiler/version.info",
            "runtime/version.info",
            "x86_64-linux/ascend_toolkit_install.info",
            "aarch64-linux/ascend_toolkit_install.info",
        ] {
            let Ok(text) = std::fs::read_to_string(home.join(file)) else { continue };
            if let Some(version) = version_in(&text) {
                return Some(version);
            }
        }
    }
    None
}

/// The version in lines like `version=8.1.RC1`, `Version=8.1.RC1` or `runtime_running_version=[8.1.RC1:8.1.RC1]`.
fn version_in(text: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        let wanted = key.trim().eq_ignore_ascii_case("version") || key.trim() == "runtime_running_version";
        let value = value.trim().trim_start_matches('[').split(&[':', ']'][..]).next()?.trim();
        (wanted && value.starts_with(|c: char| c.is_ascii_digit())).then(|| value.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_the_files_of_an_installation() {
        assert_eq!(version_in("# x\nversion=8.1.RC1\n").as_deref(), Some("8.1.RC1"));
        assert_eq!(version_in("runtime_running_version=[8.0.RC3:8.0.RC3]").as_deref(), Some("8.0.RC3"));
        assert_eq!(version_in("Version=9.1.0").as_deref(), Some("9.1.0"));
        assert_eq!(version_in("arch=x86_64"), None);
    }

    #[test]
    fn an_attempt_names_its_library_once() {
        let problem = "libhccl.so: cannot open shared object file".to_owned();
        let a = Attempt { asked: "libhccl.so".to_owned(), problem: Some(problem.clone()) };
        assert_eq!(a.to_string(), problem);
        let path = Attempt { asked: "/a/libhccl.so".to_owned(), problem: Some("wrong ELF class".to_owned()) };
        assert_eq!(path.to_string(), "/a/libhccl.so: wrong ELF class");
    }
}
