//! Vision towers that torch exports to ONNX, compiled by the simulator's `atc` and run on the simulated NPU with real pictures: the
//! embeddings are those that transformers computed.

use super::ascend::simulate;
use super::python::{interpreter, script};
use crate::programs::{self, file};
use crate::run::{Said, capture, check};
use crate::workspace::{path, root};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

const FAMILIES: [&str; 2] = ["clip", "siglip"];
/// How far embeddings of length 1 may be from transformers' in `f32`.
const MOST: f64 = 2e-5;
/// Prints the largest difference between a tensor of one file and a tensor of another.
const COMPARE: &str = "\
import sys
from safetensors.torch import load_file
a, b = load_file(sys.argv[1])[sys.argv[2]], load_file(sys.argv[3])[sys.argv[4]]
assert a.shape == b.shape, (a.shape, b.shape)
print((a.double() - b.double()).abs().max().item())
";

fn om(arguments: &[&str], files: &[PathBuf]) -> Result<Said> {
    let mut run = Command::new(file("om")?);
    simulate(&mut run, "schedule=random,seed=8")?;
    run.env("LD_LIBRARY_PATH", programs::libtorch()).args(arguments);
    files.iter().for_each(|f| _ = run.arg("--image").arg(f));
    let said = capture(&mut run)?;
    ensure!(said.code == Some(0), "om {} ended with {:?}: {}", arguments.join(" "), said.code, said.all());
    Ok(said)
}

/// The largest difference of `image_embeds` from transformers'.
fn difference(found: &Path, expected: &Path) -> Result<f64> {
    let mut compare = Command::new(interpreter());
    compare.args(["-c", COMPARE]).arg(found).arg("image_embeds").arg(expected).arg("case/pairs/image_embeds");
    let said = capture(&mut compare)?;
    ensure!(said.code == Some(0), "comparing {}: {}", found.display(), said.all());
    said.stdout.trim().parse().context("the difference")
}

pub(super) fn run() -> Result<()> {
    let data = root().join("../shared/parity/dev");
    if !data.is_dir() {
        println!("SKIPPED: there is no reference data in ../shared/parity beside the workspace");
        return Ok(());
    }
    programs::build()?;
    let out = path("outputs/om");
    std::fs::create_dir_all(&out).context("outputs/om")?;
    let atc = file("sim-atc")?;
    for family in FAMILIES {
        let folder = data.join(family);
        let told: Value = serde_json::from_slice(&std::fs::read(folder.join("expected.json"))?)?;
        let images: Vec<PathBuf> = told["cases"]["pairs"]["images"]
            .as_array()
            .context("the case `pairs`")?
            .iter()
            .filter_map(|i| Some(folder.join(i.as_str()?)))
            .collect();
        let config: Value = serde_json::from_slice(&std::fs::read(folder.join("model/config.json"))?)?;
        let side = config["vision_config"]["image_size"].as_u64().context("the side of pictures")?;
        let text = |p: &Path| p.display().to_string();
        let (onnx, model) = (text(&out.join(format!("{family}.onnx"))), text(&folder.join("model")));
        check(script("make_onnx.py")?.args(["dual", &model, &onnx]))?;
        for precision in ["origin", "fp16"] {
            let base = text(&out.join(format!("{family}-{precision}")));
            let (shape, file) = (format!("pixel_values:-1,3,{side},{side}"), format!("{base}.om"));
            let convert = ["convert", "--onnx", &onnx, "--output", &base, "--shape", &shape, "--batches", "1,2"];
            om(&[&convert[..], &["--precision", precision, "--atc", &text(&atc)]].concat(), &[])?;
            let made = format!("{base}.safetensors");
            om(&["run", "--model", &file, "--processor", &model, "--out", &made], &images)?;
            let off = difference(Path::new(&made), &folder.join("expected.safetensors"))?;
            println!("sim {family} {precision}: {} pictures, off by {off:.1e}", images.len());
            if precision == "origin" {
                ensure!(off <= MOST, "{family}: off by {off:e}, allowed is {MOST:e}");
            } else {
                // Half precision is atc's default and not ours: it shows.
                ensure!(off > MOST && off < 0.05, "{family} in fp16: off by {off:e}");
            }
        }
    }
    Ok(())
}
