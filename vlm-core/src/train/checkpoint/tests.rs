use super::fs::{Change, Hook};
use super::*;
use crate::weights::testing::with_damaged;
use crate::{ErrorKind, Result};
use serde_json::json;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Saves a checkpoint of two files whose content tells `step` and `generation` apart.
fn save(store: &mut CheckpointStore, step: u64, generation: u8) -> Result<PathBuf> {
    store.save(step, &json!({ "generation": generation, "seed": u64::MAX }), |w| {
        w.add("adapter.bin", &[generation; 5000])?;
        let mut file = w.create("optimizer.bin")?;
        for _ in 0..3 {
            file.append(&vec![step as u8; 700_000])?;
        }
        file.finish()
    })
}

/// What [`latest`] gives: step and generation, after checking that content and state agree.
fn newest(dir: &Path) -> Option<(u64, u64)> {
    let found = latest(dir).unwrap().checkpoint?;
    let generation = found.state()["generation"].as_u64().unwrap();
    assert_eq!(found.state()["seed"], u64::MAX);
    assert!(std::fs::read(found.file("adapter.bin").unwrap()).unwrap().iter().all(|&b| u64::from(b) == generation));
    assert_eq!(std::fs::read(found.file("optimizer.bin").unwrap()).unwrap(), vec![found.step() as u8; 2_100_000]);
    Some((found.step(), generation))
}

fn names(dir: &Path) -> Vec<String> {
    let mut all: Vec<String> =
        std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    all.retain(|n| n != ".lock");
    all.sort();
    all
}

#[test]
fn the_newest_valid_checkpoint_is_found_and_the_limit_kept() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    assert!(latest(&out).unwrap().checkpoint.is_none());
    let mut store = CheckpointStore::open(&out, Some(2)).unwrap();
    for step in [5, 10, 20, 100] {
        let path = save(&mut store, step, 1).unwrap();
        assert_eq!(newest(&out), Some((step, 1)));
        let check =
            Command::new("sha256sum").args(["-c", "--quiet", "manifest.json.sha256"]).current_dir(path).status();
        assert!(check.map_or(true, |s| s.success()));
    }
    assert_eq!(names(&out), ["checkpoint-100", "checkpoint-20"]);
    save(&mut store, 100, 2).unwrap();
    assert_eq!((newest(&out), names(&out)), (Some((100, 2)), vec!["checkpoint-100".into(), "checkpoint-20".into()]));
    // A run that went back keeps what it just saved, however old its step.
    save(&mut store, 1, 3).unwrap();
    assert!(out.join("checkpoint-1").is_dir() && names(&out).len() == 2, "{:?}", names(&out));
    assert!(CheckpointStore::open(&out, Some(0)).is_err());
}

#[test]
fn damaged_foreign_and_future_checkpoints_are_passed_over_with_a_reason() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let mut store = CheckpointStore::open(dir.path(), Some(1)).unwrap();
    save(&mut store, 1, 1).unwrap();
    let copy = |to: &str, change: &dyn Fn(&Path)| {
        std::fs::create_dir(at(to)).unwrap();
        for entry in std::fs::read_dir(at("checkpoint-1")).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), at(to).join(entry.file_name())).unwrap();
        }
        change(&at(to));
    };
    copy("checkpoint-2", &|p| std::fs::write(p.join("adapter.bin"), [1; 4999]).unwrap());
    copy("checkpoint-3", &|p| std::fs::remove_file(p.join("optimizer.bin")).unwrap());
    copy("checkpoint-4", &|p| {
        let mut bytes = std::fs::read(p.join("optimizer.bin")).unwrap();
        bytes[1_000_000] ^= 4;
        std::fs::write(p.join("optimizer.bin"), bytes).unwrap();
    });
    copy("checkpoint-5", &|p| std::fs::remove_file(p.join("manifest.json")).unwrap());
    copy("checkpoint-6", &|p| std::fs::write(p.join("manifest.json"), r#"{"schema":2,"what":["ever"]}"#).unwrap());
    copy("checkpoint-7", &|p| {
        let text = std::fs::read_to_string(p.join("manifest.json")).unwrap();
        std::fs::write(p.join("manifest.json"), text.replace("\"generation\": 1", "\"generation\": 7")).unwrap();
    });
    copy("checkpoint-8", &|p| std::fs::write(p.join("manifest.json"), "").unwrap());
    std::fs::create_dir(at("checkpoint-9")).unwrap();
    std::fs::write(at("checkpoint-10"), "a file").unwrap();
    std::fs::create_dir(at("checkpoint-best")).unwrap();

    let found = latest(dir.path()).unwrap();
    assert_eq!(found.checkpoint.unwrap().step(), 1);
    let wants = [
        (10, "Not a directory"),
        (9, "no checkpoint of ours"),
        (8, "not valid: EOF"),
        (7, "manifest.json has changed"),
        (6, "schema version 2, expected 1"),
        (5, "it has no manifest.json"),
        (4, "optimizer.bin has changed"),
        (3, "optimizer.bin: No such file"),
        (2, "adapter.bin has 4999 bytes, expected 5000"),
    ];
    assert_eq!(found.skipped.len(), wants.len());
    for ((path, error), (step, want)) in found.skipped.iter().zip(wants) {
        assert!(path.ends_with(format!("checkpoint-{step}")) && error.to_string().contains(want), "{step}: {error}");
    }
    assert_eq!(found.skipped[4].1.kind(), ErrorKind::Unsupported);
    // Pruning leaves what it does not understand, and counts only what can be loaded.
    let before = names(dir.path());
    save(&mut store, 11, 1).unwrap();
    for name in before.iter().filter(|n| !["checkpoint-1", "checkpoint-4"].contains(&n.as_str())) {
        assert!(at(name).exists(), "{name}");
    }
}

#[test]
fn resuming_says_why_it_cannot() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let message = |path: &Path| resume_from(path).unwrap_err().to_string();
    assert!(message(&at("none")).contains("does not exist"));
    assert!(message(dir.path()).contains("has no checkpoint-<step> in it"));
    std::fs::create_dir(at("checkpoint-3")).unwrap();
    assert!(message(dir.path()).contains("no checkpoint of ours"));
    assert!(message(&at("checkpoint-3")).contains("no checkpoint of ours"));
    let path = save(&mut CheckpointStore::open(dir.path(), None).unwrap(), 2, 1).unwrap();
    assert_eq!(resume_from(&path).unwrap().step(), 2);
    let found = resume_from(dir.path()).unwrap();
    assert!(found.file("nope").unwrap_err().to_string().contains("only adapter.bin, optimizer.bin"));
}

#[test]
fn a_second_writer_of_the_same_folder_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let first = CheckpointStore::open(dir.path(), None).unwrap();
    let e = CheckpointStore::open(dir.path(), None).unwrap_err().to_string();
    assert!(e.contains(&dir.path().display().to_string()) && e.contains("in use by this process already"), "{e}");
    std::fs::write(dir.path().join(".lock"), "4711\n").unwrap();
    let e = OutputLock::acquire(dir.path()).unwrap_err().to_string();
    assert!(e.contains("in use by process 4711") && e.contains("output folder of its own"), "{e}");
    drop(first);
    OutputLock::acquire(dir.path()).unwrap();
    std::fs::write(dir.path().join("file"), "").unwrap();
    assert!(OutputLock::acquire(&dir.path().join("file")).unwrap_err().to_string().contains("file"));
}

#[test]
fn misuse_of_the_writer_is_an_error_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = CheckpointStore::open(dir.path(), None).unwrap();
    let mut fails = |write: fn(&mut CheckpointWriter<'_>) -> Result<()>, want: &str| {
        let e = store.save(1, &json!(null), write).unwrap_err().to_string();
        assert!(e.contains(want) && names(dir.path()).is_empty(), "{e}");
    };
    for name in ["../x", "a/b", "", "..", "manifest.json", "/x", "manifest.json.sha256"] {
        assert!(super::manifest::check_name(name).is_err(), "{name}");
    }
    fails(|w| w.add("../x", b""), "cannot have a file named");
    fails(|w| w.add("x", b"").and_then(|()| w.add("x", b"")), "already there");
    fails(|w| w.create("x").map(drop), "begun but not finished");
    fails(|_| Err(crate::Error::new(ErrorKind::Cancelled, "train", "stopped")), "stopped");
}

/// Fails or ends the process at the `at`-th change to the disk.
struct Fault {
    at: usize,
    count: AtomicUsize,
    kill: bool,
}

impl Hook for Fault {
    fn before(&self, change: Change, path: &Path) -> io::Result<()> {
        if self.count.fetch_add(1, Ordering::SeqCst) != self.at {
            return Ok(());
        }
        if self.kill {
            // As kill -9: no destructor runs, nothing is flushed.
            std::process::abort();
        }
        Err(io::Error::new(io::ErrorKind::StorageFull, format!("injected: {change:?} {}", path.display())))
    }
}

/// Saves step 20 where steps 10 and (if `replaces`) 20 are, with a fault at the `at`-th change.
fn faulty_save(dir: &Path, replaces: bool, at: usize, kill: bool) -> (Result<PathBuf>, bool) {
    let mut store = CheckpointStore::open(dir, Some(1 + usize::from(replaces))).unwrap();
    let fault = Arc::new(Fault { at, count: AtomicUsize::new(0), kill });
    store.fs.hook = Some(fault.clone());
    let result = save(&mut store, 20, 9);
    (result, fault.count.load(Ordering::SeqCst) > at)
}

fn prepare(dir: &Path, replaces: bool) -> Option<(u64, u64)> {
    let mut store = CheckpointStore::open(dir, None).unwrap();
    save(&mut store, 10, 1).unwrap();
    if replaces {
        save(&mut store, 20, 2).unwrap();
    }
    newest(dir)
}

#[test]
fn a_fault_at_any_change_to_the_disk_leaves_a_loadable_state() {
    for replaces in [false, true] {
        for at in 0.. {
            let dir = tempfile::tempdir().unwrap();
            let before = prepare(dir.path(), replaces);
            let (result, reached) = faulty_save(dir.path(), replaces, at, false);
            match &result {
                Ok(_) => assert_eq!(newest(dir.path()), Some((20, 9)), "fault {at}"),
                Err(e) => {
                    assert!(e.kind() == ErrorKind::Io && e.to_string().contains("injected"), "{e}");
                    assert_eq!(newest(dir.path()), before, "fault {at}: {e}");
                }
            }
            // The next run finds the same and no leftovers.
            let after = newest(dir.path());
            drop(CheckpointStore::open(dir.path(), None).unwrap());
            assert_eq!(newest(dir.path()), after, "fault {at}");
            assert!(names(dir.path()).iter().all(|n| n.starts_with("checkpoint-")), "{:?}", names(dir.path()));
            if !reached {
                assert!(at > 15, "only {at} changes were made");
                break;
            }
        }
    }
}

const CHILD: &str = "VLM_TEST_CHECKPOINT_CHILD";

fn child(test: &str, task: &str, before: &str) -> std::process::Output {
    Command::new("sh")
        .args(["-c", &format!("{before} exec \"$0\" --exact train::checkpoint::tests::{test}")])
        .arg(std::env::current_exe().unwrap())
        .env(CHILD, task)
        .output()
        .unwrap()
}

#[cfg(unix)]
#[test]
fn a_kill_at_any_change_to_the_disk_leaves_a_loadable_state() {
    const NAME: &str = "a_kill_at_any_change_to_the_disk_leaves_a_loadable_state";
    if let Ok(task) = std::env::var(CHILD) {
        let (at, dir) = task.split_once(' ').unwrap();
        faulty_save(Path::new(dir), true, at.parse().unwrap(), true).0.unwrap();
        return;
    }
    for at in 0.. {
        let dir = tempfile::tempdir().unwrap();
        let before = prepare(dir.path(), true);
        let output = child(NAME, &format!("{at} {}", dir.path().display()), "ulimit -c 0;");
        let after = newest(dir.path());
        assert!(after == before || after == Some((20, 9)), "kill at {at}: {after:?}");
        drop(CheckpointStore::open(dir.path(), None).unwrap());
        assert_eq!(newest(dir.path()), after, "kill at {at}");
        assert!(names(dir.path()).iter().all(|n| n.starts_with("checkpoint-")), "{:?}", names(dir.path()));
        if output.status.success() {
            assert!(at > 15 && after == Some((20, 9)), "only {at} changes were made");
            break;
        }
    }
}

#[cfg(unix)]
#[test]
fn a_size_limit_while_saving_leaves_the_previous_checkpoint() {
    if let Ok(dir) = std::env::var(CHILD) {
        let e = save(&mut CheckpointStore::open(Path::new(&dir), None).unwrap(), 20, 9).unwrap_err();
        assert!(e.kind() == ErrorKind::Io && e.to_string().contains("size limit"), "{e}");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let before = prepare(dir.path(), false);
    let task = dir.path().display().to_string();
    let output =
        child("a_size_limit_while_saving_leaves_the_previous_checkpoint", &task, "trap '' XFSZ; ulimit -f 1024;");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!((newest(dir.path()), names(dir.path())), (before, vec!["checkpoint-10".to_owned()]));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_while_saving_leaves_the_previous_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=3m", "tmpfs"]).arg(dir.path()).output();
    if !mount.is_ok_and(|o| o.status.success()) {
        crate::weights::testing::skipped("a small file system cannot be mounted here");
        return;
    }
    let outcome = std::panic::catch_unwind(|| {
        let before = prepare(dir.path(), false);
        let mut store = CheckpointStore::open(dir.path(), None).unwrap();
        let e = save(&mut store, 20, 9).unwrap_err();
        assert!(e.kind() == ErrorKind::Io && e.to_string().contains("free some space"), "{e}");
        assert_eq!((newest(dir.path()), names(dir.path())), (before, vec!["checkpoint-10".to_owned()]));
    });
    let unmount = Command::new("umount").arg("-l").arg(dir.path()).status();
    assert!(outcome.is_ok() && unmount.is_ok_and(|s| s.success()));
}

#[test]
fn damaged_manifests_never_name_a_file_outside_their_folder() {
    let good = json!({ "schema": 1, "step": 3, "files": { "a.bin": { "size": 1, "sha256": "0".repeat(64) } }, "state": { "x": [1.5] } });
    let outside =
        json!({ "schema": 1, "step": 3, "files": { "../a": { "size": 1, "sha256": "0".repeat(64) } }, "state": null });
    let inputs = [good, outside].map(|v| v.to_string().into_bytes());
    assert!(Manifest::parse(&inputs[0]).is_ok() && Manifest::parse(&inputs[1]).is_err());
    with_damaged(&inputs, 5000, |bytes| {
        for name in Manifest::parse(bytes).iter().flat_map(|m| m.files.keys()) {
            assert!(!name.contains('/') && name != "..", "{name:?}");
        }
    });
}
