//! libtorch: what vlm-cuda links and loads, in the git-ignored folder `.libtorch`.
//!
//! `site` holds the packages `torch` and `nvidia` (or links to them), `link` is the folder that torch-sys gets: headers and
//! libtorch_cpu alone, so that programs start on machines without a GPU. `headers` has what else CUDA's headers include.

use super::python::interpreter;
use crate::run::{capture, check};
use crate::workspace::path;
use anyhow::{Context, Result, bail, ensure};
use std::ffi::OsString;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

const VERSION: &str = "2.11.0";
const FOLDER: &str = ".libtorch";

/// What libtorch's CPU needs. libtorch_cpu asks for both of NVIDIA's, on machines without a GPU too.
const CPU: &[&str] = &["torch==2.11.0", "nvidia-cuda-runtime==13.0.96", "nvidia-cuda-cupti==13.0.85"];
/// What its CUDA part needs besides: the libraries that it names, of the versions that torch asks for.
const CUDA: &[&str] = &[
    "nvidia-cublas==13.1.0.3",
    "nvidia-cuda-nvrtc==13.0.88",
    "nvidia-cudnn-cu13==9.19.0.56",
    "nvidia-cufft==12.0.0.61",
    "nvidia-cufile==1.15.1.6",
    "nvidia-curand==10.4.0.35",
    "nvidia-cusolver==12.0.4.66",
    "nvidia-cusparse==12.6.3.3",
    "nvidia-cusparselt-cu13==0.8.0",
    "nvidia-nccl-cu13==2.28.9",
    "nvidia-nvjitlink==13.0.88",
    "nvidia-nvshmem-cu13==3.4.5",
    "nvidia-nvtx==13.0.85",
];
/// Headers that CUDA's own include and no package of torch brings.
const HEADERS: &[&str] = &["nvidia-cuda-crt==13.0.88", "nvidia-cuda-cccl==13.0.85"];
/// Of torch's libraries, those that the CPU does not use.
const CUDA_ONLY: &[&str] =
    &["libtorch_cuda", "libtorch_python", "libtorch_nvshmem", "libc10_cuda", "libcaffe2_nvrtc", "libshm"];

/// Where libtorch comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The package index, libtorch's CPU alone.
    Cpu,
    /// The package index, with CUDA.
    Cuda,
    /// The torch of this Python.
    Python(OsString),
}

impl Source {
    /// The one that the arguments of `setup libtorch` ask for.
    pub(crate) fn parse(args: &[String]) -> Result<Self> {
        match args {
            [] => Ok(Source::Cpu),
            [one] if one == "--cuda" => Ok(Source::Cuda),
            [one] if one == "--from-python" => Ok(Source::Python("python3".into())),
            [one, python] if one == "--from-python" => Ok(Source::Python(python.into())),
            other => bail!("setup libtorch takes --cuda or --from-python [PYTHON], not {}", other.join(" ")),
        }
    }

    /// What the note in the folder says.
    fn note(&self) -> String {
        let what = match self {
            Source::Cpu => "cpu".to_owned(),
            Source::Cuda => "cuda".to_owned(),
            Source::Python(python) => format!("from-python {}", Path::new(python).display()),
        };
        format!("torch {VERSION} {what}\n")
    }
}

/// The step of `test`: the folder from the torch of the reference tools, unless there is a good one.
pub(super) fn step() -> Result<()> {
    compiler()?;
    if let Ok(note) = std::fs::read_to_string(path(FOLDER).join("note"))
        && sound(&path(FOLDER)).is_ok()
    {
        println!("{FOLDER} is there: {}", note.trim_end());
        return Ok(());
    }
    setup(&Source::Python(interpreter().into()))
}

/// tch and vlm-cuda compile C++. Better to hear of a missing compiler here than in the middle of a build.
fn compiler() -> Result<()> {
    let named = std::env::var_os("CXX").unwrap_or_else(|| "c++".into());
    let works = capture(Command::new(&named).arg("--version")).is_ok_and(|said| said.code == Some(0));
    ensure!(
        works,
        "vlm-cuda needs a C++ compiler and {} does not work: install g++ (Debian: apt-get install g++), or set CXX",
        Path::new(&named).display()
    );
    Ok(())
}

/// Makes `.libtorch`, unless it is there already.
pub(crate) fn setup(source: &Source) -> Result<()> {
    let folder = path(FOLDER);
    if std::fs::read_to_string(folder.join("note")).is_ok_and(|n| n == source.note()) && sound(&folder).is_ok() {
        println!("{FOLDER} is up to date: {}", source.note().trim_end());
        return Ok(());
    }
    // Made beside it and put in its place when it is whole.
    let new = path(".libtorch.new");
    remove(&new)?;
    std::fs::create_dir_all(&new).context("making a folder for libtorch")?;
    match source {
        Source::Cpu => {
            install(CPU, &new.join("site"))?;
            slim(&new.join("site"))?;
        }
        Source::Cuda => {
            install(&[CPU, CUDA].concat(), &new.join("site"))?;
            headers(&new);
        }
        Source::Python(python) => {
            let site = site_of(python)?;
            std::fs::create_dir_all(new.join("site"))?;
            for package in ["torch", "nvidia"] {
                if site.join(package).is_dir() {
                    symlink(site.join(package), new.join("site").join(package)).context("linking to Python's torch")?;
                }
            }
            if site.join("torch/lib/libtorch_cuda.so").exists() {
                headers(&new);
            }
        }
    }
    link(&new)?;
    sound(&new)?;
    std::fs::write(new.join("note"), source.note()).context("noting what libtorch is")?;
    remove(&folder)?;
    std::fs::rename(&new, &folder).context("putting libtorch in its place")?;
    println!("{FOLDER}: {}", source.note().trim_end());
    Ok(())
}

/// Removes a folder, or a link to one, if it is there.
fn remove(folder: &Path) -> Result<()> {
    let what = || format!("removing {}", folder.display());
    match std::fs::symlink_metadata(folder) {
        Ok(found) if found.is_symlink() => std::fs::remove_file(folder).with_context(what),
        Ok(_) => std::fs::remove_dir_all(folder).with_context(what),
        Err(_) => Ok(()),
    }
}

/// A pip: that of `PYTHON` or `python3`, else that of the reference tools.
fn pip() -> Result<Command> {
    let named = std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
    for python in [PathBuf::from(named), interpreter()] {
        let mut command = Command::new(&python);
        command.args(["-m", "pip"]);
        if capture(Command::new(&python).args(["-m", "pip", "--version"])).is_ok_and(|said| said.code == Some(0)) {
            return Ok(command);
        }
    }
    bail!(
        "there is no pip: install python3-pip (Debian: apt-get install python3-pip), or run `cargo xtask setup` first"
    )
}

fn install(packages: &[&str], into: &Path) -> Result<()> {
    let mut command = pip()?;
    command.args(["install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-compile", "--target"]);
    // Debian's pip refuses to touch the system's packages, which a folder of its own is not.
    command.env("PIP_BREAK_SYSTEM_PACKAGES", "1").env("PIP_ROOT_USER_ACTION", "ignore");
    check(command.arg(into).args(packages)).with_context(|| {
        format!(
            "installing {}; torch {VERSION} is there for Linux on x86-64 and Python 3.10 to 3.14",
            packages.join(" ")
        )
    })
}

/// CUDA's own headers. Without them vlm-cuda has no graphs, and says so.
fn headers(new: &Path) {
    if let Err(e) = install(HEADERS, &new.join("headers")) {
        println!("warning: without CUDA's headers vlm-cuda is built without graphs: {e:#}");
    }
}

/// Deletes what libtorch's CPU does not use: two thirds.
fn slim(site: &Path) -> Result<()> {
    let lib = site.join("torch/lib");
    for entry in std::fs::read_dir(&lib).context("torch/lib")? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if CUDA_ONLY.iter().any(|cut| name.starts_with(cut)) {
            remove_any(&entry.path())?;
        }
    }
    for part in ["bin", "torch/bin", "torchgen", "functorch", "torch/test", "torch/testing", "torch/_inductor"] {
        remove_any(&site.join(part))?;
    }
    Ok(())
}

fn remove_any(path: &Path) -> Result<()> {
    if path.is_dir() {
        std::fs::remove_dir_all(path)?
    } else if path.exists() {
        std::fs::remove_file(path)?
    }
    Ok(())
}

/// The folder that holds a Python's torch. It is found, not imported.
fn site_of(python: &OsString) -> Result<PathBuf> {
    const ASK: &str =
        "import importlib.util as u\ns = u.find_spec('torch')\nprint(s.submodule_search_locations[0] if s else '')";
    let said = capture(Command::new(python).args(["-c", ASK]))?;
    let shown = Path::new(python).display();
    let torch = PathBuf::from(said.stdout.trim());
    ensure!(
        said.code == Some(0) && torch.is_absolute(),
        "{shown} has no torch; install torch=={VERSION} there, or leave out --from-python"
    );
    let text = std::fs::read_to_string(torch.join("version.py")).unwrap_or_default();
    let version = text
        .split("__version__ = '")
        .nth(1)
        .and_then(|rest| rest.split('\'').next())
        .unwrap_or("of an unknown version");
    ensure!(
        version.split('+').next() == Some(VERSION),
        "the torch of {shown} is {version}, expected {VERSION}: `{shown} -m pip install torch=={VERSION}`, or leave out --from-python"
    );
    torch.parent().map(Path::to_path_buf).context("torch lies nowhere")
}

/// What torch-sys gets: it links all that it sees there, and must not see libtorch_cuda.
fn link(new: &Path) -> Result<()> {
    let lib = new.join("link/lib");
    std::fs::create_dir_all(&lib)?;
    symlink("../site/torch/include", new.join("link/include"))?;
    for name in ["libtorch_cpu.so", "libc10.so"] {
        symlink(Path::new("../../site/torch/lib").join(name), lib.join(name))?;
    }
    // libtorch.so itself does nothing but ask for libtorch_cuda: a script for the linker stands in for it.
    std::fs::write(lib.join("libtorch.so"), "INPUT(libtorch_cpu.so libc10.so)\n").context("writing libtorch.so")
}

/// Fails unless everything that a build and a start need is there.
fn sound(folder: &Path) -> Result<()> {
    for part in [
        "link/include/torch/csrc/api/include/torch/torch.h",
        "link/lib/libtorch_cpu.so",
        "link/lib/libc10.so",
        "link/lib/libtorch.so",
        "site/torch/lib/libgomp.so.1",
        "site/torch/version.py",
    ] {
        ensure!(folder.join(part).exists(), "libtorch is not whole: there is no {part} in {}", folder.display());
    }
    Ok(())
}
