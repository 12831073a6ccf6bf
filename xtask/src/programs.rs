//! The programs with every backend in them, built together with the tests.

use crate::run::{cargo, check};
use crate::workspace::path;
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds all programs with all features, as `cargo test --workspace --all-features` does: nothing is compiled for them alone.
pub(crate) fn build() -> Result<()> {
    check(&mut cargo(&["build", "--quiet", "--workspace", "--all-features", "--bins"]))
}

/// A program that [`build`] made, started with the workspace's libtorch.
pub(crate) fn program(name: &str) -> Result<Command> {
    let mut command = Command::new(file(name)?);
    command.env("LD_LIBRARY_PATH", libtorch()).current_dir(crate::workspace::root());
    Ok(command)
}

/// Where a program is that [`build`] made.
pub(crate) fn file(name: &str) -> Result<PathBuf> {
    // This program is target/debug/xtask, wherever target is.
    let own = std::env::current_exe().context("finding the target folder")?;
    let target = own.parent().and_then(Path::parent).context("finding the target folder")?;
    let file = target.join("debug").join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    ensure!(file.is_file(), "{} was built but is not there", file.display());
    Ok(file)
}

/// The folder of libtorch's libraries. Links are followed: libraries find their neighbours from where they really are.
pub(crate) fn libtorch() -> PathBuf {
    let library = path(".libtorch/link/lib/libtorch_cpu.so");
    let real = std::fs::canonicalize(&library).unwrap_or(library);
    real.parent().map(Path::to_path_buf).unwrap_or_default()
}
