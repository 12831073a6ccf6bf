//! Every family against what transformers and PEFT computed with the same small models.

use super::python::interpreter;
use crate::run::{Said, capture, cargo, check};
use crate::workspace::{path, root};
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the table shows of each family: the first parts of the names of `compare.py`'s groups.
const COLUMNS: [&str; 8] = ["decoded", "resize_pil", "preprocess", "case", "train", "grad", "after3", "lora"];

pub(super) fn run() -> Result<()> {
    let data = root().join("../shared/parity");
    if !data.is_dir() {
        println!("SKIPPED: there is no reference data in ../shared/parity beside the workspace");
        return Ok(());
    }
    check(&mut cargo(&["build", "--package", "parity"]))?;
    let mut folders: Vec<PathBuf> = std::fs::read_dir(data.join("dev"))
        .context("the reference data")?
        .filter_map(|e| Some(e.ok()?.path()))
        .filter(|p| p.join("expected.json").is_file())
        .collect();
    folders.sort();
    ensure!(!folders.is_empty(), "there is no family in {}", data.join("dev").display());
    let mut failed = Vec::new();
    println!("worst error as a share of its tolerance, device cpu; n: tensors and texts compared");
    println!("{:<18} {:<5} {:>5} {}", "family", "dtype", "n", COLUMNS.map(|c| format!("{c:>10}")).join(" "));
    for folder in &folders {
        for dtype in ["f32", "bf16"] {
            let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if dtype == "bf16" && name == "image_ops" {
                continue;
            }
            let said = judge(&data, folder, &name, dtype)?;
            println!("{name:<18} {dtype:<5} {}", line(&said));
            if said.code != Some(0) {
                println!("{}", said.all());
                failed.push(format!("{name} ({dtype})"));
            }
        }
    }
    if !failed.is_empty() {
        bail!("not as transformers: {}", failed.join(", "));
    }
    Ok(())
}

/// Computes a folder's outputs and lets the folder's own program judge them.
fn judge(data: &Path, folder: &Path, name: &str, dtype: &str) -> Result<Said> {
    let out = path("outputs/parity").join(dtype).join(name);
    let arg = |p: &Path| p.display().to_string();
    let (dir, to) = (arg(folder), arg(&out));
    let run = ["run", "--quiet", "--package", "parity", "--", &dir, "--device", "cpu", "--dtype", dtype, "--out", &to];
    let ours = capture(&mut cargo(&run))?;
    if ours.code != Some(0) {
        return Ok(ours);
    }
    let mut compare = Command::new(interpreter());
    // 16-bit grey is left out: Pillow clips it, we scale it.
    compare.arg(data.join("compare.py")).args([&dir, &to, "--skip", "*/gray16*"]);
    if dtype == "bf16" {
        // Half precision is judged on what it computes, which is everything but training.
        compare.args(["--dtype", "bf16", "--partial"]);
    }
    capture(&mut compare)
}

/// The count and the worst error of each column.
fn line(said: &Said) -> String {
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
    let counted = said.stdout.lines().rev().find_map(|l| l.split_once(": ")?.1.split(' ').next()?.parse::<u32>().ok());
    let cell = |c: &&str| worst.get(*c).map_or_else(|| format!("{:>10}", "-"), |v| format!("{v:>10.3}"));
    let cells: Vec<String> = COLUMNS.iter().map(cell).collect();
    format!("{:>5} {}", counted.unwrap_or(0), cells.join(" "))
}
