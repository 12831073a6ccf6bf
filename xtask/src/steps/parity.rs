//! Every family against what transformers and PEFT computed with the same small models.

use super::python::{interpreter, script};
use crate::programs;
use crate::run::{Said, capture, check};
use crate::workspace::{path, root};
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the table shows of each family: the first parts of the names of `compare.py`'s groups, and last what PEFT answers
/// with adapters that we wrote.
const COLUMNS: [&str; 9] =
    ["decoded", "resize_pil", "preprocess", "case", "train", "grad", "after3", "lora", "adapters"];
/// On which devices it is judged; adapters are those that the first one wrote.
const DEVICES: [&str; 4] = ["cpu", "torch-cpu", RECORDED, ASCEND];
/// `cpu` with decoding steps that are recorded once and done again.
const RECORDED: &str = "recorded";
/// The simulated NPU, on which nothing runs before it is waited for.
const ASCEND: &str = "ascend:0";
/// Tensors that are not judged. 16-bit grey: Pillow clips it, we scale it. The bias of keys has no gradient but rounding, which
/// AdamW makes as large as any other where nothing else is trained; transformers differs from itself there.
const SKIPPED: &str = "*/gray16*,lora/bias_all/after3/*k_proj.bias";

pub(super) fn run() -> Result<()> {
    check(script("make_templates.py")?.arg(path("vlm-core/tests/data/templates.json")).arg("--check"))?;
    let Some(data) = reference()? else { return Ok(()) };
    let mut folders: Vec<PathBuf> = std::fs::read_dir(data.join("dev"))
        .context("the reference data")?
        .filter_map(|e| Some(e.ok()?.path()))
        .filter(|p| p.join("expected.json").is_file())
        .collect();
    folders.sort();
    ensure!(!folders.is_empty(), "there is no family in {}", data.join("dev").display());
    judge_all(&data, &folders, &path("outputs/parity"))
}

/// The same with models that are made for it by `python`: `xtask/python/parity_presets.py` says which.
pub(crate) fn more(python: &Path, names: &[String], seed: &str) -> Result<()> {
    let data = reference()?.context("parity-more needs ../shared/parity beside the workspace")?;
    let (out, made) = (path("outputs/parity-more"), path("outputs/parity-more/data"));
    std::fs::create_dir_all(&made).context("outputs/parity-more")?;
    let presets = || {
        let mut command = Command::new(python);
        command.arg(path("xtask/python/parity_presets.py")).arg(data.join("make_fixtures.py")).arg(&made).args(names);
        command
    };
    let said = capture(presets().arg("--list"))?;
    ensure!(said.code == Some(0), "{} cannot make models: {}", python.display(), said.all());
    let folders: Vec<PathBuf> =
        said.stdout.lines().filter_map(|l| Some(made.join(l.split_whitespace().next()?))).collect();
    check(presets().args(["--seed", seed]))?;
    judge_all(&data, &folders, &out)
}

/// The reference data beside the workspace; a word where there is none.
fn reference() -> Result<Option<PathBuf>> {
    let data = root().join("../shared/parity");
    if data.is_dir() {
        programs::build()?;
        return Ok(Some(data));
    }
    println!("SKIPPED: there is no reference data in ../shared/parity beside the workspace");
    Ok(None)
}

fn judge_all(data: &Path, folders: &[PathBuf], out: &Path) -> Result<()> {
    let name = |folder: &Path| folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut said = Vec::new();
    for device in DEVICES {
        for folder in folders {
            let name = name(folder);
            for dtype in ["f32", "bf16"] {
                // Pictures are computed on the host, whatever the device.
                let once = name == "image_ops" && (device, dtype) != (DEVICES[0], "f32");
                if !once && (![RECORDED, ASCEND].contains(&device) || dtype == "f32") {
                    let to = out.join(device).join(dtype).join(&name);
                    said.push((name.clone(), device, dtype, judge(data, folder, &to, device, dtype)?));
                }
            }
        }
    }
    let adapters = adapters(folders, &out.join(DEVICES[0]).join("f32"))?;
    let mut failed = Vec::new();
    println!("worst error as a share of its tolerance; n: tensors and texts compared");
    let columns = COLUMNS.map(|c| format!("{c:>10}")).join(" ");
    println!("{:<20} {:<9} {:<5} {:>5} {columns}", "family", "device", "dtype", "n");
    for (name, device, dtype, said) in &said {
        let of_peft = adapters.get(name).filter(|_| *dtype == "f32" && *device == DEVICES[0]);
        println!("{name:<20} {device:<9} {dtype:<5} {}", line(said, of_peft));
        if said.code != Some(0) {
            println!("{}", said.all());
            failed.push(format!("{name} ({device}, {dtype})"));
        }
        if let Some(Err(why)) = of_peft {
            println!("PEFT does not answer as we do with adapters that we wrote: {why}");
            failed.push(format!("{name} (adapters)"));
        }
    }
    if !failed.is_empty() {
        bail!("not as transformers: {}", failed.join(", "));
    }
    Ok(())
}

/// Computes a folder's outputs and lets the folder's own program judge them.
fn judge(data: &Path, folder: &Path, out: &Path, device: &str, dtype: &str) -> Result<Said> {
    let arg = |p: &Path| p.display().to_string();
    let (dir, to) = (arg(folder), arg(out));
    // What a former run left must not be judged.
    if out.exists() {
        std::fs::remove_dir_all(out).with_context(|| format!("removing {}", out.display()))?;
    }
    let mut run = programs::program("parity")?;
    let (spec, graphs) = if device == RECORDED { ("cpu", &["--graphs"][..]) } else { (device, &[][..]) };
    run.args([&dir, "--device", spec, "--dtype", dtype, "--out", &to]).args(graphs);
    if device == ASCEND {
        super::ascend::simulate(&mut run, "schedule=delayed,seed=1")?;
    }
    if dtype == "f32" && device == DEVICES[0] {
        run.arg("--save-adapters");
    }
    let ours = capture(&mut run)?;
    if ours.code != Some(0) {
        return Ok(ours);
    }
    let mut compare = Command::new(interpreter());
    compare.arg(data.join("compare.py")).args([&dir, &to, "--skip", SKIPPED]);
    if dtype == "bf16" {
        // Half precision is judged on what it computes, which is everything but training.
        compare.args(["--dtype", "bf16", "--partial"]);
    }
    capture(&mut compare)
}

/// What PEFT makes of the adapters that we wrote, by family: the worst difference, or what went wrong.
fn adapters(folders: &[PathBuf], out: &Path) -> Result<BTreeMap<String, Result<f64, String>>> {
    let mut ask = script("check_adapters.py")?;
    for folder in folders {
        let written = out.join(folder.file_name().unwrap_or_default());
        if written.join("adapters.safetensors").is_file() {
            ask.arg(folder).arg(written);
        }
    }
    let said = capture(&mut ask)?;
    let mut found: BTreeMap<_, _> = said
        .stdout
        .lines()
        .filter_map(|line| {
            let (name, rest) = line.split_once(' ')?;
            let worst = rest.split_whitespace().nth(1).and_then(|w| w.parse().ok());
            Some((name.to_owned(), worst.ok_or_else(|| rest.to_owned())))
        })
        .collect();
    ensure!(said.code == Some(0) || found.values().any(Result::is_err), "check_adapters.py: {}", said.all());
    // Of a folder with adapters silence is no answer.
    for folder in folders.iter().filter(|f| f.join("adapters").is_dir()) {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        found.entry(name).or_insert_with(|| Err("nothing was written or judged".to_owned()));
    }
    Ok(found)
}

/// The count and the worst error of each column.
fn line(said: &Said, adapters: Option<&Result<f64, String>>) -> String {
    let mut worst: BTreeMap<&str, f64> = BTreeMap::new();
    for row in said.stdout.lines().filter(|l| l.starts_with("  ")) {
        let mut words = row.split_whitespace();
        let (Some(group), Some(share)) = (words.next(), words.nth(2).and_then(|w| w.parse::<f64>().ok())) else {
            continue;
        };
        let column = COLUMNS.iter().find(|c| group.split('/').next() == Some(**c));
        if let Some(column) = column {
            let held = worst.entry(column).or_insert(0.0);
            *held = held.max(share);
        }
    }
    if let Some(Ok(share)) = adapters {
        worst.insert("adapters", *share);
    }
    let counted = said.stdout.lines().rev().find_map(|l| l.split_once(": ")?.1.split(' ').next()?.parse::<u32>().ok());
    let cell = |c: &&str| worst.get(*c).map_or_else(|| format!("{:>10}", "-"), |v| format!("{v:>10.3}"));
    let cells: Vec<String> = COLUMNS.iter().map(cell).collect();
    format!("{:>5} {}", counted.unwrap_or(0), cells.join(" "))
}
