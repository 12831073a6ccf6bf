//! What the tests of the programs `lora` and `train` share: reference models, a little dataset, and what a run left.
#![allow(dead_code)]
#![allow(clippy::print_stdout)] // A test that cannot run says so.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use vlm_core::Device;
use vlm_core::data::{Dataset, ReadOptions, Sample};
use vlm_core::models::VisionLanguageModel;
use vlm_core::models::processor::Processor;
use vlm_core::train::{ConversationOptions, ConversationTask, Task};

const PICTURES: [&str; 4] = ["square_56x56.png", "photo_64x48.png", "jpeg_90x70.jpg", "odd_37x91.png"];
const ANSWERS: [&str; 4] = ["A cat", "The sea", "A house", "Two boats"];

/// The folder of one family's reference data, or `None` (said aloud) where it is not at hand.
pub(crate) fn family(name: &str) -> Option<PathBuf> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/parity/dev").join(name);
    if dir.is_dir() {
        return Some(dir);
    }
    println!("SKIPPED: there is no reference data for {name} beside the workspace");
    None
}

/// Writes twelve rows about four pictures, the pictures beside them, and returns the file.
pub(crate) fn rows(family: &Path, dir: &Path) -> PathBuf {
    pictures(family, dir);
    let row = |i: usize| {
        let (picture, answer) = (PICTURES[i % 4], ANSWERS[i % 4]);
        let turns = [("user", "<image>What is it?"), ("assistant", answer)];
        let turns: Vec<_> = turns.iter().map(|(r, c)| serde_json::json!({ "role": r, "content": c })).collect();
        serde_json::json!({ "id": format!("row-{i}"), "images": [picture], "messages": turns }).to_string() + "\n"
    };
    let file = dir.join("rows.jsonl");
    std::fs::write(&file, (0..12).map(row).collect::<String>()).unwrap();
    file
}

/// Copies four pictures into `dir`, each with its caption beside it.
pub(crate) fn pictures(family: &Path, dir: &Path) {
    std::fs::create_dir_all(dir).unwrap();
    for (name, caption) in PICTURES.iter().zip(ANSWERS) {
        std::fs::copy(family.join("images").join(name), dir.join(name)).unwrap();
        std::fs::write(dir.join(name).with_extension("txt"), caption).unwrap();
    }
}

/// Runs a program on the CPU.
pub(crate) fn run(program: &str, args: &[&str]) -> Output {
    Command::new(program).env_remove("VLM_DEVICE").env("RUST_LOG", "warn").args(args).output().unwrap()
}

/// Runs a program that must succeed and returns its standard output and error.
pub(crate) fn succeed(program: &str, args: &[&str]) -> (String, String) {
    let out = run(program, args);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (said, told) = (text(&out.stdout), text(&out.stderr));
    assert!(out.status.success(), "{args:?} ended with {}: {said}{told}", out.status);
    (said, told)
}

/// Runs a program that must refuse its input: exit code 2, no panic, and a message with these parts.
pub(crate) fn refuse(program: &str, args: &[&str], parts: &[&str]) {
    let out = run(program, args);
    let told = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(2), "{args:?}: {told}");
    assert!(!told.contains("panicked"), "{args:?}: {told}");
    for part in parts {
        assert!(told.contains(part), "{args:?}: the message lacks {part:?}: {told}");
    }
}

/// The log of a run without times.
pub(crate) fn log(dir: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(dir.join("trainer_log.jsonl")).unwrap();
    let line = |l: &str| {
        let mut line: serde_json::Value = serde_json::from_str(l).unwrap();
        let object = line.as_object_mut().unwrap();
        ["elapsed_time", "remaining_time", "throughput"].iter().for_each(|key| drop(object.remove(*key)));
        line
    };
    text.lines().map(line).collect()
}

/// First and last training loss of a run.
pub(crate) fn losses(dir: &Path) -> (f64, f64) {
    let all: Vec<f64> = log(dir).iter().filter_map(|l| l["loss"].as_f64()).collect();
    (all[0], all[all.len() - 1])
}

/// The last loss of evaluation of a run.
pub(crate) fn eval_loss(dir: &Path) -> f64 {
    log(dir).iter().filter_map(|l| l["eval_loss"].as_f64()).next_back().unwrap()
}

/// The rows of a file as the program reads them.
pub(crate) fn samples(file: &Path) -> Vec<Sample> {
    Dataset::read(file, &ReadOptions::default()).unwrap().into_samples()
}

/// The mean loss of a model on rows, computed by us.
pub(crate) fn mean_loss(model: &dyn VisionLanguageModel, folder: &Path, rows: &[Sample]) -> f64 {
    let processor = Processor::load(folder).unwrap();
    let task = ConversationTask::new(model, &processor, rows, ConversationOptions::default()).unwrap();
    let all: Vec<usize> = (0..rows.len()).collect();
    let loss = vlm_core::autograd::no_grad(|| task.loss(&all)).unwrap();
    loss.sum.item::<f64>().unwrap() / loss.tokens as f64
}

/// The device that tests compute on beside the program.
pub(crate) fn device() -> Device {
    vlm_examples::program::open_device("cpu").unwrap()
}

/// As if a run had been killed after `step`: only that checkpoint and the log are left in another folder.
pub(crate) fn killed_after(step: u64, whole: &Path, part: &Path) {
    let name = format!("checkpoint-{step}");
    std::fs::create_dir_all(part.join(&name)).unwrap();
    for entry in std::fs::read_dir(whole.join(&name)).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), part.join(&name).join(entry.file_name())).unwrap();
    }
    std::fs::copy(whole.join("trainer_log.jsonl"), part.join("trainer_log.jsonl")).unwrap();
}
