//! Prints the folder of a model, which is fetched if it is not in the cache:
//! `cargo run -p vlm-core --features download --example hub -- Qwen/Qwen2-VL-2B-Instruct [REVISION]`.

#![allow(clippy::print_stdout, clippy::print_stderr)] // Its output is what it is for.

use std::process::ExitCode;
use vlm_core::hub::{HubOptions, Progress, resolve_with};

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let (Some(model), revision, None) = (args.next(), args.next(), args.next()) else {
        eprintln!("usage: hub MODEL [REVISION]");
        return ExitCode::from(2);
    };
    let mut options = HubOptions::from_env();
    if let Some(revision) = revision {
        options.revision = revision;
    }
    // One line for each file, when it begins.
    let mut begun = String::new();
    let mut show = |p: &Progress| {
        if p.file != begun {
            begun.clone_from(&p.file);
            let size = p.size.map_or_else(|| "size unknown".to_owned(), |s| format!("{s} bytes"));
            eprintln!("{} of {}: {} ({size})", p.number, p.files, p.file);
        }
    };
    match resolve_with(&model, &options, &mut show) {
        Ok(folder) => {
            println!("{}", folder.display());
            ExitCode::SUCCESS
        }
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}
