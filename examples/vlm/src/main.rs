//! One command for all programs, as images have them: `vlm lora --device cpu` becomes the program `lora` beside this one, with the
//! same process number, so that signals and exit codes are its own. No shell is needed.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr)] // It is a command.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// The programs that are started, with what they do.
const PROGRAMS: [(&str, &str); 8] = [
    ("doctor", "what this machine can do, what is missing and the remedy"),
    ("lora", "LoRA-tunes a model and puts the adapter into PEFT's format; without arguments the main job"),
    ("train", "trains a model or a part of it"),
    ("generate", "answers to pictures and texts"),
    ("embed", "embeddings of pictures and texts, zero-shot classification"),
    ("om", "models compiled for Ascend NPUs"),
    ("model", "one whole-model measurement"),
    ("parity", "computes what a folder of reference data names"),
];

/// The programs that are there.
fn present(folder: &Path) -> Vec<(&'static str, &'static str)> {
    PROGRAMS.into_iter().filter(|(name, _)| folder.join(name).is_file()).collect()
}

fn help(folder: &Path) {
    println!("vlm PROGRAM [ARGUMENTS…]; vlm PROGRAM --help says what it takes. Programs here:\n");
    for (name, what) in present(folder) {
        println!("  {name:<9} {what}");
    }
}

fn main() -> ExitCode {
    let own = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("/usr/local/bin/vlm"));
    let folder = own.parent().unwrap_or(Path::new("."));
    let mut arguments = std::env::args_os().skip(1);
    let name = match arguments.next() {
        None => OsString::from("help"),
        Some(name) => name,
    };
    match name.to_str() {
        Some("help" | "--help" | "-h") => {
            help(folder);
            ExitCode::SUCCESS
        }
        Some("--version" | "-V") => {
            println!("vlm {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        Some(known) if present(folder).iter().any(|(p, _)| *p == known) => {
            // It returns only if the program could not be started.
            let e = Command::new(folder.join(known)).args(arguments).exec();
            eprintln!("error: {}: {e}", folder.join(known).display());
            ExitCode::from(126)
        }
        _ => {
            let names: Vec<_> = present(folder).iter().map(|(n, _)| *n).collect();
            eprintln!("error: there is no program {name:?} here; there are {}", names.join(", "));
            ExitCode::from(2)
        }
    }
}
