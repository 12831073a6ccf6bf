//! Finds libtorch as torch-sys does, says what is wrong in one sentence, and compiles the C++ side against it.

use std::path::{Path, PathBuf};
use std::process::{Command, exit};

const VERSION: &str = "2.11.0";
const REMEDY: &str = "in the workspace of vlm run `cargo xtask setup libtorch`; elsewhere set LIBTORCH to a folder with include/ \
                      and lib/ of torch 2.11.0, or LIBTORCH_USE_PYTORCH=1 for that of python3";

/// The folders of a libtorch.
struct Libtorch {
    include: PathBuf,
    lib: PathBuf,
}

fn main() {
    for name in ["LIBTORCH", "LIBTORCH_INCLUDE", "LIBTORCH_LIB", "LIBTORCH_USE_PYTORCH", "DOCS_RS"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    println!("cargo::rerun-if-changed=shim");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(vlm_graphs)");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default());
    if std::env::var_os("DOCS_RS").is_some() {
        return;
    }
    let found = find().and_then(|libtorch| check(&libtorch).map(|()| libtorch));
    let libtorch = found.unwrap_or_else(|message| {
        println!("cargo::error=libtorch: {message}. Remedy: {REMEDY}");
        exit(1)
    });
    search_path(&libtorch, &out);
    compile(&libtorch);
    graphs(&libtorch, &out);
}

fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from)
}

fn find() -> Result<Libtorch, String> {
    if variable("LIBTORCH_USE_PYTORCH").is_some() {
        let torch = of_python()?;
        return Ok(Libtorch { include: torch.join("include"), lib: torch.join("lib") });
    }
    let root =
        variable("LIBTORCH").or_else(|| Path::new("/usr/lib/libtorch.so").exists().then(|| PathBuf::from("/usr")));
    let part = |name: &str, inside: &str| variable(name).or_else(|| root.clone()).map(|r| r.join(inside));
    match (part("LIBTORCH_INCLUDE", "include"), part("LIBTORCH_LIB", "lib")) {
        (Some(include), Some(lib)) => Ok(Libtorch { include, lib }),
        _ => Err("LIBTORCH is not set and the system has none".to_owned()),
    }
}

/// The folder of Python's torch, which is not imported.
fn of_python() -> Result<PathBuf, String> {
    const ASK: &str =
        "import importlib.util as u; s = u.find_spec('torch'); print(s.submodule_search_locations[0] if s else '')";
    let out = Command::new("python3").args(["-c", ASK]).output().map_err(|e| format!("python3 does not start: {e}"))?;
    let text = String::from_utf8_lossy(&out.stdout).trim().to_owned();
    if text.is_empty() { Err("python3 has no torch".to_owned()) } else { Ok(PathBuf::from(text)) }
}

fn check(libtorch: &Libtorch) -> Result<(), String> {
    let header = libtorch.include.join("torch/csrc/api/include/torch/torch.h");
    if !header.exists() {
        return Err(format!("there is no {}", header.display()));
    }
    let library = libtorch.lib.join("libtorch_cpu.so");
    if !library.exists() {
        return Err(format!("there is no {}", library.display()));
    }
    let version = version(&libtorch.include).ok_or("its headers do not say their version")?;
    if version != VERSION {
        return Err(format!("the one in {} is {version}, expected {VERSION}", libtorch.lib.display()));
    }
    Ok(())
}

/// `#define TORCH_VERSION_MAJOR 2` and so on.
fn version(include: &Path) -> Option<String> {
    let places = ["torch/headeronly/version.h", "torch/csrc/api/include/torch/version.h"];
    let text = places.iter().find_map(|p| {
        std::fs::read_to_string(include.join(p)).ok().filter(|t| t.contains("#define TORCH_VERSION_MAJOR"))
    })?;
    let number = |name: &str| {
        let line = text.lines().find_map(|l| l.strip_prefix("#define TORCH_VERSION_")?.strip_prefix(name))?;
        Some(line.trim().to_owned())
    };
    Some(format!("{}.{}.{}", number("MAJOR")?, number("MINOR")?, number("PATCH")?))
}

/// Cargo lets programs that it starts find libraries in search paths that lie in the target folder, those of dependents as
/// well: a link there to what holds torch (and nvidia beside it) is all that `cargo run` and `cargo test` need.
fn search_path(libtorch: &Libtorch, out: &Path) {
    let Ok(library) = std::fs::canonicalize(libtorch.lib.join("libtorch_cpu.so")) else { return };
    let Some(site) = library.ancestors().nth(3).filter(|s| s.join("torch/lib/libtorch_cpu.so").exists()) else {
        // Not as Python's packages lie; the user's loader has to know the folder.
        println!("cargo::rustc-link-search=native={}", libtorch.lib.display());
        return;
    };
    let link = out.join("site");
    let _ = std::fs::remove_file(&link);
    if let Err(e) = std::os::unix::fs::symlink(site, &link) {
        println!("cargo::warning=no link to {}: {e}; set LD_LIBRARY_PATH to start programs", site.display());
    }
    println!("cargo::rustc-link-search=native={}", link.join("torch/lib").display());
}

/// A compiler for C++ with libtorch's headers.
fn compiler(libtorch: &Libtorch) -> cc::Build {
    let mut build = cc::Build::new();
    // Small functions around libtorch's: optimised in every profile.
    build.cpp(true).std("c++17").opt_level(2).debug(false);
    // GCC suspects libtorch's own headers.
    build.flag_if_supported("-Wno-maybe-uninitialized");
    for include in [libtorch.include.clone(), libtorch.include.join("torch/csrc/api/include")] {
        build.flag("-isystem").flag(include);
    }
    build
}

fn compile(libtorch: &Libtorch) {
    compiler(libtorch).files(["shim/runtime.cpp", "shim/operations.cpp", "shim/pool.cpp"]).compile("vlm_shim");
}

/// The part that needs CUDA's headers, as a library of its own that becomes part of the program as bytes: it is loaded after
/// libtorch's CUDA part, and only then. Without the headers there are no graphs.
fn graphs(libtorch: &Libtorch, out: &Path) {
    let library = std::fs::canonicalize(libtorch.lib.join("libtorch_cpu.so")).unwrap_or_default();
    let sites = library.ancestors().nth(3).into_iter().map(Path::to_path_buf);
    let beside = libtorch.lib.ancestors().nth(2).into_iter().map(|p| p.join("headers"));
    let includes: Vec<PathBuf> =
        sites.chain(beside).map(|s| s.join("nvidia/cu13/include")).filter(|p| p.exists()).collect();
    let has = |name: &str| includes.iter().any(|i| i.join(name).exists());
    if !(has("cuda_runtime_api.h") && has("crt/host_config.h")) {
        return;
    }
    let mut build = compiler(libtorch);
    for include in &includes {
        build.flag("-isystem").flag(include);
    }
    let objects = match build.file("shim/cuda.cpp").try_compile_intermediates() {
        Ok(objects) => objects,
        Err(e) => {
            println!("cargo::warning=built without CUDA graphs: shim/cuda.cpp does not compile: {e}");
            return;
        }
    };
    let target = out.join("libvlm_cuda_shim.so");
    // What it uses of libtorch is found when it is loaded.
    let linked = build.get_compiler().to_command().args(objects).arg("-shared").arg("-o").arg(&target).status();
    if linked.is_ok_and(|s| s.success()) {
        println!("cargo::rustc-cfg=vlm_graphs");
    } else {
        println!("cargo::warning=built without CUDA graphs: shim/cuda.cpp does not link");
    }
}
