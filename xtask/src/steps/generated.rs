//! Files made by programs.

use crate::bindings;
use crate::run::{capture, cargo};
use crate::workspace::{need_member, path};
use anyhow::{Context, Result, bail};

/// A file and where its text comes from.
struct Generated {
    file: &'static str,
    from: Source,
}

enum Source {
    /// A member's program that prints it: the cargo arguments to run it.
    Program { member: &'static str, command: &'static [&'static str] },
    /// Ourselves.
    Here(fn() -> Result<String>),
}

const FILES: &[Generated] = &[
    Generated { file: bindings::FILE, from: Source::Here(bindings::make) },
    Generated {
        file: "docs/support-matrix.md",
        from: Source::Program {
            member: "examples/support-matrix",
            command: &["run", "--quiet", "-p", "support-matrix"],
        },
    },
];

impl Generated {
    fn text(&self) -> Result<String> {
        let (member, command) = match self.from {
            Source::Program { member, command } => (member, command),
            Source::Here(make) => return make().with_context(|| format!("making {}", self.file)),
        };
        need_member(member)?;
        let mut run = cargo(command);
        // The NPU that the matrix shows is the simulated one.
        super::ascend::simulate(&mut run, "schedule=eager")?;
        let said = capture(&mut run)?;
        if said.code != Some(0) || said.stdout.trim().is_empty() {
            bail!("`cargo {}` did not print {}:\n{}", command.join(" "), self.file, said.all());
        }
        Ok(said.stdout)
    }
}

/// Fails if a file differs from what its program prints.
pub(super) fn check() -> Result<()> {
    for generated in FILES {
        let text = generated.text()?;
        let there =
            std::fs::read_to_string(path(generated.file)).with_context(|| format!("reading {}", generated.file))?;
        if there != text {
            bail!("{} is not what its source says; run `cargo xtask regenerate` and commit the result", generated.file);
        }
    }
    Ok(())
}

/// Writes the files that are named, all if none is.
pub(crate) fn regenerate(names: &[String]) -> Result<()> {
    if let Some(unknown) = names.iter().find(|n| !FILES.iter().any(|f| f.file == **n)) {
        let known: Vec<_> = FILES.iter().map(|f| f.file).collect();
        bail!("{unknown} is not generated; these are: {}", known.join(", "));
    }
    for generated in FILES.iter().filter(|f| names.is_empty() || names.iter().any(|n| n == f.file)) {
        let text = generated.text()?;
        std::fs::write(path(generated.file), text).with_context(|| format!("writing {}", generated.file))?;
        println!("wrote {}", generated.file);
    }
    Ok(())
}
