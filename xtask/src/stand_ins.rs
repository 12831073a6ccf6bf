//! Libraries that stand in for libtorch where there is none, so that a program built with the feature `cuda` starts and says so.
//!
//! A program names some two hundred functions of libtorch, and the system's loader wants to know the libraries before `main`. These hold
//! the same names and do nothing; the version that they tell is none, by which `vlm-cuda` knows them and calls nothing else.

use crate::programs::libtorch;
use crate::run::{capture, check};
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::process::Command;

const LIBRARIES: [&str; 2] = ["libtorch_cpu.so", "libc10.so"];

/// Names and kinds (`T`, `D`, …) of `nm -D`.
fn names(file: &Path, which: &str) -> Result<BTreeMap<String, char>> {
    let said = capture(Command::new("nm").args(["-D", which]).arg(file))?;
    ensure!(said.code == Some(0), "nm cannot read {}: {}", file.display(), said.all());
    let line = |l: &str| {
        let mut words = l.split_whitespace().rev();
        let (name, kind) = (words.next()?, words.next()?);
        Some((name.to_owned(), kind.chars().next()?))
    };
    Ok(said.stdout.lines().filter_map(line).collect())
}

/// Writes stand-ins for what `program` needs of libtorch into the folder `into`.
pub(crate) fn make(program: &Path, into: &Path) -> Result<usize> {
    let mut there = BTreeMap::new();
    for library in LIBRARIES {
        there.extend(names(&libtorch().join(library), "--defined-only")?);
    }
    let needed = names(program, "--undefined-only")?;
    let mut code = String::from("/* Stands in for libtorch. */\n");
    let mut count = 0;
    for (i, (name, kind)) in needed.keys().filter_map(|n| Some((n, there.get(n)?))).enumerate() {
        count += 1;
        // Writing into a String cannot fail.
        let _ = if matches!(kind, 'T' | 'W' | 'i' | 't') {
            writeln!(code, "void *f{i}(void) __asm__(\"{name}\");\nvoid *f{i}(void) {{ return 0; }}")
        } else {
            writeln!(code, "extern char d{i}[4096] __asm__(\"{name}\");\nchar d{i}[4096] = {{0}};")
        };
    }
    ensure!(count > 0, "{} needs nothing of libtorch", program.display());
    std::fs::create_dir_all(into)?;
    let source = into.join("stand-ins.c");
    for library in LIBRARIES {
        // All names are in the first; the second has to be there.
        std::fs::write(&source, &code).context("writing stand-ins")?;
        let mut compile = Command::new("cc");
        compile.args(["-shared", "-fPIC", "-O1", "-nostdlib", &format!("-Wl,-soname,{library}"), "-o"]);
        check(compile.arg(into.join(library)).arg(&source))?;
        "/* As above. */\n".clone_into(&mut code);
    }
    std::fs::remove_file(source).context("removing the source of stand-ins")?;
    Ok(count)
}
