//! Where the shim, Python and torch_npu's library are.

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use vlm_core::{Error, ErrorKind, Result};

const NAME: &str = "libvlm_npu_torch.so";
const MAKE: &str = "make it with `cargo xtask npu-torch`, or by the command in vlm-ascend's shim/README.md, and set VLM_NPU_TORCH \
                    to the file";

/// A library that is never unloaded: libtorch keeps pointers into it.
pub(super) type Stays = ManuallyDrop<Library>;

/// Why there is no shim.
#[derive(Debug)]
pub(super) struct Absent {
    fact: String,
    tried: Vec<String>,
    remedy: String,
}

impl Absent {
    pub(super) fn broken(path: &Path, fact: String) -> Self {
        let fact = format!("{} cannot be used: {fact}", path.display());
        Absent { fact, tried: Vec::new(), remedy: MAKE.to_owned() }
    }

    pub(super) fn error(&self) -> Error {
        let mut error = Error::new(ErrorKind::Device, "load the shim for torch_npu", self.fact.clone());
        for tried in &self.tried {
            error = error.with("tried", tried);
        }
        error.hint(self.remedy.clone())
    }
}

/// The files that may be it, in this order. What the user names is the only one.
pub(super) fn candidates() -> Vec<PathBuf> {
    if let Some(named) = std::env::var_os("VLM_NPU_TORCH").filter(|v| !v.is_empty()) {
        return vec![inside(Path::new(&named), NAME)];
    }
    let exe = std::env::current_exe().ok();
    let beside = exe.as_deref().and_then(Path::parent).map(|folder| folder.join(NAME)).filter(|p| p.exists());
    beside.into_iter().chain([PathBuf::from(NAME)]).collect()
}

/// The file in a folder or its `lib`, or the file itself.
fn inside(named: &Path, name: &str) -> PathBuf {
    if !named.is_dir() {
        return named.to_path_buf();
    }
    let lib = named.join("lib").join(name);
    if lib.exists() { lib } else { named.join(name) }
}

/// `libtorch_npu.so` of a path that may be its folder.
pub(super) fn libtorch_npu(named: &Path) -> PathBuf {
    inside(named, "libtorch_npu.so")
}

/// The first of them that loads.
pub(super) fn open(candidates: &[PathBuf]) -> std::result::Result<(Stays, PathBuf), Absent> {
    let mut tried = Vec::new();
    for path in candidates {
        // SAFETY: the shim has no initialisers but those of libtorch, which this process has already or gets now. Global, so that
        // all that is loaded later finds the same libtorch.
        match unsafe { Library::open(Some(path), RTLD_NOW | RTLD_GLOBAL) } {
            Ok(library) => return Ok((ManuallyDrop::new(library), path.clone())),
            Err(e) => {
                let text = std::error::Error::source(&e).map_or_else(|| e.to_string(), ToString::to_string);
                tried.push(text.lines().next().unwrap_or_default().to_owned());
            }
        }
    }
    // The loader's messages begin with the library that is missing, which may be one that the shim needs.
    let needs = tried.iter().filter_map(|t| t.split(':').next()).find(|l| l.contains("torch") && !l.contains(NAME));
    let remedy = match needs {
        Some(library) => {
            format!(
                "{library} has to be found: put the folder torch/lib of the torch that it was made for in LD_LIBRARY_PATH"
            )
        }
        None => MAKE.to_owned(),
    };
    Err(Absent { fact: format!("{NAME} does not load"), tried, remedy })
}

/// What is needed to embed a Python.
#[derive(Debug)]
pub(super) struct Python {
    /// Its shared library, as paths and names one on each line, most wanted first.
    pub(super) libraries: String,
    /// The interpreter.
    pub(super) program: String,
}

/// Prints the interpreter, and what its library may be called.
const ASK: &str = "\
import os, sys, sysconfig
get = sysconfig.get_config_var
print(sys.executable)
names = [n for n in (get('INSTSONAME'), get('LDLIBRARY')) if n and '.so' in n]
for folder in (get('LIBDIR'), os.path.join(sys.base_prefix, 'lib'), get('LIBPL')):
    for name in names:
        path = os.path.join(folder or '', name)
        if os.path.isabs(path) and os.path.exists(path):
            print(path)
print('libpython%d.%d.so.1.0' % sys.version_info[:2])
";

/// Asks an interpreter about itself.
pub(super) fn python(interpreter: Option<&Path>) -> Result<Python> {
    let asked = interpreter.unwrap_or_else(|| Path::new("python3"));
    let failed = |why: String| {
        Error::new(ErrorKind::Device, "load torch_npu", format!("{} does not work: {why}", asked.display()))
            .hint("set VLM_NPU_PYTHON to the Python that has torch and torch_npu")
    };
    let mut command = Command::new(asked);
    let said = command.args(["-c", ASK]).stdin(Stdio::null()).output().map_err(|e| failed(e.to_string()))?;
    let text = String::from_utf8_lossy(&said.stdout);
    match text.trim().split_once('\n') {
        Some((program, libraries)) if said.status.success() => {
            Ok(Python { libraries: libraries.to_owned(), program: program.trim().to_owned() })
        }
        _ => Err(failed(String::from_utf8_lossy(&said.stderr).lines().last().unwrap_or("it says nothing").to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_the_shim_what_was_tried_is_named() {
        let nowhere = std::env::temp_dir().join("vlm-no-such-folder").join(NAME);
        let e = open(&[nowhere]).map(|(_, path)| path).unwrap_err().error();
        assert_eq!(e.kind(), ErrorKind::Device);
        let text = e.to_string();
        for part in
            [NAME, "vlm-no-such-folder", "cannot open shared object file", "cargo xtask npu-torch", "VLM_NPU_TORCH"]
        {
            assert!(text.contains(part), "no {part} in {text}");
        }
    }

    #[test]
    fn a_python_that_is_none_is_named() {
        let text = python(Some(Path::new("no-such-python"))).unwrap_err().to_string();
        assert!(text.contains("no-such-python does not work") && text.contains("VLM_NPU_PYTHON"), "{text}");
    }
}
