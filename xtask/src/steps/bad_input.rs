//! Wrong input on the command line: an exit code that says so, and a message that names the thing and the remedy.

use super::job::build;
use crate::run::{Said, capture};
use anyhow::{Context, Result, bail, ensure};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Arguments and what the message must contain.
const CASES: &[(&[&str], &[&str])] = &[
    (&["--device", "cuda:0"], &["cuda:0", "registered", "cpu", "vlm-cuda"]),
    (&["--device", "ascend"], &["no AscendCL", "libascendcl.so", "set_env.sh"]),
    (&["--device", "quantum"], &["quantum", "use auto"]),
    (&["--device", "cpu:7"], &["7", "use cpu"]),
    (&["--device", "cuda:x"], &["cuda:x", "ordinal"]),
    (&["--device", ""], &["\"\"", "use auto"]),
    (&["--epochs", "many"], &["many", "--epochs"]),
    (&["--epochs=-1"], &["epochs"]),
    (&["--lora-epochs", "NaN"], &["epochs"]),
    (&["--seed=-5"], &["-5", "--seed"]),
    (&["--no-such-option"], &["--no-such-option", "--help"]),
];

pub(super) fn run() -> Result<()> {
    let program = build("lora")?;
    let scratch = tempfile::tempdir().context("making a folder for the runs")?;
    let mut wrong = Vec::new();
    let mut judge = |what: &str, result: Result<()>| match result {
        Ok(()) => println!("ok      {what}"),
        Err(e) => {
            println!("FAILED  {what}: {e:#}");
            wrong.push(what.to_owned());
        }
    };
    for (args, wanted) in CASES {
        let output = scratch.path().join("refused");
        judge(&args.join(" "), expect(&run_in(&program, &output, args)?, wanted));
    }
    let file = scratch.path().join("a-file");
    std::fs::write(&file, "not a folder")?;
    judge("output is a file", expect(&run_in(&program, &file, &[])?, &["a-file"]));
    judge("output in use", in_use(&program, &scratch.path().join("busy")));
    judge("resume with another seed", other_seed(&program, &scratch.path().join("seed")));
    ensure!(wrong.is_empty(), "{} cases failed: {}", wrong.len(), wrong.join("; "));
    Ok(())
}

fn run_in(program: &Path, output: &Path, args: &[&str]) -> Result<Said> {
    // Should the input be accepted after all, the run is short.
    let mut command = Command::new(program);
    let has = |name: &str| args.iter().any(|a| a.split('=').next() == Some(name));
    if !has("--device") {
        command.args(["--device", "cpu"]);
    }
    for name in ["--epochs", "--lora-epochs"].into_iter().filter(|name| !has(name)) {
        command.args([name, "1"]);
    }
    capture(command.args(args.iter().map(|a| (*a).to_owned())).arg("--output").arg(output))
}

/// A failure that is reported: an error's exit code and text, no panic, nothing cut off by a signal.
fn expect(said: &Said, wanted: &[&str]) -> Result<()> {
    match said.code {
        Some(2) => {}
        Some(code) => bail!("exit code {code}, expected 2; it said: {}", said.all().trim()),
        None => bail!("ended by a signal; it said: {}", said.all().trim()),
    }
    let text = &said.stderr;
    ensure!(!text.contains("panicked"), "it panicked: {text}");
    for part in wanted {
        ensure!(text.contains(part), "the message lacks {part:?}: {}", text.trim());
    }
    Ok(())
}

/// A second process in the same output folder is told which process has it and what to do.
fn in_use(program: &Path, output: &Path) -> Result<()> {
    let mut first = Guard(long_run(program, output)?);
    let id = first.0.id().to_string();
    until("the first process to take the folder", &mut first.0, || {
        std::fs::read_to_string(output.join(".lock")).is_ok_and(|text| text.trim() == id)
    })?;
    let said = run_in(program, output, &[])?;
    expect(&said, &["busy", &id, "output folder of its own"])
}

/// Another seed is another run: continuing would give a result that no uninterrupted run has.
fn other_seed(program: &Path, output: &Path) -> Result<()> {
    let mut first = Guard(long_run(program, output)?);
    until("a checkpoint", &mut first.0, || {
        let Ok(entries) = std::fs::read_dir(output.join("base")) else { return false };
        entries.flatten().any(|e| e.file_name().to_string_lossy().starts_with("checkpoint"))
    })?;
    drop(first);
    let said = run_in(program, output, &["--epochs", "20", "--resume", "--seed", "7"])?;
    expect(&said, &["seed", "42", "7"])
}

fn long_run(program: &Path, output: &Path) -> Result<Child> {
    let mut command = Command::new(program);
    command.args(["--device", "cpu", "--save-steps", "2", "--output"]).arg(output);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().context("starting the main job")
}

fn until(what: &str, child: &mut Child, mut there: impl FnMut() -> bool) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !there() {
        ensure!(Instant::now() < deadline, "waited a minute for {what}");
        ensure!(child.try_wait()?.is_none(), "the main job ended before {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// A process that does not outlive us.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
