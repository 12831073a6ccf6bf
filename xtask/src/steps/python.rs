//! The Python reference tools, and what they say about our files.

use super::job::{OUTPUT, accuracies};
use crate::run::{capture, check};
use crate::workspace::{path, root};
use anyhow::{Context, Result, bail};
use std::path::PathBuf;
use std::process::Command;

const REQUIREMENTS: &str = include_str!("../../python/requirements.txt");
const PROBE: &str = "import torch, transformers, peft, tensorboard, PIL, safetensors";

/// The interpreter that has the tools: `VLM_PYTHON` where it is set, else that of `.venv`.
pub(super) fn interpreter() -> PathBuf {
    std::env::var_os("VLM_PYTHON").map_or_else(|| path(".venv/bin/python"), PathBuf::from)
}

/// Makes `.venv` unless it is there with the same requirements.
pub(super) fn setup() -> Result<()> {
    if std::env::var_os("VLM_PYTHON").is_some() {
        return probe();
    }
    let note = path(".venv/installed.txt");
    if std::fs::read_to_string(&note).is_ok_and(|text| text == REQUIREMENTS) {
        println!(".venv is up to date");
        return probe();
    }
    let python = std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
    let said = capture(Command::new(&python).args(["-c", "import sys; print('%d.%d' % sys.version_info[:2])"]))
        .context("Python 3 is needed for the reference tools; install it, or set PYTHON to its program")?;
    if said.code != Some(0) {
        bail!("{} does not work: {}", python.to_string_lossy(), said.all());
    }
    let venv = path(".venv");
    if venv.exists() {
        // Half made, or of other versions: nothing in it is worth keeping.
        std::fs::remove_dir_all(&venv).context("removing the old .venv")?;
    }
    let made = capture(Command::new(&python).args(["-m", "venv"]).arg(&venv))?;
    let mut install = if made.code == Some(0) {
        let mut pip = Command::new(interpreter());
        pip.args(["-m", "pip"]);
        pip
    } else {
        without_ensurepip(&python, &made.all())?
    };
    let requirements = path("xtask/python/requirements.txt");
    check(install.args(["install", "--quiet", "--disable-pip-version-check", "-r"]).arg(requirements))?;
    probe()?;
    std::fs::write(note, REQUIREMENTS).context("noting what .venv holds")
}

/// pip, of whichever Python has it: for what is fetched into folders of its own.
pub(crate) fn pip() -> Result<Command> {
    let system = std::env::var_os("PYTHON").map_or_else(|| "python3".into(), PathBuf::from);
    for python in [interpreter(), system] {
        let mut command = Command::new(python);
        command.args(["-m", "pip"]);
        let mut probe = Command::new(command.get_program());
        if capture(probe.args(["-m", "pip", "--version"])).is_ok_and(|said| said.code == Some(0)) {
            return Ok(command);
        }
    }
    bail!("no Python here has pip; run `cargo xtask setup` first, or install it (Debian: apt-get install python3-pip)")
}

/// Debian keeps `ensurepip` in a package of its own. An environment without pip, filled by the system's pip, does too.
fn without_ensurepip(python: &std::ffi::OsStr, why: &str) -> Result<Command> {
    let venv = path(".venv");
    let _ = std::fs::remove_dir_all(&venv);
    if let Ok(said) = capture(Command::new("virtualenv").arg("--python").arg(python).arg(&venv))
        && said.code == Some(0)
    {
        let mut pip = Command::new(interpreter());
        pip.args(["-m", "pip"]);
        return Ok(pip);
    }
    let bare = capture(Command::new(python).args(["-m", "venv", "--without-pip"]).arg(&venv))?;
    let pip = capture(Command::new(python).args(["-m", "pip", "--version"]))?;
    if bare.code != Some(0) || pip.code != Some(0) {
        bail!(
            "cannot make a Python environment; install python3-venv (Debian: apt-get install python3-venv), or set \
             VLM_PYTHON to a Python that has the packages of xtask/python/requirements.txt. `python3 -m venv` said: {why}"
        );
    }
    let mut command = Command::new(python);
    command.args(["-m", "pip", "--python"]).arg(interpreter());
    Ok(command)
}

fn probe() -> Result<()> {
    let said = capture(Command::new(interpreter()).args(["-c", PROBE]))?;
    if said.code != Some(0) {
        bail!("{} lacks the reference tools: {}", interpreter().display(), said.stderr);
    }
    Ok(())
}

/// Runs one of our scripts.
pub(super) fn script(name: &str) -> Result<Command> {
    if !interpreter().is_file() {
        bail!("there is no {}; run `cargo xtask setup` first", interpreter().display());
    }
    let mut command = Command::new(interpreter());
    // Nothing is to be fetched: the files are ours.
    command.env("HF_HUB_OFFLINE", "1").env("TOKENIZERS_PARALLELISM", "false").current_dir(root());
    command.arg(path("xtask/python").join(name));
    Ok(command)
}

pub(super) fn peft() -> Result<()> {
    let (base, tuned) = accuracies()?;
    let digits = path("examples/data/digits.safetensors");
    check(script("check_peft.py")?.arg(path(OUTPUT)).arg(digits).args([base.to_string(), tuned.to_string()]))
}

pub(super) fn tensorboard() -> Result<()> {
    accuracies()?;
    check(script("check_events.py")?.args(["base", "tuning"].map(|run| path(OUTPUT).join(run))))
}
