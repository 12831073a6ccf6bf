//! The backend `cuda` on machines with and without its parts: the same program each time.

use super::job::parse;
use crate::programs::{build, file, libtorch};
use crate::run::{Said, capture, tee};
use crate::stand_ins::make;
use crate::workspace::path;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The least accuracy of the main job on libtorch's CPU, as on ours.
const LEAST_TUNED: f64 = 0.90;
/// What libtorch's CPU needs to start, beside `nvidia/cu13/lib`.
const CPU_ONLY: [&str; 3] = ["libc10.so", "libtorch_cpu.so", "libgomp.so.1"];

/// Starts `doctor` without libtorch's CUDA part, with it, and with parts that are broken.
pub(super) fn start() -> Result<()> {
    build()?;
    std::fs::create_dir_all(path("outputs"))?;
    let scratch = tempfile::tempdir_in(path("outputs")).context("making a folder for libraries")?;
    let whole = libtorch();
    let small = cpu_only(&whole, scratch.path())?;

    println!("without libtorch:");
    without(&scratch.path().join("stand-ins"))?;

    println!("without the CUDA part:");
    let said = doctor(&small, None)?;
    expect(&said, &["the CUDA part of libtorch is missing", "cargo xtask setup libtorch --cuda"])?;
    let said = lora("cuda:0", &small)?;
    let wanted = ["the CUDA part of libtorch is missing", "cargo xtask setup libtorch --cuda", "VLM_LIBTORCH"];
    ensure!(said.code != Some(0) && has(&said.all(), &wanted), "a program on cuda:0 said: {}", said.all());

    if whole.join("libtorch_cuda.so").exists() {
        println!("with the CUDA part:");
        let said = doctor(&whole, None)?;
        if devices(&said, "cuda")? > 0 {
            println!("this machine has GPUs: `cargo test -p vlm-cuda` runs on them");
        } else {
            expect(&said, &["NVIDIA driver", "driver 580 or newer"])?;
            let said = lora("cuda:9", &whole)?;
            ensure!(said.code != Some(0) && has(&said.all(), &["NVIDIA driver", "580"]), "cuda:9 said: {}", said.all());
        }
        println!("with the CUDA part named, the rest elsewhere:");
        let said = doctor(&small, Some(&whole))?;
        ensure!(
            !has(&said.all(), &["the CUDA part of libtorch is missing"]),
            "VLM_LIBTORCH was not used: {}",
            said.all()
        );
    } else {
        println!("SKIPPED: the libtorch at hand has no CUDA part; `cargo xtask setup libtorch --cuda` gets one");
    }

    println!("with a CUDA part that is none:");
    let text = fake(scratch.path(), "fake", "2.11.0+cu130")?;
    expect(&doctor(&small, Some(&text))?, &["libtorch_cuda.so does not load", "setup libtorch --cuda"])?;
    println!("with a CUDA part of another version:");
    let old = fake(scratch.path(), "old", "2.9.1+cu128")?;
    expect(&doctor(&small, Some(&old))?, &["version 2.9.1+cu128", "install torch 2.11.0 for CUDA"])?;
    println!("with a folder that is not there:");
    let none = scratch.path().join("nowhere");
    expect(&doctor(&small, Some(&none))?, &["the CUDA part of libtorch is missing", "nowhere"])
}

/// With stand-ins for libtorch: our own CPU works, the other devices say what is missing.
fn without(stand_ins: &Path) -> Result<()> {
    let wanted = ["there is no libtorch", "cargo xtask setup libtorch"];
    make(&file("doctor")?, stand_ins)?;
    let said = capture(command("doctor", stand_ins)?.arg("--json"))?;
    ensure!(said.code == Some(0) && devices(&said, "cpu")? == 1 && devices(&said, "torch-cpu")? == 0, "{}", said.all());
    ensure!(has(&said.stdout, &wanted), "doctor does not say what is missing: {}", said.all());
    make(&file("lora")?, stand_ins)?;
    for device in ["torch-cpu", "cuda:0"] {
        let said = lora(device, stand_ins)?;
        ensure!(said.code != Some(0) && has(&said.all(), &wanted), "a program on {device} said: {}", said.all());
    }
    println!("  there is no libtorch: cpu works");
    Ok(())
}

/// A folder with what libtorch's CPU needs and nothing else.
fn cpu_only(whole: &Path, scratch: &Path) -> Result<PathBuf> {
    let lib = scratch.join("site/torch/lib");
    std::fs::create_dir_all(&lib)?;
    for name in CPU_ONLY {
        // Files of their own: through symbolic links the CUDA part would be found beside what they point to.
        let (from, to) = (whole.join(name), lib.join(name));
        if std::fs::hard_link(&from, &to).is_err() {
            std::fs::copy(&from, &to).with_context(|| format!("copying {name}"))?;
        }
    }
    let nvidia = whole.ancestors().nth(2).context("what holds torch")?.join("nvidia");
    symlink(nvidia, scratch.join("site/nvidia")).context("linking nvidia")?;
    Ok(lib)
}

/// A torch whose CUDA part is a text.
fn fake(scratch: &Path, name: &str, version: &str) -> Result<PathBuf> {
    let lib = scratch.join(name).join("torch/lib");
    std::fs::create_dir_all(&lib)?;
    std::fs::write(lib.join("libtorch_cuda.so"), "not a library")?;
    std::fs::write(scratch.join(name).join("torch/version.py"), format!("__version__ = '{version}'\n"))?;
    Ok(lib)
}

fn command(program: &str, libraries: &Path) -> Result<Command> {
    let mut command = Command::new(file(program)?);
    // No Python whose torch could be found besides.
    command.env("LD_LIBRARY_PATH", libraries).env("PATH", "").env_remove("VLM_LIBTORCH").current_dir(path("."));
    Ok(command)
}

/// `doctor --json`: libtorch's CPU and ours work in any case.
fn doctor(libraries: &Path, named: Option<&Path>) -> Result<Said> {
    let mut command = command("doctor", libraries)?;
    if let Some(named) = named {
        command.env("VLM_LIBTORCH", named);
    }
    let said = capture(command.arg("--json"))?;
    ensure!(said.code == Some(0), "doctor ended with {:?}: {}", said.code, said.all());
    for name in ["cpu", "torch-cpu"] {
        ensure!(devices(&said, name)? == 1, "{name} does not work: {}", said.all());
    }
    Ok(said)
}

/// How many devices of a backend work.
fn devices(said: &Said, backend: &str) -> Result<usize> {
    let report: Value = serde_json::from_str(&said.stdout).context("reading what doctor says")?;
    let all = report["backends"].as_array().cloned().unwrap_or_default();
    let found = all.iter().find(|b| b["name"] == backend).with_context(|| format!("doctor knows no {backend}"))?;
    Ok(found["devices"].as_array().map_or(0, |d| d.iter().filter(|d| d["ok"] == true).count()))
}

fn has(text: &str, wanted: &[&str]) -> bool {
    wanted.iter().all(|w| text.contains(w))
}

fn expect(said: &Said, wanted: &[&str]) -> Result<()> {
    let report: Value = serde_json::from_str(&said.stdout).context("reading what doctor says")?;
    let all = report["backends"].as_array().cloned().unwrap_or_default();
    let cuda = all.iter().find(|b| b["name"] == "cuda").map(|b| b["findings"].to_string()).unwrap_or_default();
    ensure!(has(&cuda, wanted), "doctor says of cuda: {cuda}; expected {wanted:?}");
    println!("  {}", cuda.split("\"found\":\"").nth(1).and_then(|t| t.split('"').next()).unwrap_or_default());
    Ok(())
}

fn lora(device: &str, libraries: &Path) -> Result<Said> {
    let output = path("outputs/refused");
    capture(command("lora", libraries)?.args(["--device", device, "--output"]).arg(output))
}

/// The main job on libtorch's CPU.
pub(super) fn job() -> Result<()> {
    build()?;
    let output = path("outputs/lora-torch-cpu");
    if output.exists() {
        std::fs::remove_dir_all(&output).context("removing what a former run wrote")?;
    }
    let said = tee(command("lora", &libtorch())?.args(["--device", "torch-cpu", "--output"]).arg(output))?;
    ensure!(said.code == Some(0), "the main job on torch-cpu ended with exit code {:?}", said.code);
    let (base, tuned) = parse(said.last_line())?;
    ensure!(tuned >= LEAST_TUNED && base < tuned, "accuracy on torch-cpu: base {base} tuned {tuned}");
    Ok(())
}
