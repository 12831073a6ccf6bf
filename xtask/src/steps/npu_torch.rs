//! The shim by which libtorch's tensors live on an NPU: compiled, loaded, and tried without an NPU.
//!
//! No build of a crate makes it, so that vlm-ascend needs no libtorch. Here it is compiled against the torch of the reference
//! tools, loaded without torch_npu, with a torch_npu that does not find CANN, and with a backend that only pretends.

use super::python::interpreter;
use crate::run::{capture, cargo, check};
use crate::workspace::path;
use anyhow::{Context, Result, ensure};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

const VERSION: &str = "2.11.0";
const FOLDER: &str = "target/npu-torch";
const SHIM: &str = "libvlm_npu_torch.so";
const PRETENDED: &str = "libtorch_npu.so";

/// A package that fails as torch_npu does on a machine without CANN.
const NO_CANN: &str = "import torch\n\
    raise ImportError('libhccl.so: cannot open shared object file: No such file or directory')\n";
/// A package that brings the pretended backend into Python, with what the shim asks Python's side for.
const PACKAGE: &str = "\
import os, torch

__version__ = 'pretended'
torch.ops.load_library(os.environ['VLM_NPU_PRETENDED'])

class npu:
    @staticmethod
    def memory_stats(index):
        if index == 0:
            raise ValueError('nothing was used')
        return {'allocated_bytes.all.current': 11, 'reserved_bytes.all.current': 12, 'allocated_bytes.all.peak': 13,
                'allocation.all.allocated': 14, 'segment.all.allocated': 5}

    @staticmethod
    def empty_cache():
        pass
";

/// Compiles the shim against the torch of a Python, that of the reference tools if none is named: `target/npu-torch/libvlm_npu_torch.so`.
pub(crate) fn make(python: Option<&OsStr>) -> Result<PathBuf> {
    let torch = torch_of(python.map_or_else(interpreter, PathBuf::from).as_os_str())?;
    let shim = path(FOLDER).join(SHIM);
    compile(&torch, "vlm-ascend/shim/npu_torch.cpp", &shim)?;
    println!("{FOLDER}/{SHIM}: for the torch in {}", torch.display());
    Ok(shim)
}

/// The folder of a Python's torch. It is found, not imported.
fn torch_of(python: &OsStr) -> Result<PathBuf> {
    const ASK: &str =
        "import importlib.util as u\ns = u.find_spec('torch')\nprint(s.submodule_search_locations[0] if s else '')";
    let shown = Path::new(python).display();
    let said = capture(Command::new(python).args(["-c", ASK])).with_context(|| {
        format!("{shown} has to be there: run `cargo xtask setup`, or name a Python that has torch")
    })?;
    let torch = PathBuf::from(said.stdout.trim());
    ensure!(said.code == Some(0) && torch.is_absolute(), "{shown} has no torch; install torch=={VERSION} there");
    let release = std::fs::read_to_string(torch.join("version.py")).unwrap_or_default();
    ensure!(
        release.contains(&format!("__version__ = '{VERSION}")),
        "the torch of {shown} is not {VERSION}; install torch=={VERSION} there"
    );
    Ok(torch)
}

/// Compiles one file to a library that finds libtorch by itself where it lies now, if the program has none.
fn compile(torch: &Path, source: &str, library: &Path) -> Result<()> {
    std::fs::create_dir_all(library.parent().unwrap_or(library)).context("making a folder for the shim")?;
    let lib = torch.join("lib");
    let mut command = Command::new(std::env::var_os("CXX").unwrap_or_else(|| "c++".into()));
    command.args(["-std=c++17", "-O2", "-fPIC", "-shared", "-fvisibility=hidden", "-Wall", "-Wextra", "-Werror"]);
    for include in ["include", "include/torch/csrc/api/include"] {
        command.arg("-isystem").arg(torch.join(include));
    }
    command.arg("-o").arg(library).arg(path(source)).arg("-L").arg(&lib).args(["-ltorch_cpu", "-lc10", "-ldl"]);
    command.arg(format!("-Wl,-rpath,{}", lib.display()));
    check(&mut command).context("compiling the shim; a C++ compiler is needed (Debian: apt-get install g++)")
}

/// The step of `test`. That torch_npu's own library computes on an NPU is not among what it can see.
pub(super) fn step() -> Result<()> {
    let shim = make(None)?;
    // Under the name that a torch_npu without Python has.
    let pretended = path(FOLDER).join("pretended").join(PRETENDED);
    compile(&torch_of(interpreter().as_os_str())?, "vlm-ascend/shim/pretend.cpp", &pretended)?;
    let packages = ["no-cann", "package"].map(|name| path(FOLDER).join(name));
    for (folder, text) in packages.iter().zip([NO_CANN, PACKAGE]) {
        std::fs::create_dir_all(folder.join("torch_npu")).context("making a package")?;
        std::fs::write(folder.join("torch_npu/__init__.py"), text).context("writing a package")?;
    }
    let [no_cann, package] = packages.each_ref().map(PathBuf::as_path);
    let pretended = pretended.as_path();
    trial("without_torch_npu", &shim, &[])?;
    trial("libraries_that_are_none", &shim, &[])?;
    trial("a_pretended_library", &shim, &[("VLM_NPU_LIBTORCH", pretended)])?;
    if torch_npu()? {
        println!("SKIPPED: this Python has torch_npu; what is said where there is none cannot be seen");
    } else {
        trial("python_without_torch_npu", &shim, &[])?;
    }
    trial("python_without_cann", &shim, &[("PYTHONPATH", no_cann)])?;
    trial("a_pretended_package", &shim, &[("PYTHONPATH", package), ("VLM_NPU_PRETENDED", pretended)])
}

/// Whether the reference tools have a torch_npu, which would be found instead of none.
fn torch_npu() -> Result<bool> {
    const ASK: &str = "import importlib.util as u\nprint(u.find_spec('torch_npu') is not None)";
    Ok(capture(Command::new(interpreter()).args(["-c", ASK]))?.stdout.trim() == "True")
}

/// One test in a process of its own: what it loads stays loaded.
fn trial(name: &str, shim: &Path, variables: &[(&str, &Path)]) -> Result<()> {
    let test = format!("npu_torch::tests::{name}");
    let mut command = cargo(&["test", "--quiet", "-p", "vlm-ascend", "--features", "torch-npu", "--lib", &test]);
    command.args(["--", "--exact", "--ignored"]);
    for unset in ["VLM_NPU_LIBTORCH", "PYTHONPATH", "LD_LIBRARY_PATH"] {
        command.env_remove(unset);
    }
    command.env("VLM_NPU_TORCH", shim).env("VLM_NPU_PYTHON", interpreter()).envs(variables.iter().copied());
    let said = capture(&mut command)?;
    ensure!(said.code == Some(0) && said.stdout.contains("1 passed"), "{name}: {}", said.all());
    println!("{name}: ok");
    Ok(())
}
