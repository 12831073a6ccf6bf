//! The crates as others get them.

use crate::run::{capture, cargo, check};
use crate::workspace::path;
use anyhow::{Context, Result, bail, ensure};
use std::path::Path;
use std::process::Command;

const VERSION: &str = env!("CARGO_PKG_VERSION");

pub(super) fn run() -> Result<()> {
    let example = first_example("README.md")?;
    ensure!(
        example == first_example("vlm-core/README.md")?,
        "the first examples of README.md and vlm-core/README.md differ; make them the same"
    );
    check(&mut cargo(&["package", "-p", "vlm-core", "-p", "vlm-cpu", "--allow-dirty"]))?;
    // Building it once more would compile tch anew; the program below does that with what is there.
    check(&mut cargo(&["package", "-p", "vlm-core", "-p", "vlm-cuda", "--no-verify", "--allow-dirty"]))?;
    check(&mut cargo(&[
        "package",
        "-p",
        "vlm-core",
        "-p",
        "vlm-ascend-sys",
        "-p",
        "vlm-ascend",
        "--no-verify",
        "--allow-dirty",
    ]))?;
    let scratch = tempfile::tempdir().context("making a folder outside of the workspace")?;
    for name in ["vlm-core", "vlm-cpu", "vlm-cuda", "vlm-ascend-sys", "vlm-ascend"] {
        unpack(name, scratch.path())?;
    }
    write_project(scratch.path(), &example)?;
    // The workspace's target folder, so that crates already built with these settings are not built again.
    let own = std::env::current_exe().context("finding the target folder")?;
    let target = own.parent().and_then(Path::parent).context("finding the target folder")?;
    for program in ["scratch", "on-cpu", "on-torch", "on-ascend"] {
        let mut command = cargo(&["run", "--quiet", "--bin", program]);
        // A dependent of vlm-cuda says where libtorch is, and nothing else.
        command.env("LIBTORCH", path(".libtorch/link")).env_remove("LD_LIBRARY_PATH");
        let said = capture(command.current_dir(scratch.path()).env("CARGO_TARGET_DIR", target))?;
        if said.code != Some(0) || said.stdout.trim().is_empty() {
            bail!("the example {program} failed outside of the workspace, exit code {:?}:\n{}", said.code, said.all());
        }
        println!("{program}:\n{}", said.stdout.trim_end());
    }
    Ok(())
}

/// The first Rust code block of a file.
fn first_example(file: &str) -> Result<String> {
    let text = std::fs::read_to_string(path(file)).with_context(|| format!("reading {file}"))?;
    let code = text
        .split("```rust")
        .nth(1)
        .and_then(|rest| rest.split_once('\n'))
        .map(|(_, rest)| rest)
        .and_then(|rest| rest.split("```").next());
    let code = code.with_context(|| format!("{file} has no Rust example"))?;
    ensure!(code.contains("fn main()"), "the first example of {file} is no whole program");
    Ok(code.to_owned())
}

fn unpack(name: &str, into: &Path) -> Result<()> {
    let own = std::env::current_exe().context("finding the target folder")?;
    let target = own.parent().and_then(Path::parent).context("finding the target folder")?;
    let crate_file = target.join("package").join(format!("{name}-{VERSION}.crate"));
    ensure!(crate_file.is_file(), "cargo package did not write {}", crate_file.display());
    check(Command::new("tar").arg("xzf").arg(&crate_file).arg("-C").arg(into))
}

fn write_project(dir: &Path, example: &str) -> Result<()> {
    let manifest = std::fs::read_to_string(path("Cargo.toml")).context("reading Cargo.toml")?;
    let profiles = manifest.find("[profile.dev]").map_or("", |at| &manifest[at..]);
    let text = format!(
        "[package]\nname = \"scratch\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n\
         [dependencies]\nvlm-core = \"{VERSION}\"\nvlm-cpu = \"{VERSION}\"\nvlm-cuda = \"{VERSION}\"\n\
         vlm-ascend = \"{VERSION}\"\n\n\
         [patch.crates-io]\nvlm-core = {{ path = \"vlm-core-{VERSION}\" }}\nvlm-cpu = {{ path = \"vlm-cpu-{VERSION}\" }}\n\
         vlm-cuda = {{ path = \"vlm-cuda-{VERSION}\" }}\nvlm-ascend = {{ path = \"vlm-ascend-{VERSION}\" }}\n\
         vlm-ascend-sys = {{ path = \"vlm-ascend-sys-{VERSION}\" }}\n\n\
         [workspace]\n\n{profiles}"
    );
    let write =
        |name: &str, text: &str| std::fs::write(dir.join(name), text).with_context(|| format!("writing {name}"));
    write("Cargo.toml", &text)?;
    std::fs::copy(path("Cargo.lock"), dir.join("Cargo.lock")).context("copying Cargo.lock")?;
    std::fs::create_dir_all(dir.join("src/bin"))?;
    write("src/main.rs", example)?;
    write("src/bin/on-cpu.rs", &first_example("vlm-cpu/README.md")?)?;
    // The example is for an NPU.
    write("src/bin/on-ascend.rs", &first_example("vlm-ascend/README.md")?.replace("\"ascend:0\"", "\"auto\""))?;
    // The example is for a GPU.
    write("src/bin/on-torch.rs", &first_example("vlm-cuda/README.md")?.replace("\"cuda:0\"", "\"torch-cpu\""))
}
