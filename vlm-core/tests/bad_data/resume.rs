//! K22 and K23: going on with a run that is not this one, or with what is no run.

use crate::catalogue::{Row, judge, row};
use crate::small::{Sums, options};
use serde_json::json;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use vlm_core::ErrorKind;
use vlm_core::Result;
use vlm_core::train::{Resume, TrainerOptions};

/// A run of six steps, with checkpoints after the third and the last.
fn done() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    Sums::new(8).train(options(dir.path())).unwrap();
    dir
}

fn resume(dir: &Path) -> TrainerOptions {
    TrainerOptions { resume: Resume::Must, ..options(dir) }
}

/// Going on with [`done`], otherwise.
fn other(what: &str, run: fn(TrainerOptions) -> Result<String>, parts: &[&str]) -> Row {
    row("K22", what, done, move |dir| run(resume(dir.path()))).fails(
        ErrorKind::Config,
        &[&["the checkpoint was made with other settings"], parts, &["start anew in another output folder"]].concat(),
    )
}

#[test]
fn a_run_goes_on_only_as_what_it_was() {
    judge(vec![
        row("K22", "the same run", done, |dir| Sums::new(8).train(resume(dir.path())))
            .works(&["6 steps, finished: true"]),
        other(
            "another model",
            |o| Sums { model: json!({"model_type": "sums", "width": 5}), ..Sums::new(8) }.train(o),
            &["model.width: 4 in the checkpoint, 5 now"],
        ),
        other(
            "other data",
            |o| Sums { data: "differences".to_owned(), ..Sums::new(8) }.train(o),
            &["data: \"sums\" in the checkpoint, \"differences\" now"],
        ),
        other(
            "another seed",
            |o| Sums::new(8).train(TrainerOptions { seed: 7, ..o }),
            &["seed: 42 in the checkpoint, 7 now"],
        ),
        other(
            "another learning rate",
            |o| Sums::new(8).train(TrainerOptions { learning_rate: 2e-2, ..o }),
            &["learning_rate: ", "0.01", "0.02"],
        ),
        other(
            "another batch",
            |o| Sums::new(8).train(TrainerOptions { per_device_train_batch_size: 3, ..o }),
            &["per_device_train_batch_size: 2 in the checkpoint, 3 now"],
        ),
        other(
            "more steps",
            |o| Sums::new(8).train(TrainerOptions { max_steps: Some(9), ..o }),
            &["total_steps: 6 in the checkpoint, 9 now"],
        ),
        // Said to be the same, but its tensors have other sizes.
        row("K22", "another model under the same description", done, |dir| {
            let same = Sums::new(8).model.clone();
            Sums { model: same, ..Sums::of_width(8, 5) }.train(resume(dir.path()))
        })
        .fails(ErrorKind::Shape, &["layer.weight", "expected shape [1, 5], found [1, 4]"]),
    ]);
}

/// The newest checkpoint.
fn newest(dir: &Path) -> PathBuf {
    dir.join("checkpoint-6")
}

/// Removes the older checkpoint and changes the newest one.
fn broken(what: &str, change: fn(&Path)) -> Row {
    let make = move || {
        let dir = done();
        std::fs::remove_dir_all(dir.path().join("checkpoint-3")).unwrap();
        change(&newest(dir.path()));
        dir
    };
    row("K23", what, make, |dir| Sums::new(8).train(resume(dir.path())))
}

fn edit(path: &Path, change: impl FnOnce(String) -> String) {
    let text = std::fs::read_to_string(path).unwrap();
    std::fs::write(path, change(text)).unwrap();
}

#[test]
fn folders_that_hold_no_whole_checkpoint_are_refused_with_the_reason() {
    let none = "no checkpoint to continue from in";
    let way_out = "give the output folder of the run, or start without resuming";
    let empty =
        |what: &str, make: fn() -> TempDir| row("K23", what, make, |dir| Sums::new(8).train(resume(dir.path())));
    let config = |row: Row, parts: &[&str]| row.fails(ErrorKind::Config, &[&[none], parts, &[way_out]].concat());
    judge(vec![
        config(
            empty("an empty folder", || tempfile::tempdir().unwrap()),
            &["the folder has no checkpoint-<step> in it"],
        ),
        config(
            empty("a folder of other things", || {
                let dir = tempfile::tempdir().unwrap();
                std::fs::write(dir.path().join("model.safetensors"), "x").unwrap();
                std::fs::create_dir(dir.path().join("checkpoint-best")).unwrap();
                dir
            }),
            &["the folder has no checkpoint-<step> in it"],
        ),
        config(
            empty("a checkpoint of another program", || {
                let dir = tempfile::tempdir().unwrap();
                std::fs::create_dir(dir.path().join("checkpoint-100")).unwrap();
                std::fs::write(dir.path().join("checkpoint-100/trainer_state.json"), "{}").unwrap();
                dir
            }),
            &["checkpoint-100 is no checkpoint of ours: it has no manifest.json"],
        ),
        config(
            empty("a file called like a checkpoint", || {
                let dir = tempfile::tempdir().unwrap();
                std::fs::write(dir.path().join("checkpoint-100"), "x").unwrap();
                dir
            }),
            &["checkpoint-100"],
        ),
        config(
            broken("no manifest", |c| std::fs::remove_file(c.join("manifest.json")).unwrap()),
            &["no checkpoint of ours"],
        ),
        config(
            broken("half a manifest", |c| edit(&c.join("manifest.json"), |t| t[..t.len() / 2].to_owned())),
            &["manifest.json is not valid"],
        ),
        config(
            broken("a changed manifest", |c| edit(&c.join("manifest.json"), |t| t.replace("\"row\"", "\"ROW\""))),
            &["is damaged", "manifest.json has changed"],
        ),
        config(
            broken("a manifest of a later version", |c| {
                edit(&c.join("manifest.json"), |t| t.replace("\"schema\": 1", "\"schema\": 2"))
            }),
            &["schema version 2, expected 1", "another version of this program"],
        ),
        config(
            broken("weights that are not there", |c| std::fs::remove_file(c.join("model.safetensors")).unwrap()),
            &["is damaged", "model.safetensors", "No such file"],
        ),
        config(
            broken("weights cut short", |c| {
                let bytes = std::fs::read(c.join("model.safetensors")).unwrap();
                std::fs::write(c.join("model.safetensors"), &bytes[..bytes.len() - 1]).unwrap();
            }),
            &["model.safetensors has", "bytes, expected"],
        ),
        config(
            broken("a flipped bit", |c| {
                let mut bytes = std::fs::read(c.join("optimizer.safetensors")).unwrap();
                *bytes.last_mut().unwrap() ^= 1;
                std::fs::write(c.join("optimizer.safetensors"), bytes).unwrap();
            }),
            &["optimizer.safetensors has changed: its SHA-256 is not the manifest's"],
        ),
        // An older one that is whole is taken where any will do.
        row(
            "K23",
            "a newest checkpoint that is damaged, and an older one",
            || {
                let dir = done();
                std::fs::remove_file(newest(dir.path()).join("model.safetensors")).unwrap();
                dir
            },
            |dir| Sums::new(8).train(TrainerOptions { resume: Resume::IfThere, ..options(dir.path()) }),
        )
        .works(&["6 steps, finished: true"]),
        row(
            "K23",
            "an empty folder where none is needed",
            || tempfile::tempdir().unwrap(),
            |dir| Sums::new(8).train(TrainerOptions { resume: Resume::IfThere, ..options(dir.path()) }),
        )
        .works(&["6 steps, finished: true"]),
    ]);
}
