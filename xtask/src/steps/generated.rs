//! Documents made by programs.

use crate::run::{capture, cargo};
use crate::workspace::{need_member, path};
use anyhow::{Context, Result, bail};

/// A document, and the cargo arguments of the program that prints it.
struct Generated {
    file: &'static str,
    member: &'static str,
    command: &'static [&'static str],
}

const DOCUMENTS: &[Generated] = &[Generated {
    file: "docs/support-matrix.md",
    member: "examples/support-matrix",
    command: &["run", "--quiet", "-p", "support-matrix"],
}];

impl Generated {
    fn text(&self) -> Result<String> {
        need_member(self.member)?;
        let said = capture(&mut cargo(self.command))?;
        if said.code != Some(0) || said.stdout.trim().is_empty() {
            bail!("`cargo {}` did not print {}:\n{}", self.command.join(" "), self.file, said.all());
        }
        Ok(said.stdout)
    }
}

/// Fails if a document differs from what its program prints.
pub(super) fn check() -> Result<()> {
    for document in DOCUMENTS {
        let text = document.text()?;
        let there =
            std::fs::read_to_string(path(document.file)).with_context(|| format!("reading {}", document.file))?;
        if there != text {
            bail!("{} is not what the code says; run `cargo xtask regenerate` and commit the result", document.file);
        }
    }
    Ok(())
}

/// Writes all documents.
pub(crate) fn regenerate() -> Result<()> {
    for document in DOCUMENTS {
        let text = document.text()?;
        std::fs::write(path(document.file), text).with_context(|| format!("writing {}", document.file))?;
        println!("wrote {}", document.file);
    }
    Ok(())
}
