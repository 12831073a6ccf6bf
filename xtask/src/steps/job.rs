//! The main job, as a newcomer runs it.

use crate::run::{cargo, check, tee};
use crate::workspace::{need_member, path};
use anyhow::{Context, Result, bail, ensure};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Where the main job writes without arguments.
pub(super) const OUTPUT: &str = "outputs/lora";
/// What it said last, kept for the steps after this one.
const LAST_LINE: &str = "outputs/lora/last-line.txt";
const LONGEST: Duration = Duration::from_secs(180);
const LEAST_TUNED: f64 = 0.90;
const FILES: &[&str] = &[
    "base-model/config.json",
    "base-model/model.safetensors",
    "base-model/tokenizer.json",
    "base-model/tokenizer_config.json",
    "base-model/preprocessor_config.json",
    "adapter/adapter_config.json",
    "adapter/adapter_model.safetensors",
    "base/trainer_log.jsonl",
    "base/runs",
    "base/training_loss.svg",
    "tuning/trainer_log.jsonl",
    "tuning/runs",
    "tuning/training_loss.svg",
];

/// Builds a program and says where it is.
pub(super) fn build(package: &str) -> Result<PathBuf> {
    need_member(&format!("examples/{package}"))?;
    check(&mut cargo(&["build", "--release", "-p", package]))?;
    // This program is target/debug/xtask, wherever target is.
    let own = std::env::current_exe().context("finding the target folder")?;
    let target = own.parent().and_then(Path::parent).context("finding the target folder")?;
    let program = target.join("release").join(format!("{package}{}", std::env::consts::EXE_SUFFIX));
    ensure!(program.is_file(), "{} was built but is not there", program.display());
    Ok(program)
}

/// Base and tuned accuracy out of `accuracy: base X.XX tuned Y.YY`.
pub(super) fn parse(line: &str) -> Result<(f64, f64)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    if let ["accuracy:", "base", base, "tuned", tuned] = words[..]
        && let (Ok(base), Ok(tuned)) = (base.parse(), tuned.parse())
    {
        return Ok((base, tuned));
    }
    bail!("the last line is {line:?}, expected \"accuracy: base X.XX tuned Y.YY\"")
}

/// What the main job reached the last time the step `job` ran.
pub(super) fn accuracies() -> Result<(f64, f64)> {
    let line =
        std::fs::read_to_string(path(LAST_LINE)).context("the main job has no outputs; run the step `job` first")?;
    parse(line.trim())
}

pub(super) fn run() -> Result<()> {
    build("lora")?;
    let _ = std::fs::remove_file(path(LAST_LINE));
    let began = Instant::now();
    let said = tee(&mut cargo(&["run", "--quiet", "--release", "-p", "lora"]))?;
    let took = began.elapsed();
    ensure!(said.code == Some(0), "the main job ended with exit code {:?}", said.code);
    let (base, tuned) = parse(said.last_line())?;
    for file in FILES {
        ensure!(path(OUTPUT).join(file).exists(), "the main job did not write {OUTPUT}/{file}");
    }
    std::fs::write(path(LAST_LINE), said.last_line()).context("keeping the last line")?;
    ensure!(tuned >= LEAST_TUNED, "tuned accuracy is {tuned}, expected at least {LEAST_TUNED}");
    ensure!(base < tuned, "tuning did not help: base {base}, tuned {tuned}");
    ensure!(took <= LONGEST, "it took {:.0} s, allowed are {} s", took.as_secs_f64(), LONGEST.as_secs());
    Ok(())
}
