//! The command among programs of a folder, as in an image.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError};

/// One test at a time: a file that is still open for writing in a process that another test forks cannot be run.
static ONE: Mutex<()> = Mutex::new(());

/// A folder with the command and one program, which says its process and arguments and ends with 7.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    std::fs::hard_link(env!("CARGO_BIN_EXE_vlm"), folder.path().join("vlm")).unwrap();
    let program = folder.path().join("lora");
    std::fs::write(&program, "#!/bin/sh\necho \"$$ $*\"\nexit 7\n").unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

fn vlm(folder: &tempfile::TempDir, arguments: &[&str]) -> Output {
    Command::new(folder.path().join("vlm")).args(arguments).output().unwrap()
}

#[test]
fn a_program_takes_the_place_of_the_command() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = folder();
    let child = Command::new(folder.path().join("vlm"))
        .args(["lora", "--device", "cpu"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let process = child.id();
    let out = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&out.stdout).trim(), format!("{process} --device cpu"));
    assert_eq!(out.status.code(), Some(7), "its exit code is the program's");
}

#[test]
fn what_is_there_is_told() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = folder();
    for arguments in [&[][..], &["help"], &["--help"]] {
        let out = vlm(&folder, arguments);
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(out.status.success() && said.contains("lora"), "{said}");
        assert!(!said.contains("doctor"), "it is not there: {said}");
    }
    let version = vlm(&folder, &["--version"]);
    assert_eq!(String::from_utf8_lossy(&version.stdout).trim(), concat!("vlm ", env!("CARGO_PKG_VERSION")));
}

#[test]
fn what_is_not_there_is_an_error() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = folder();
    for name in ["doctor", "serve", "../lora", ""] {
        let out = vlm(&folder, &[name]);
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(2), "{said}");
        assert!(said.contains(&format!("{name:?}")) && said.contains("lora"), "{said}");
    }
    std::fs::set_permissions(folder.path().join("lora"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let out = vlm(&folder, &["lora"]);
    assert_eq!(out.status.code(), Some(126));
}
