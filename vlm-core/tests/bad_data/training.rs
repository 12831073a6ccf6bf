//! K8 to K11, K16 to K18 and K24: what is trained, for how long, and where to.

use crate::catalogue::{Row, judge, row};
use crate::small::{Sums, options};
use std::path::Path;
use tempfile::TempDir;
use vlm_core::data::{Dataset, Loader, LoaderConfig, ReadOptions};
use vlm_core::nn::{Builder, Initializer, Linear, causal_lm_loss};
use vlm_core::tensor::IGNORE_INDEX;
use vlm_core::train::checkpoint::OutputLock;
use vlm_core::train::optim::{Schedule, ScheduleKind};
use vlm_core::train::{Resume, TrainerOptions};
use vlm_core::{DType, Device, ErrorKind, Result, Tensor};

/// A run of these rows with these settings.
fn run(
    number: &'static str,
    what: &str,
    rows: usize,
    change: impl FnOnce(&mut TrainerOptions) + Send + 'static,
) -> Row {
    row(
        number,
        what,
        || tempfile::tempdir().unwrap(),
        move |dir| {
            let mut options = options(dir.path());
            change(&mut options);
            Sums::new(rows).train(options)
        },
    )
}

#[test]
fn rows_without_anything_to_learn_are_named() {
    judge(vec![
        row(
            "K9",
            "every label masked",
            || (),
            |()| {
                let device = Device::reference();
                let head = Linear::new(&Builder::new(Initializer { seed: 1 }, DType::F32, &device), 4, 9, false, 0.1)?;
                let hidden = Tensor::zeros([1, 3, 4], DType::F32, &device)?;
                causal_lm_loss(&hidden, &head, &[vec![IGNORE_INDEX; 3]]).map(|l| format!("{} tokens", l.tokens))
            },
        )
        .fails(ErrorKind::Data, &["all labels are masked", "nothing to learn from", "length limit"]),
        row(
            "K9",
            "a step of masked rows",
            || tempfile::tempdir().unwrap(),
            |dir| Sums { masked: |_| true, ..Sums::new(8) }.train(options(dir.path())),
        )
        .fails(
            ErrorKind::Data,
            &["step 1 has no token to learn from", "all labels are masked", "rows: rows.jsonl:", "length limit"],
        ),
        row(
            "K9",
            "masked rows among others",
            || tempfile::tempdir().unwrap(),
            |dir| {
                // With two micro-batches of one row a step, some of which have nothing.
                let options = TrainerOptions {
                    per_device_train_batch_size: 1,
                    gradient_accumulation_steps: 4,
                    ..options(dir.path())
                };
                Sums { masked: |r| r % 3 == 0, ..Sums::new(8) }.train(options)
            },
        )
        .works(&["6 steps, finished: true"]),
        row(
            "K9",
            "a row that fails",
            || tempfile::tempdir().unwrap(),
            |dir| {
                let sums = Sums {
                    before: Box::new(|call| if call == 3 { Err(crate::small::wrong("no picture")) } else { Ok(()) }),
                    ..Sums::new(8)
                };
                sums.train(options(dir.path()))
            },
        )
        .fails(ErrorKind::Backend, &["no picture", "step: 3", "rows: rows.jsonl:"]),
        run("K10", "one row", 1, |_| ()).works(&["6 steps, finished: true"]),
        run("K10", "no row", 0, |_| ()).fails(ErrorKind::Config, &["there are no rows to load"]),
        run("K11", "a batch of more rows than there are", 3, |o| o.per_device_train_batch_size = 100)
            .works(&["6 steps, finished: true"]),
        row(
            "K11",
            "a batch of more rows than there are, whole batches wanted",
            || (),
            |()| {
                let config = LoaderConfig { batch_size: 4, shuffle: true, drop_last: true, seed: 1 };
                Loader::new((0..3).collect(), config).map(|l| format!("{} batches", l.batches_per_epoch()))
            },
        )
        .fails(ErrorKind::Config, &["a batch of 4 is more than the 3 rows there are", "drop_last = false"]),
        run("K11", "a batch of no rows", 3, |o| o.per_device_train_batch_size = 0).fails(ErrorKind::Config, &["batch"]),
    ]);
}

#[test]
fn settings_that_make_no_sense_are_named_before_anything_is_trained() {
    let config = |row: Row, parts: &[&str]| row.fails(ErrorKind::Config, parts);
    let schedule = |warmup: u64, total: u64| {
        row(
            "K18",
            format!("{warmup} warm-up steps of {total}"),
            || (),
            move |()| Schedule::new(ScheduleKind::Cosine, 1e-3, warmup, total).map(|s| format!("{s:?}")),
        )
    };
    let mut rows = Vec::new();
    for lr in [f64::NAN, f64::INFINITY, -1e-4, 0.0] {
        let made = run("K17", &format!("a learning rate of {lr}"), 8, move |o| o.learning_rate = lr);
        rows.push(config(made, &["learning_rate", &format!("found {lr}")]));
    }
    for ratio in [f64::NAN, -0.1, 1.5] {
        let made = run("K18", &format!("a warm-up of {ratio}"), 8, move |o| o.warmup_ratio = ratio);
        rows.push(config(made, &["warmup_ratio", &format!("found {ratio}")]));
    }
    rows.push(config(schedule(11, 10), &["11 warm-up steps are more than the 10 steps of the run"]));
    rows.push(schedule(10, 10).works(&["warmup: 10"]));
    rows.push(config(schedule(0, 0), &["there are no steps to train"]));
    rows.push(run("K18", "a warm-up over all steps", 8, |o| o.warmup_ratio = 1.0).works(&["6 steps"]));
    judge(rows);
}

/// One row of text.
fn line(answer: &str) -> String {
    format!("{{\"messages\":[{{\"role\":\"assistant\",\"content\":\"{answer}\"}}]}}\n")
}

/// A data file, and a run of it that was stopped after its first checkpoint.
fn begun(answer: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("rows.jsonl"), line(answer).repeat(8)).unwrap();
    go_on(dir.path(), Resume::No, |o| o.max_steps = Some(6)).unwrap();
    dir
}

/// Trains on the data file as it is now.
fn go_on(dir: &Path, resume: Resume, change: impl FnOnce(&mut TrainerOptions)) -> Result<String> {
    let data = Dataset::read(&dir.join("rows.jsonl"), &ReadOptions::default())?;
    let mut options = TrainerOptions { resume, ..options(&dir.join("out")) };
    change(&mut options);
    Sums { data: data.digest().to_owned(), ..Sums::new(data.len()) }.train(options)
}

#[test]
fn a_data_file_that_changes_is_noticed_when_a_run_goes_on() {
    judge(vec![
        row("K16", "the same file", || begun("a cat"), |dir| go_on(dir.path(), Resume::Must, |_| ()))
            .works(&["6 steps, finished: true"]),
        row(
            "K16",
            "another answer",
            || begun("a cat"),
            |dir| {
                std::fs::write(dir.path().join("rows.jsonl"), line("a dog").repeat(8)).unwrap();
                go_on(dir.path(), Resume::Must, |_| ())
            },
        )
        .fails(
            ErrorKind::Config,
            &[
                "the checkpoint was made with other settings: data: ",
                "in the checkpoint",
                "now",
                "another output folder",
            ],
        ),
        row(
            "K16",
            "one row more",
            || begun("a cat"),
            |dir| {
                std::fs::write(dir.path().join("rows.jsonl"), line("a cat").repeat(9)).unwrap();
                go_on(dir.path(), Resume::Must, |_| ())
            },
        )
        .fails(ErrorKind::Config, &["other settings: data: "]),
        row(
            "K16",
            "a file that is written over while it is used",
            || begun("a cat"),
            |dir| {
                let path = dir.path().join("rows.jsonl");
                let data = Dataset::read(&path, &ReadOptions::default())?;
                let digest = data.digest().to_owned();
                let sums = Sums {
                    data: digest.clone(),
                    before: Box::new(move |_| {
                        std::fs::write(&path, "").map_err(|e| crate::small::wrong(&e.to_string()))
                    }),
                    ..Sums::new(data.len())
                };
                // Three epochs: the rows are those that were read.
                let trained =
                    sums.train(TrainerOptions { max_steps: Some(12), ..options(&dir.path().join("again")) })?;
                Ok(format!("{trained}, {} rows, the same digest: {}", data.len(), data.digest() == digest))
            },
        )
        .works(&["12 steps, finished: true, 8 rows, the same digest: true"]),
    ]);
}

#[test]
fn output_folders_that_cannot_be_used_are_named() {
    let into = |what: &str, make: fn() -> TempDir, then: fn(&Path) -> Result<String>| {
        row("K24", what, make, move |dir| then(dir.path()))
    };
    let new = || tempfile::tempdir().unwrap();
    let train = |dir: &Path| Sums::new(8).train(options(dir));
    let mut rows = vec![
        into(
            "a folder with a run in it",
            || {
                let dir = tempfile::tempdir().unwrap();
                Sums::new(8).train(options(dir.path())).unwrap();
                dir
            },
            train,
        )
        .fails(ErrorKind::Config, &["holds a run already, at step 6", "continue it", "another output folder"]),
        into(
            "a folder with other things in it",
            || {
                let dir = tempfile::tempdir().unwrap();
                std::fs::write(dir.path().join("notes.txt"), "x").unwrap();
                dir
            },
            |dir| {
                let trained = Sums::new(8).train(options(dir))?;
                Ok(format!("{trained}, {:?}", std::fs::read_to_string(dir.join("notes.txt")).ok()))
            },
        )
        .works(&["6 steps, finished: true, Some(\"x\")"]),
        into("a file", new, |dir| {
            std::fs::write(dir.join("out"), "x").unwrap();
            Sums::new(8).train(options(&dir.join("out")))
        })
        .fails(ErrorKind::Io, &["out"]),
        into("a folder below a file", new, |dir| {
            std::fs::write(dir.join("file"), "x").unwrap();
            Sums::new(8).train(options(&dir.join("file/out")))
        })
        .fails(ErrorKind::Io, &["file/out"]),
        into("a folder in use", new, |dir| {
            let _lock = OutputLock::acquire(dir)?;
            Sums::new(8).train(options(dir))
        })
        .fails(
            ErrorKind::Io,
            &["is in use by this process already", "wait until it is done", "output folder of its own"],
        ),
        into("a folder that was in use", new, |dir| {
            drop(OutputLock::acquire(dir)?);
            Sums::new(8).train(options(dir))
        })
        .works(&["6 steps"]),
    ];
    // The superuser may write everywhere, but not there.
    if cfg!(target_os = "linux") {
        rows.push(
            into("a folder that cannot be made", new, |_| Sums::new(8).train(options(Path::new("/proc/self/out"))))
                .fails(ErrorKind::Io, &["/proc/self/out"]),
        );
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let closed = || {
            let dir = tempfile::tempdir().unwrap();
            std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o555)).unwrap();
            dir
        };
        if std::fs::write(closed().path().join("x"), "").is_err() {
            rows.push(
                into("a folder that may not be written to", closed, train).fails(ErrorKind::Io, &["Permission denied"]),
            );
        }
    }
    judge(rows);
}
