//! Compiles the C++ side against the libtorch that torch-sys links.

use std::path::PathBuf;

fn main() {
    println!("cargo::rerun-if-changed=shim");
    println!("cargo::rerun-if-env-changed=LIBTORCH");
    let root = PathBuf::from(std::env::var_os("LIBTORCH").unwrap_or_default());
    let include = root.join("include");
    let lib = std::fs::canonicalize(root.join("lib/libtorch_cpu.so")).unwrap();
    let site = lib.ancestors().nth(3).unwrap();
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default());
    let _ = std::fs::remove_file(out.join("site"));
    std::os::unix::fs::symlink(site, out.join("site")).unwrap();
    println!("cargo::rustc-link-search=native={}", out.join("site/torch/lib").display());
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .opt_level(2)
        .flag_if_supported("-Wno-maybe-uninitialized")
        .flag("-isystem")
        .flag(include.to_str().unwrap())
        .flag("-isystem")
        .flag(include.join("torch/csrc/api/include").to_str().unwrap())
        .files(["shim/runtime.cpp", "shim/operations.cpp", "shim/pool.cpp"])
        .compile("vlm_shim");
}
