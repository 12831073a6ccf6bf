//! Caches of models, ours and those of `huggingface_hub`.

use super::python::script;
use crate::run::{cargo, check};
use anyhow::{Context, Result, ensure};
use std::path::Path;

pub(super) fn run() -> Result<()> {
    // With all features, as the tests have built it.
    check(&mut cargo(&["build", "-p", "vlm-core", "--all-features", "--example", "hub"]))?;
    // This program is target/debug/xtask, wherever target is.
    let own = std::env::current_exe().context("finding the target folder")?;
    let built = own.parent().map(|p| p.join("examples")).context("finding the target folder")?;
    let program = built.join(format!("hub{}", std::env::consts::EXE_SUFFIX));
    ensure!(program.is_file(), "{} was built but is not there", program.display());
    let mut command = script("check_hub.py")?;
    // It talks to servers of its own on this machine.
    command.env_remove("HF_HUB_OFFLINE").env("NO_PROXY", "localhost,127.0.0.1").env("no_proxy", "localhost,127.0.0.1");
    check(command.arg::<&Path>(&program))
}
