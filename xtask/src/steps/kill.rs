//! Runs that are killed at random points and resumed must end with the bytes of a run that was left alone.

use super::job::build;
use anyhow::{Context, Result, bail, ensure};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const KILLS: u32 = 20;
const RESULTS: [&str; 2] = ["base-model/model.safetensors", "adapter/adapter_model.safetensors"];
/// A run that takes this many times the first one's time hangs.
const PATIENCE: u32 = 10;

pub(super) fn run() -> Result<()> {
    let program = build("lora")?;
    let kills = number("VLM_XTASK_KILLS")?.map_or(KILLS, |n| n as u32);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
    let seed = number("VLM_XTASK_SEED")?.unwrap_or(now);
    println!("{kills} kills, seed {seed} (VLM_XTASK_SEED={seed} repeats the points)");
    let mut random = SplitMix(seed);

    let scratch = tempfile::tempdir().context("making a folder for the runs")?;
    let (whole, cut) = (scratch.path().join("whole"), scratch.path().join("cut"));
    let began = Instant::now();
    let status = start(&program, &whole, false)?.wait()?;
    // Accuracy is no matter here: a short run may end with 1, "tuning did not help", but not with an error.
    ensure!(matches!(status.code(), Some(0 | 1)), "the run that was left alone ended with {status}");
    let full = began.elapsed();
    println!("left alone: {:.1} s", full.as_secs_f64());

    let (mut killed, mut chains, mut resume) = (0, 0, false);
    loop {
        let mut child = start(&program, &cut, resume)?;
        let delay = (killed < kills).then(|| full.mul_f64(random.unit()));
        if !wait(&mut child, delay.unwrap_or(full * PATIENCE))? {
            ensure!(delay.is_some(), "a resumed run did not end within {PATIENCE} times the time of a whole one");
            killed += 1;
            resume = true;
            continue;
        }
        let status = child.wait()?;
        ensure!(matches!(status.code(), Some(0 | 1)), "after {killed} kills, a resumed run ended with {status}");
        compare(&whole, &cut).with_context(|| format!("after {killed} kills (seed {seed})"))?;
        chains += 1;
        if killed >= kills {
            break;
        }
        resume = false;
    }
    println!("{killed} kills in {chains} runs: every result and every logged step equal");
    Ok(())
}

fn start(program: &Path, output: &Path, resume: bool) -> Result<Child> {
    let mut command = Command::new(program);
    command
        .args(["--device", "cpu", "--epochs", "3", "--lora-epochs", "2", "--save-steps", "5", "--output"])
        .arg(output);
    if resume {
        command.arg("--resume");
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().context("starting the main job")
}

/// Whether the child ended by itself within `time`; otherwise it is killed, which no program can catch.
fn wait(child: &mut Child, time: Duration) -> Result<bool> {
    let until = Instant::now() + time;
    while Instant::now() < until {
        if child.try_wait()?.is_some() {
            return Ok(true);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let ended = child.try_wait()?.is_some();
    if !ended {
        child.kill()?;
        child.wait()?;
    }
    Ok(ended)
}

fn compare(whole: &Path, cut: &Path) -> Result<()> {
    for file in RESULTS {
        let read = |dir: &Path| std::fs::read(dir.join(file)).with_context(|| format!("reading {file}"));
        if read(whole)? != read(cut)? {
            bail!("{file} differs from that of the run that was left alone");
        }
    }
    for part in ["base", "tuning"] {
        let file = format!("{part}/trainer_log.jsonl");
        ensure!(log(&whole.join(&file))? == log(&cut.join(&file))?, "{file} differs in a step's loss, rate or norm");
    }
    Ok(())
}

/// What training computed, without times.
fn log(path: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let keep = |line: &str| -> Result<String> {
        let line: serde_json::Value = serde_json::from_str(line)?;
        Ok(["current_steps", "loss", "lr", "grad_norm", "total_tokens"].map(|key| line[key].to_string()).join(" "))
    };
    text.lines().map(keep).collect()
}

fn number(variable: &str) -> Result<Option<u64>> {
    let Ok(text) = std::env::var(variable) else { return Ok(None) };
    text.parse().map(Some).with_context(|| format!("{variable} is {text:?}, expected a whole number"))
}

struct SplitMix(u64);

impl SplitMix {
    /// The next number from 0 to 1.
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}
