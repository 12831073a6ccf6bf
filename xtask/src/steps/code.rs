//! What cargo alone can check.

use crate::run::{cargo, check};
use anyhow::Result;

pub(super) fn fmt() -> Result<()> {
    check(&mut cargo(&["fmt", "--all", "--check"]))
}

pub(super) fn clippy() -> Result<()> {
    check(&mut cargo(&["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"]))
}

/// One command, so that everything is built once. The features are those of the whole workspace.
pub(super) fn tests() -> Result<()> {
    let mut command = cargo(&["test", "--workspace", "--all-features", "--no-fail-fast"]);
    // Tests that compare with Python's libraries find them here.
    check(command.env("VLM_PYTHON", super::python::interpreter()))
}

pub(super) fn docs() -> Result<()> {
    let mut command = cargo(&["doc", "--workspace", "--no-deps", "--all-features"]);
    check(command.env("RUSTDOCFLAGS", "-D warnings"))
}

/// `CC` names a program that does not exist: a build script that wants a C compiler fails.
pub(super) fn minimal() -> Result<()> {
    let mut command = cargo(&["build", "-p", "vlm-core", "--no-default-features"]);
    check(command.env("CC", "no-c-compiler").env("CXX", "no-c-compiler"))
}
