//! The trainer: exact resume, refusals that leave everything intact, accumulation.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use vlm_core::backend::RandomKey;
use vlm_core::nn::{Builder, Initializer, Linear, LossSum, Modules};
use vlm_core::train::{Resume, Task, Trainer, TrainerOptions};
use vlm_core::{DType, Device, ErrorKind, Result, Tensor};

const ROWS: usize = 20;

/// Two layers with dropout between them learn the sum of their input.
struct Sums {
    first: Arc<Linear>,
    second: Arc<Linear>,
    modules: Arc<Modules>,
    inputs: Tensor,
    /// Sets the flag at this call.
    stop: Option<(usize, Arc<AtomicBool>)>,
    /// This row's loss is not a number.
    poisoned: Option<usize>,
    calls: AtomicUsize,
    dropout: bool,
}

impl Sums {
    fn new() -> Self {
        let device = Device::reference();
        let b = Builder::new(Initializer { seed: 5 }, DType::F32, &device);
        let inputs = Tensor::randn([ROWS, 4], RandomKey { seed: 1, stream: 1 }, DType::F32, &device).unwrap();
        let first = Linear::new(&b.at("first"), 4, 8, true, 0.3).unwrap();
        let second = Linear::new(&b.at("second"), 8, 1, false, 0.3).unwrap();
        b.modules().set_trainable(|_| true).unwrap();
        let modules = b.modules().clone();
        Sums { first, second, modules, inputs, stop: None, poisoned: None, calls: AtomicUsize::new(0), dropout: true }
    }

    fn train(&self, options: TrainerOptions) -> Result<vlm_core::train::Outcome> {
        let mut trainer = Trainer::new(options, self.modules.trainable(), serde_json::json!("sums"))?;
        if let Some((_, flag)) = &self.stop {
            trainer = trainer.with_stop(flag.clone());
        }
        trainer.run(self)
    }

    fn weights(&self) -> Vec<f32> {
        self.modules.parameters().iter().flat_map(|p| p.tensor().unwrap().to_vec::<f32>().unwrap()).collect()
    }
}

impl Task for Sums {
    fn len(&self) -> usize {
        ROWS
    }

    fn loss(&self, rows: &[usize]) -> Result<LossSum> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        if let Some((_, flag)) = self.stop.as_ref().filter(|(at, _)| *at == call) {
            flag.store(true, Ordering::Relaxed);
        }
        let index: Vec<i64> = rows.iter().map(|&r| r as i64).collect();
        let x = self.inputs.index_select(0, &Tensor::from_slice(&index, rows.len(), self.inputs.device())?)?;
        let mut h = self.first.forward(&x)?.gelu()?;
        if self.dropout {
            h = h.dropout(0.2, vlm_core::random::next_key())?;
        }
        let error = (self.second.forward(&h)? - x.sum(1, true)?)?;
        let mut sum = error.square()?.sum_all()?;
        if self.poisoned.is_some_and(|p| rows.contains(&p)) {
            sum = sum.mul_scalar(f64::NAN)?;
        }
        Ok(LossSum { sum, tokens: rows.len() })
    }

    fn row_name(&self, row: usize) -> String {
        format!("sample {row}")
    }

    fn digest(&self) -> String {
        "sums".to_owned()
    }
}

fn options(dir: &Path) -> TrainerOptions {
    TrainerOptions {
        max_steps: Some(17),
        per_device_train_batch_size: 3,
        learning_rate: 1e-2,
        logging_steps: 1,
        save_steps: 4,
        ..TrainerOptions::new(dir)
    }
}

fn losses(dir: &Path) -> Vec<String> {
    let log = std::fs::read_to_string(dir.join("trainer_log.jsonl")).unwrap();
    let line = |l: &str| serde_json::from_str::<serde_json::Value>(l).unwrap();
    log.lines().map(line).map(|v| format!("{} {} {}", v["current_steps"], v["loss"], v["lr"])).collect()
}

#[test]
fn a_stopped_run_goes_on_bit_for_bit() {
    let (whole_dir, parts_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let whole = Sums::new();
    let done = whole.train(options(whole_dir.path())).unwrap();
    assert!(done.finished && done.steps == 17);
    // Stopped in its 7th step, then in the 12th, then left alone; each time by a fresh program.
    for stop in [Some(7), Some(5), None] {
        let part = Sums { stop: stop.map(|at| (at, Arc::default())), ..Sums::new() };
        let done = part.train(TrainerOptions { resume: Resume::IfThere, ..options(parts_dir.path()) }).unwrap();
        assert_eq!(done.finished, stop.is_none());
        if done.finished {
            assert_eq!(part.weights(), whole.weights());
        }
    }
    assert_eq!(losses(parts_dir.path()), losses(whole_dir.path()));
    assert_eq!(losses(whole_dir.path()).len(), 17);
}

#[test]
fn a_loss_that_is_no_number_stops_before_the_step_and_names_the_rows() {
    let dir = tempfile::tempdir().unwrap();
    let poisoned = Sums { poisoned: Some(11), ..Sums::new() };
    let before = poisoned.weights();
    let e = poisoned.train(options(dir.path())).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NonFinite);
    assert!(e.to_string().contains("the loss is NaN in step") && e.to_string().contains("sample 11"), "{e}");
    // 20 rows in batches of 3: the row comes in the first seven steps, after some that did change the weights.
    assert!(poisoned.weights().iter().all(|w| w.is_finite()));
    assert!(before.iter().all(|w| w.is_finite()));
    // What was saved before goes on once the row is mended.
    let mended = Sums::new();
    let again = TrainerOptions { resume: Resume::IfThere, ..options(dir.path()) };
    assert!(mended.train(again).unwrap().finished);
}

#[test]
fn a_parameter_without_a_gradient_is_named_unless_allowed() {
    let dir = tempfile::tempdir().unwrap();
    let sums = Sums::new();
    let b = Builder::new(Initializer { seed: 5 }, DType::F32, &Device::reference());
    let unused = Linear::new(&b.at("unused.proj"), 2, 2, false, 0.1).unwrap();
    unused.weight().set_trainable(true).unwrap();
    let params = || sums.modules.trainable().into_iter().chain([unused.weight().clone()]).collect();
    let run = |options| Trainer::new(options, params(), serde_json::json!("sums")).unwrap().run(&sums);
    let before = sums.weights();
    let e = run(options(dir.path())).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::MissingGradient);
    assert!(e.to_string().contains("unused.proj.weight"), "{e}");
    assert_eq!(sums.weights(), before, "nothing was changed");
    let allowed = TrainerOptions { allow_missing_gradients: true, ..options(dir.path()) };
    assert!(run(allowed).unwrap().finished);
}

#[test]
fn other_settings_other_folders_and_nothing_to_train_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    Sums::new().train(options(dir.path())).unwrap();
    let fails = |options: TrainerOptions| Sums::new().train(options).unwrap_err();
    let e = fails(options(dir.path()));
    assert!(e.to_string().contains("holds a run already, at step 17"), "{e}");
    let e = fails(TrainerOptions { resume: Resume::Must, learning_rate: 2e-2, ..options(dir.path()) });
    assert!(e.to_string().contains("learning_rate"), "{e}");
    let empty = tempfile::tempdir().unwrap();
    let e = fails(TrainerOptions { resume: Resume::Must, ..options(empty.path()) });
    assert!(e.to_string().contains("no checkpoint to continue from"), "{e}");
    let e = fails(TrainerOptions { max_grad_norm: Some(-1.0), ..options(empty.path()) });
    assert!(e.to_string().contains("max_grad_norm"), "{e}");
    let file = empty.path().join("file");
    std::fs::write(&file, "").unwrap();
    let e = fails(options(&file));
    assert!(e.to_string().contains("file"), "{e}");
    let frozen = Sums::new();
    frozen.modules.set_trainable(|_| false).unwrap();
    assert!(frozen.train(options(empty.path())).unwrap_err().to_string().contains("nothing to train"));
}

#[test]
fn accumulated_micro_batches_are_one_batch() {
    let train = |batch, accumulate| {
        let dir = tempfile::tempdir().unwrap();
        let sums = Sums { dropout: false, ..Sums::new() };
        let options = TrainerOptions {
            per_device_train_batch_size: batch,
            gradient_accumulation_steps: accumulate,
            max_steps: Some(5),
            ..options(dir.path())
        };
        sums.train(options).unwrap();
        sums.weights()
    };
    let (whole, parts) = (train(4, 1), train(2, 2));
    whole.iter().zip(&parts).for_each(|(a, b)| assert!((a - b).abs() < 1e-5, "{a} {b}"));
}

/// The evaluations of a run: step and loss.
fn evaluations(dir: &Path) -> Vec<String> {
    let log = std::fs::read_to_string(dir.join("trainer_log.jsonl")).unwrap();
    let lines = log.lines().map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap());
    let found = lines.filter(|v| v.get("eval_loss").is_some());
    found
        .map(|v| {
            assert!(v.get("loss").is_none() && v.get("lr").is_none(), "{v}");
            format!("{} {}", v["current_steps"], v["eval_loss"])
        })
        .collect()
}

#[test]
fn an_evaluation_is_logged_changes_nothing_and_is_made_up_for_after_a_stop() {
    let train = |dir: &Path, stop: Option<(usize, Arc<AtomicBool>)>, every: Option<u64>| {
        let sums = Sums { stop, ..Sums::new() };
        // Dropout is off while rows are judged, as the switch says.
        let judged = Sums { first: sums.first.clone(), second: sums.second.clone(), dropout: false, ..Sums::new() };
        let (asked, calls) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let options = TrainerOptions { resume: Resume::IfThere, ..options(dir) };
        let mut trainer = Trainer::new(options, sums.modules.trainable(), serde_json::json!("sums")).unwrap();
        if let Some((_, flag)) = &sums.stop {
            trainer = trainer.with_stop(flag.clone());
        }
        if let Some(every) = every {
            trainer = trainer.with_evaluation(&judged, every).with_mode(|training| {
                assert_eq!(training, calls.fetch_add(1, Ordering::Relaxed) % 2 == 1, "off before, on after");
                asked.fetch_add(1, Ordering::Relaxed);
            });
        }
        let outcome = trainer.run(&sums).unwrap();
        (outcome, sums.weights(), asked.load(Ordering::Relaxed), judged.calls.load(Ordering::Relaxed))
    };
    let [without, with, parts] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let (_, plain, ..) = train(without.path(), None, None);
    let (outcome, weights, asked, calls) = train(with.path(), None, Some(5));
    assert_eq!(weights, plain, "the weights are those of a run without evaluation");
    let found = evaluations(with.path());
    let steps: Vec<&str> = found.iter().filter_map(|l| l.split(' ').next()).collect();
    assert_eq!(steps, ["5", "10", "15", "17"]);
    assert_eq!((asked, calls), (8, 4 * ROWS.div_ceil(8)), "rows are judged eight at a time");
    let last = outcome.eval_loss.unwrap();
    assert!(found[3].ends_with(&last.to_string()), "{} {last}", found[3]);
    assert!(std::fs::read_to_string(with.path().join("training_loss.svg")).unwrap().contains("eval/loss"));
    assert!(!std::fs::read_to_string(without.path().join("training_loss.svg")).unwrap().contains("eval/loss"));

    // Stopped in the step that an evaluation follows, then in between; a finished run is only read.
    for stop in [Some(5), Some(7), None, None] {
        let done = train(parts.path(), stop.map(|at| (at, Arc::default())), Some(5));
        match (stop, done.0.finished) {
            (None, finished) => {
                assert!(finished && done.1 == weights);
                assert_eq!(done.0.eval_loss, Some(last));
            }
            (Some(5), _) => assert_eq!(evaluations(parts.path()).len(), 0, "whoever stops does not wait for it"),
            _ => {}
        }
    }
    assert_eq!((evaluations(parts.path()), losses(parts.path())), (found, losses(with.path())));
}

#[test]
fn a_run_goes_on_from_the_checkpoint_that_is_named_and_in_a_folder_that_is_locked() {
    let (whole, part) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let all = Sums::new();
    all.train(TrainerOptions { save_total_limit: None, ..options(whole.path()) }).unwrap();
    let from = whole.path().join("checkpoint-8");
    let sums = Sums::new();
    let lock = Arc::new(vlm_core::train::checkpoint::OutputLock::acquire(part.path()).unwrap());
    let resumed = TrainerOptions { resume: Resume::From(from), ..options(part.path()) };
    let trainer = |lock: &Arc<vlm_core::train::checkpoint::OutputLock>| {
        Trainer::new(resumed.clone(), sums.modules.trainable(), serde_json::json!("sums"))
            .unwrap()
            .with_lock(lock.clone())
    };
    let done = trainer(&lock).run(&sums).unwrap();
    assert!(done.finished && sums.weights() == all.weights());
    let other = Arc::new(vlm_core::train::checkpoint::OutputLock::acquire(&whole.path().join("other")).unwrap());
    let e = trainer(&other).run(&sums).unwrap_err();
    assert!(e.to_string().contains("other"), "{e}");
    let missing = TrainerOptions { resume: Resume::From(part.path().join("checkpoint-99")), ..options(part.path()) };
    drop(lock);
    assert!(Sums::new().train(missing).unwrap_err().to_string().contains("checkpoint-99"));
}
