//! The output folder of a job: what of it may be removed, and what must not be in it.

use anyhow::{Context, Result, bail};
use std::path::Path;

/// Where an adapter is saved.
pub(super) const ADAPTER: &str = "adapter";
/// Where a whole model is saved.
pub(super) const MODEL: &str = "model";

/// What a run leaves, besides its checkpoints.
const LEFT: [&str; 5] = [ADAPTER, MODEL, "runs", "trainer_log.jsonl", "training_loss.svg"];

/// Refuses an output folder whose `adapter` or `model`, which will be replaced, is or holds one of `sources`.
///
/// # Errors
/// Naming the folder that would be overwritten.
pub(super) fn check(output: &Path, sources: &[&Path]) -> Result<()> {
    for source in sources {
        let source = source.canonicalize().with_context(|| format!("looking for {}", source.display()))?;
        let ours = |path: &Path| path.file_name().and_then(|n| n.to_str()).is_some_and(is_ours);
        let Ok(output) = output.canonicalize() else { continue };
        let inside = source.ancestors().take_while(|a| **a != output).last();
        if source.starts_with(&output) && inside.is_some_and(ours) {
            bail!("{} would be overwritten: choose another output_dir", source.display());
        }
    }
    Ok(())
}

/// Removes what a former run left in the folder, and nothing else.
///
/// # Errors
/// If something cannot be removed.
pub(super) fn clear(output: &Path) -> Result<()> {
    for entry in std::fs::read_dir(output).with_context(|| format!("reading {}", output.display()))? {
        let entry = entry?;
        if !entry.file_name().to_str().is_some_and(is_ours) {
            continue;
        }
        let path = entry.path();
        let removed =
            if entry.file_type()?.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        removed.with_context(|| format!("removing {}", path.display()))?;
    }
    Ok(())
}

fn is_ours(name: &str) -> bool {
    let step = name.strip_prefix("checkpoint-");
    LEFT.contains(&name) || step.is_some_and(|s| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_run_left_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        for name in
            ["checkpoint-5/model.safetensors", "checkpoint-best/x", "adapter/x", "runs/x", "notes/x", "models/x"]
        {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
        for name in ["trainer_log.jsonl", "training_loss.svg", "train.jsonl"] {
            std::fs::write(dir.path().join(name), "x").unwrap();
        }
        clear(dir.path()).unwrap();
        let mut left: Vec<String> =
            std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        left.sort_unstable();
        assert_eq!(left, ["checkpoint-best", "models", "notes", "train.jsonl"]);
    }

    #[test]
    fn sources_are_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            let path = dir.path().join(name);
            std::fs::create_dir_all(&path).unwrap();
            path
        };
        let (output, own) = (make("out"), make("out/model"));
        let (beside, other) = (make("out/my-model"), make("model"));
        check(&output, &[&beside, &other]).unwrap();
        assert!(check(&output, &[&other, &own]).unwrap_err().to_string().contains("would be overwritten"));
        assert!(check(&output, &[&make("out/checkpoint-3/x")]).is_err());
        check(&dir.path().join("new"), &[&own]).unwrap();
        assert!(check(&output, &[&dir.path().join("missing")]).is_err());
    }
}
